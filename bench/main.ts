/**
 * The benchmarks: `npm run bench`, with `-- --json` one JSON object a line. Figures are medians of interleaved
 * rounds on this machine, against a rival in the same run; only the ratio means anything elsewhere.
 */

import { benchMap } from './map.ts'
import type { Row } from './row.ts'
import { tableOf } from './row.ts'
import { benchScan } from './scan.ts'
import { benchStore } from './store.ts'

const note = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`)
}

async function main(json: boolean): Promise<void> {
  const rows: Row[] = []
  const add = (row: Row): void => {
    rows.push(row)
    if (json) process.stdout.write(`${JSON.stringify(row)}\n`)
  }
  note('scan')
  add(benchScan())
  for (const row of await benchMap(note)) add(row)
  note('store')
  add(await benchStore())
  if (!json) process.stdout.write(`${tableOf(rows)}\n`)
}

await main(process.argv.includes('--json'))
process.exit(0)
