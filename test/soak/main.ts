/**
 * `npm run soak`: real members under load and churn; ends with code 1 where a figure grows, somebody is suspected without
 * reason, or a call fails in peace. With `--failover` owners are killed: how long do their partitions take no writes?
 */

import { execFileSync } from 'node:child_process'
import { readArguments } from '../support/arguments.ts'
import { failover, failoverText } from './failover.ts'
import { plants } from './probe.ts'
import { soakText, time } from './report.ts'
import { soak } from './soak.ts'

/** What is still open so long after everything was closed keeps the process from ending. */
const LEFT_AFTER_MS = 15_000

const HELP = `npm run soak -- [options]

  --minutes N    how long (60); what grows is judged in full from 10 minutes on
  --seed N       of the churn (1)
  --rate N       rounds of calls a second for each loader, where others need the processors too (as many as there can be)
  --plant NAME   a leak in the members, which must be found: ${Object.keys(plants).join(', ')}
  --failover N   kills N owners instead
  --vanish       … and their parents with them, so that nobody certifies their death
  --json         the report as JSON
  --help         this
`

const values = readArguments(HELP, {
  minutes: { type: 'string', default: '60' },
  seed: { type: 'string', default: '1' },
  json: { type: 'boolean', default: false },
  rate: { type: 'string' },
  plant: { type: 'string' },
  failover: { type: 'string' },
  vanish: { type: 'boolean', default: false },
})

function number(name: 'minutes' | 'seed' | 'rate' | 'failover', least: number): number {
  const value = Number(values[name])
  if (value >= least) return value
  process.stderr.write(`--${name} is ${values[name]}; must be a number from ${least}\n`)
  process.exit(2)
}

function onProgress(text: string): void {
  process.stderr.write(`${time(Date.now())} ${text}\n`)
}

function print(report: object, text: string): void {
  process.stdout.write(`${values.json ? JSON.stringify(report, undefined, 2) : text}\n`)
}

function commit(): string {
  if (process.env.SOAK_COMMIT !== undefined) return process.env.SOAK_COMMIT
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return 'unknown'
  }
}

async function runSoak(): Promise<boolean> {
  const { plant } = values
  if (plant !== undefined && plants[plant] === undefined) {
    process.stderr.write(`--plant is ${plant}; there are ${Object.keys(plants).join(', ')}\n`)
    process.exit(2)
  }
  const early = new AbortController()
  process.once('SIGINT', () => early.abort())
  const minutes = number('minutes', 1)
  const seed = number('seed', 0)
  const rate = values.rate === undefined ? undefined : number('rate', 1)
  const report = await soak({
    minutes,
    seed,
    rate,
    plant,
    commit: commit(),
    onProgress,
    signal: early.signal,
  })
  print(report, soakText(report))
  return report.problems.length === 0
}

async function runFailover(): Promise<boolean> {
  const { vanish } = values
  const report = await failover({
    rounds: number('failover', 1),
    seed: number('seed', 0),
    vanish,
    onProgress,
  })
  print(report, failoverText(report))
  return report.failed === 0
}

const passed = values.failover === undefined ? await runSoak() : await runFailover()
process.exitCode = passed ? 0 : 1
setTimeout(() => {
  process.stderr.write(`still open at the end: ${process.getActiveResourcesInfo().join(', ')}\n`)
  process.exit(1)
}, LEFT_AFTER_MS).unref()
