/**
 * `npm run sim`: runs simulated clusters seed after seed, prints one line that replays each failure, and sums up. `--help`
 * says what there is to choose.
 */

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Campaign, type CampaignOptions, type Outcome } from './campaign.ts'
import { type RunKind, runKinds } from './kind.ts'
import { plants } from './plant/table.ts'
import { Report } from './report.ts'
import { simulate } from './simulation.ts'

const HELP = `npm run sim -- [options]

  --seed N       the first seed (1)
  --runs N       how many seeds (1; without a bound where --minutes is given)
  --minutes N    begins no further run after so long
  --workers N    threads (one fewer than there are processors); what a seed does does not depend on it
  --kind KIND    default, rollback (the configuration log loses its end, now and then), loss (all replicas of a partition
                 may die, with proof), or all: the seed says which of them it is (all)
  --rollback     the same as --kind rollback
  --loss         the same as --kind loss
  --fails N      begins no further run after so many failures (5)
  --twice        runs each seed twice: both must go the same way
  --trace        what happened, line by line, on one thread
  --lines N      how many of the last lines of it (200)
  --plant NAME   with a planted bug
  --plants MAX   for each planted bug (or the one of --plant) the first seed that shows it, up to MAX
  --json         the figures as one line of JSON at the end
  --help         this
`

const PROGRESS_MS = 60_000

const values = options()

function options() {
  try {
    return parseArgs({
      options: {
        seed: { type: 'string', default: '1' },
        runs: { type: 'string' },
        minutes: { type: 'string' },
        workers: { type: 'string' },
        kind: { type: 'string', default: 'all' },
        rollback: { type: 'boolean', default: false },
        loss: { type: 'boolean', default: false },
        fails: { type: 'string', default: '5' },
        twice: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        lines: { type: 'string', default: '200' },
        plant: { type: 'string', default: '' },
        plants: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function refuse(what: string): never {
  process.stderr.write(`${what}\nnpm run sim -- --help says what there is.\n`)
  process.exit(2)
}

function count(
  name: 'seed' | 'runs' | 'minutes' | 'workers' | 'fails' | 'lines' | 'plants',
  otherwise: number,
): number {
  const number = Number(values[name] ?? otherwise)
  if (!(number >= 0)) refuse(`--${name} is a number, not ${values[name]}`)
  return number
}

function kind(): RunKind | 'all' {
  if (values.rollback && values.loss) refuse('a run is of one kind: --rollback or --loss')
  if (values.rollback) return 'rollback'
  if (values.loss) return 'loss'
  return [...runKinds, 'all' as const].find((one) => one === values.kind) ?? refuse(`no kind ${values.kind}`)
}

/** For each planted bug, the first seed that shows it, up to as many as `--plants` says; first of all the one that has. */
function plantTable(seedsMax: number): void {
  for (const [name, { apply, options: given, expects, seed: shown = 1 }] of Object.entries(plants)) {
    if (values.plant !== '' && values.plant !== name) continue
    const restore = apply()
    const sinceMs = performance.now()
    let seed = shown
    let { failure } = simulate({ ...given, seed })
    for (let next = 1; failure === undefined && next <= seedsMax; next++) {
      seed = next
      failure = simulate({ ...given, seed }).failure
    }
    restore()
    const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1)
    const what = failure?.split(/\n| \| +at /)[0] ?? 'not shown'
    const other = failure !== undefined && !expects.test(failure) ? ' (not what was expected)' : ''
    process.stdout.write(`| ${name} | ${seed} | ${what}${other} | ${seconds} |\n`)
  }
}

function tell({ seed, kind: is, failure, trace }: Outcome): void {
  if (failure === undefined && !values.trace) return
  if (failure !== undefined) process.stdout.write(`\nFAILED ${failure}\n`)
  if (trace) process.stdout.write(`${trace.slice(-count('lines', 200)).join('\n')}\n`)
  const plant = values.plant === '' ? '' : ` --plant ${values.plant}`
  process.stdout.write(`replay: npm run sim -- --seed ${seed} --kind ${is}${plant}\n`)
}

async function campaign(): Promise<void> {
  const report = new Report(count('seed', 1))
  const bounded = values.minutes === undefined
  const given: CampaignOptions = {
    kind: kind(),
    plant: values.plant,
    traced: values.trace,
    twice: values.twice,
    firstSeed: count('seed', 1),
    runs: count('runs', bounded ? 1 : Number.POSITIVE_INFINITY),
    minutes: count('minutes', Number.POSITIVE_INFINITY),
    workers: values.trace ? 1 : Math.max(1, count('workers', availableParallelism() - 1)),
    failsMax: count('fails', 5),
    onOutcome: (outcome) => {
      report.add(outcome)
      tell(outcome)
    },
  }
  const running = new Campaign(given)
  process.once('SIGINT', () => running.stop())
  const progress = setInterval(() => process.stderr.write(`${report.progress}\n`), PROGRESS_MS)
  await running.run()
  clearInterval(progress)
  process.stdout.write(`${report.summary}\n`)
  if (values.json) process.stdout.write(`${JSON.stringify(report.figures)}\n`)
  process.exitCode = report.failures > 0 ? 1 : 0
}

if (values.plant !== '' && !plants[values.plant])
  refuse(`no planted bug ${values.plant}; there are ${Object.keys(plants).join(', ')}`)
if (values.help) process.stdout.write(HELP)
else if (values.plants !== undefined) plantTable(count('plants', 0))
else await campaign()
