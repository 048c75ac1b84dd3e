import { closeSync, existsSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openLog } from '../../src/member/log.ts'

const FULL = '/dev/full'
const lacks = existsSync(FULL) ? undefined : `there is no ${FULL} here`
if (lacks !== undefined) process.stderr.write(`test/member/log.test.ts is skipped: ${lacks}\n`)

test.skipIf(lacks !== undefined)('a full disk ends nothing and keeps nothing', async () => {
  const descriptor = openSync(FULL, 'w')
  const log = openLog({ logLevel: 'info', name: 'm' }, descriptor)
  const before = process.memoryUsage().heapUsed
  // An error that nobody takes would be thrown here, or fail this file as an uncaught exception.
  for (let i = 0; i < 20_000; i++) log.info({ i }, 'x'.repeat(2000))
  await new Promise((resolve) => setImmediate(resolve))
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20_000_000)
  closeSync(descriptor)
})
