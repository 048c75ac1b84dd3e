/**
 * `npm run soak -- [--minutes N] [--seed N] [--json] [--rate N] [--plant NAME]`: real members under full load (or that of N
 * rounds a second) and churn; fails with
 * exit code 1 where a figure grows, somebody is suspected without reason, or a call fails in peace.
 * `npm run soak -- --failover N [--vanish]`: N owners are killed; how long their partitions take no writes.
 */

import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { failover, failoverText } from './failover.ts'
import { plants } from './probe.ts'
import { soakText, time } from './report.ts'
import { soak } from './soak.ts'

/** What is still open so long after everything was closed keeps the process from ending. */
const LEFT_AFTER_MS = 15_000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    rate: { type: 'string' },
    plant: { type: 'string' },
    failover: { type: 'string' },
    vanish: { type: 'boolean', default: false },
  },
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
