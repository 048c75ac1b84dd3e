/** A thread of a campaign: runs one seed after the other as it is given them, until it is given none. */

import { parentPort, workerData } from 'node:worker_threads'
import type { CampaignTask, Outcome } from './campaign.ts'
import { kindOf, kindOptions, type RunKind, readsAny } from './kind.ts'
import { plants } from './plant/table.ts'
import { type RunOptions, simulate } from './simulation.ts'

const { kind, plant, traced, twice } = workerData as CampaignTask
const port = parentPort!

plants[plant]?.apply()

// Members and clients tell each other of errors all the time, and where each came from is looked up for nobody.
Error.stackTraceLimit = 0

function optionsOf(seed: number, is: RunKind): RunOptions {
  return { ...kindOptions[is], anyReads: readsAny(seed), seed }
}

function outcomeOf(seed: number): Outcome {
  const is = kind === 'all' ? kindOf(seed) : kind
  const result = simulate({ ...optionsOf(seed, is), traced })
  if (result.failure !== undefined) return { ...result, kind: is, failure: located(result.failure, seed, is) }
  if (twice && simulate(optionsOf(seed, is)).hash !== result.hash)
    return { ...result, kind: is, failure: 'the second run of the same seed went another way' }
  return { ...result, kind: is }
}

/** Runs a seed that has failed once more, to say where: the same seed fails the same way. */
function located(failure: string, seed: number, is: RunKind): string {
  Error.stackTraceLimit = 10
  const again = simulate(optionsOf(seed, is)).failure
  Error.stackTraceLimit = 0
  return again ?? `${failure}\n(not in a second run of the same seed)`
}

port.on('message', (seed: number | undefined) => {
  if (seed === undefined) port.close()
  else port.postMessage(outcomeOf(seed))
})
