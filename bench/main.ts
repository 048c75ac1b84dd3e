/**
 * The benchmarks: `npm run bench`, with `-- --json` one JSON object a line, `-- --help` for the rest.
 *
 * Every rival is real, a process of its own on this machine in the same run. Figures are medians of interleaved
 * rounds, and only the ratio means anything elsewhere. A cluster without backups is a cluster of its own. What is lost
 * is printed like what is won. Ends with 1 if a part failed, not if a promise was missed: that is a row.
 */

import { helpText, parseArguments } from './arguments.ts'
import { Bench, type Output, type Part, type Settings } from './bench.ts'
import { machineText, thisMachine } from './machine.ts'
import { backupPart } from './parts/backup.ts'
import { bulkPart } from './parts/bulk.ts'
import { counterPart } from './parts/counter.ts'
import { embeddedPart } from './parts/embedded.ts'
import { growthPart } from './parts/growth.ts'
import { hazelcastPart } from './parts/hazelcast.ts'
import { ignitePart } from './parts/ignite.ts'
import { joinPart } from './parts/join.ts'
import { largePart } from './parts/large.ts'
import { natsKvPart } from './parts/nats-kv.ts'
import { nearCachePart } from './parts/near-cache.ts'
import { redisPart } from './parts/redis.ts'
import { scanPart } from './parts/scan.ts'
import { tablePart } from './parts/table.ts'
import type { Missing, Row } from './row.ts'
import { missingText, tableOf } from './table.ts'

const PARTS: readonly Part[] = [
  scanPart,
  embeddedPart,
  nearCachePart,
  redisPart,
  backupPart,
  counterPart,
  bulkPart,
  natsKvPart,
  hazelcastPart,
  ignitePart,
  tablePart,
  largePart,
  joinPart,
  growthPart,
]

const note = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`)
}

async function main(args: readonly string[]): Promise<number> {
  const names = PARTS.map(({ name }) => name)
  const { json, quick, scale, help, only } = parseArguments(args, names)
  if (help) {
    process.stdout.write(helpText(PARTS))
    return 0
  }
  const machine = thisMachine()
  const settings: Settings = {
    rounds: quick ? 2 : 7,
    durationMs: quick ? 100 : 500,
    warmUpMs: quick ? 500 : 10_000,
    scale,
    machine,
  }
  note(machineText(machine))
  const rows: Row[] = []
  const lost: Missing[] = []
  const print = (line: Row | Missing): void => {
    if (json) process.stdout.write(`${JSON.stringify(line)}\n`)
  }
  const output: Output = {
    row(row) {
      rows.push(row)
      print(row)
    },
    missing(missing) {
      lost.push(missing)
      note(missingText(missing))
      print(missing)
    },
    note,
  }
  const parts = PARTS.filter(({ name, isLong }) => (only.length === 0 ? !isLong : only.includes(name)))
  const failures = await runParts(parts, settings, output)
  if (!json) {
    process.stdout.write(`${machineText(machine)}\n\n${tableOf(rows)}\n`)
    for (const missing of lost) process.stdout.write(`${missingText(missing)}\n`)
  }
  return failures === 0 ? 0 : 1
}

/** How many failed. One that fails does not keep the others from running. */
async function runParts(parts: readonly Part[], settings: Settings, output: Output): Promise<number> {
  let failures = 0
  for (const part of parts) {
    const bench = new Bench(settings, output)
    const startMs = performance.now()
    try {
      await part.run(bench)
    } catch (error) {
      failures++
      note(`${part.name} failed: ${error instanceof Error ? error.stack : String(error)}`)
    } finally {
      await bench.close()
    }
    note(`${part.name} took ${((performance.now() - startMs) / 1000).toFixed(1)} s`)
  }
  return failures
}

// Children are ended when this process exits, which a signal by itself would not let it see.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.exit(
  await main(process.argv.slice(2)).catch((error: unknown) => {
    note(error instanceof Error ? error.message : String(error))
    return 2
  }),
)
