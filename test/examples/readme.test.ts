import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const ROOT = new URL('../..', import.meta.url)
/** A code block that names the file it comes from. */
const BLOCK = /^```ts (\S+)\n[\s\S]*?^```$/gm

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8')
}

/** With UPDATE_README=1 this test writes the code into README.md instead of comparing it. */
test('the code in README.md is the code of the examples, which are compiled and run', () => {
  const readme = read('README.md')
  const files: string[] = []
  const wanted = readme.replace(BLOCK, (_block, file: string) => {
    files.push(file)
    return `\`\`\`ts ${file}\n${read(file)}\`\`\``
  })
  expect(files).toEqual(['examples/smooth.ts', 'examples/tour.ts'])
  if (process.env.UPDATE_README === '1') writeFileSync(new URL('README.md', ROOT), wanted)
  else expect(readme).toBe(wanted)
})

test('README.md stays short', () => {
  expect(read('README.md').split('\n').length).toBeLessThanOrEqual(200)
})
