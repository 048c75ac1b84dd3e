/**
 * `npm run sim -- [--seed N] [--runs N] [--rollback] [--loss] [--trace] [--twice] [--plant NAME] [--plants MAX]`: runs seeds one after the other, and prints one
 * line that replays each failure.
 */

import { parseArgs } from 'node:util'
import { plants } from './plant/table.ts'
import { type RunResult, simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '1' },
    rollback: { type: 'boolean', default: false },
    loss: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    lines: { type: 'string', default: '200' },
    plant: { type: 'string', default: '' },
    fails: { type: 'string', default: '5' },
    plants: { type: 'string', default: '' },
  },
})

/** For each planted bug, the first seed that shows it, up to as many as `--plants` says. */
function plantTable(seedsMax: number): void {
  for (const [name, { apply, options, expects }] of Object.entries(plants)) {
    if (values.plant !== '' && values.plant !== name) continue
    const restore = apply()
    const sinceMs = performance.now()
    let failure: string | undefined
    let seed = 0
    while (failure === undefined && seed < seedsMax) failure = simulate({ ...options, seed: ++seed }).failure
    restore()
    const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1)
    const what = failure?.split('\n')[0] ?? 'not shown'
    const other = failure !== undefined && !expects.test(failure) ? ' (not what was expected)' : ''
    process.stdout.write(`| ${name} | ${seed} | ${what}${other} | ${seconds} |\n`)
  }
}

if (values.plants !== '') {
  plantTable(Number(values.plants))
  process.exit()
}

plants[values.plant]?.apply()

const first = Number(values.seed)
const runs = Number(values.runs)
const { rollback, loss } = values
const totals: Record<string, number> = {}
const startedMs = performance.now()
let virtualMs = 0
let events = 0
let failures = 0
let done = 0

function report(result: RunResult): void {
  failures++
  process.stdout.write(`\nFAILED ${result.failure}\n`)
  if (result.trace) process.stdout.write(`${result.trace.slice(-Number(values.lines)).join('\n')}\n`)
  process.stdout.write(
    `replay: npm run sim -- --seed ${result.seed}${rollback ? ' --rollback' : ''}${loss ? ' --loss' : ''}\n`,
  )
}

for (let seed = first; seed < first + runs && failures < Number(values.fails); seed++) {
  const result = simulate({ seed, rollback, loss, traced: values.trace })
  done++
  if (result.failure !== undefined) report(result)
  if (values.twice && simulate({ seed, rollback, loss }).hash !== result.hash)
    report({ ...result, failure: 'the second run of the same seed went another way', trace: undefined })
  virtualMs += result.virtualMs
  events += result.events
  for (const [name, count] of Object.entries(result.counts)) totals[name] = (totals[name] ?? 0) + count
}

const seconds = (performance.now() - startedMs) / 1000
const hours = virtualMs / 3_600_000
process.stdout.write(
  `${done} runs, ${failures} failed, ${hours.toFixed(2)} virtual hours in ${seconds.toFixed(1)} s (${Math.round((virtualMs / 1000 / seconds) * 10) / 10} × real time), ${events} events\n`,
)
process.stdout.write(`${JSON.stringify(totals)}\n`)
process.exitCode = failures > 0 ? 1 : 0
