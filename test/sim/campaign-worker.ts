/** A thread of a campaign: runs one seed after the other as it is given them, until it is given none. */

import { parentPort, workerData } from 'node:worker_threads'
import type { CampaignTask, Outcome } from './campaign.ts'
import { kindOf, kindOptions, type RunKind } from './kind.ts'
import { plants } from './plant/table.ts'
import { simulate } from './simulation.ts'

const { kind, plant, traced, twice } = workerData as CampaignTask
const port = parentPort!

plants[plant]?.apply()

// Members and clients tell each other of errors all the time, and where each came from is looked up for nobody.
Error.stackTraceLimit = 0

function outcomeOf(seed: number): Outcome {
  const is = kind === 'all' ? kindOf(seed) : kind
  const result = simulate({ ...kindOptions[is], seed, traced })
  if (result.failure !== undefined) return { ...result, kind: is, failure: located(result.failure, seed, is) }
  if (twice && simulate({ ...kindOptions[is], seed }).hash !== result.hash)
    return { ...result, kind: is, failure: 'the second run of the same seed went another way' }
  return { ...result, kind: is }
}

/** Runs a seed that has failed once more, to say where: the same seed fails the same way. */
function located(failure: string, seed: number, is: RunKind): string {
  Error.stackTraceLimit = 10
  const again = simulate({ ...kindOptions[is], seed }).failure
  Error.stackTraceLimit = 0
  return again ?? `${failure}\n(not in a second run of the same seed)`
}

port.on('message', (seed: number | undefined) => {
  if (seed === undefined) port.close()
  else port.postMessage(outcomeOf(seed))
})
