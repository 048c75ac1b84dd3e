/** A thread of a campaign: runs one seed after the other as it is given them, until it is given none. */

import { parentPort, workerData } from 'node:worker_threads'
import type { CampaignTask, Outcome } from './campaign.ts'
import { kindOf, kindOptions } from './kind.ts'
import { plants } from './plant/table.ts'
import { simulate } from './simulation.ts'

const { kind, plant, traced, twice } = workerData as CampaignTask
const port = parentPort!

plants[plant]?.apply()

function outcomeOf(seed: number): Outcome {
  const is = kind === 'all' ? kindOf(seed) : kind
  const result = simulate({ ...kindOptions[is], seed, traced })
  if (twice && result.failure === undefined && simulate({ ...kindOptions[is], seed }).hash !== result.hash)
    return { ...result, kind: is, failure: 'the second run of the same seed went another way' }
  return { ...result, kind: is }
}

port.on('message', (seed: number | undefined) => {
  if (seed === undefined) port.close()
  else port.postMessage(outcomeOf(seed))
})
