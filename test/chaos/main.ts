/**
 * `npm run chaos`: real members, real nats-servers and real sockets under seeded faults, and every history checked.
 *
 * A seed fixes which faults come in which order and where they aim, not how the machine runs them. A violation is printed
 * with its round and keeps the members' logs; the run goes on with a fresh cluster, and ends with code 1.
 */

import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readArguments } from '../support/arguments.ts'
import { faults } from './fault.ts'
import { chosenFaults, Run } from './run.ts'
import { enterSandbox, sandboxUnavailable } from './sandbox.ts'
import { printTotals } from './totals.ts'
import { variants } from './variant.ts'

const HELP = `npm run chaos -- [options]

  --minutes N    how long (5)
  --seed N       which faults come when, and where they aim (drawn, and printed)
  --faults N     ends after so many
  --only A,B     only these faults
  --clusters N   how many clusters at once (2)
  --failover N   kills N owners one by one, with and without a certificate, and says how long their partitions took no writes
  --list         what there is, and what cannot be had here and why
  --json         the totals as one line of JSON at the end
  --keep         keeps the members' logs where nothing was found too
  --help         this
`

const values = readArguments(HELP, {
  minutes: { type: 'string', default: '5' },
  seed: { type: 'string' },
  faults: { type: 'string' },
  only: { type: 'string' },
  clusters: { type: 'string', default: '2' },
  failover: { type: 'string' },
  list: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
})

function number(name: string, text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new Error(`--${name} is ${text}; must be a number above 0`)
}

// Clusters with a network of their own say themselves why there are none, where there can be no sandbox.
const code = sandboxUnavailable() === undefined ? await enterSandbox() : undefined
if (code !== undefined) process.exit(code)

if (values.list) {
  for (const { name, unavailable } of variants)
    process.stdout.write(`cluster ${name}: ${unavailable?.() ?? 'yes'}\n`)
  for (const { name, unavailable } of faults) process.stdout.write(`${name}: ${unavailable?.() ?? 'yes'}\n`)
  process.exit(0)
}

const failover = values.failover === undefined ? undefined : number('failover', values.failover)
const folder = mkdtempSync(join(tmpdir(), 'actorgrid-chaos-'))
const run = new Run({
  seed: values.seed === undefined ? Math.floor(Math.random() * 1e9) : number('seed', values.seed),
  minutes: failover === undefined ? number('minutes', values.minutes) : Number.POSITIVE_INFINITY,
  faultsMax: values.faults === undefined ? Number.POSITIVE_INFINITY : number('faults', values.faults),
  clusters: number('clusters', values.clusters),
  chosen: chosenFaults(values.only),
  failover,
  folder,
  keep: values.keep,
  say: (line) => process.stdout.write(`${line}\n`),
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => run.stop())
const totals = await run.go()
printTotals(totals)
if (values.json) process.stdout.write(`${JSON.stringify(totals)}\n`)
if (totals.violations.length === 0 && !values.keep) await rm(folder, { recursive: true, force: true })
else {
  writeFileSync(join(folder, 'totals.json'), JSON.stringify(totals, undefined, 2))
  process.stdout.write(`logs and histories: ${folder}\n`)
}
process.exit(totals.violations.length === 0 ? 0 : 1)
