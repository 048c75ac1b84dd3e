/**
 * A client in a process of its own that keeps a store busy while others measure it: it overwrites entries (which asks for
 * compaction), puts entries that live briefly, or puts new entries into a map that holds only so many.
 */

import { connect } from '../../src/client/connect.ts'
import { makeKey, makeValue, type Reading, scattered } from '../value.ts'

export type Churn = 'none' | 'overwriting' | 'expiry' | 'eviction'

export interface ChurnOptions {
  readonly address: string
  readonly churn: Churn
  readonly perSecond: number
  /** Of the map that is measured. */
  readonly entries: number
}

/** What was done since the start. */
export interface Churned {
  readonly puts: number
  /** Of these, what has expired or was evicted. */
  readonly gone: number
}

const TTL_MS = 2000
const BOUNDED_ENTRIES = 20_000
const STEP_MS = 2
const IN_FLIGHT_MAX = 2048

const { address, churn, perSecond, entries } = JSON.parse(process.argv[2]!) as ChurnOptions
const grid = await connect({ members: address, cluster: 'bench' })
const main = grid.map<string, Reading>('bench')
const expiring = grid.map<string, Reading>('expiring', { ttlMs: TTL_MS })
const bounded = grid.map<string, Reading>('bounded', {
  eviction: { policy: 'lru', maxEntries: BOUNDED_ENTRIES },
})
const map = churn === 'overwriting' ? main : churn === 'expiry' ? expiring : bounded
const before = await map.size()
let puts = 0
let inFlight = 0
const startMs = performance.now()
// Keys that were never used before, run after run.
const first = Date.now() * 1000

function put(i: number): Promise<unknown> {
  const value = makeValue(i)
  return churn === 'overwriting'
    ? main.put(makeKey(scattered(i, entries)), value)
    : map.put(makeKey(first + i), value)
}

const every = setInterval(() => {
  const due = churn === 'none' ? 0 : Math.floor(((performance.now() - startMs) * perSecond) / 1000)
  for (; puts < due && inFlight < IN_FLIGHT_MAX; puts++) {
    inFlight++
    put(puts).then(
      () => {
        inFlight--
      },
      (error: unknown) => {
        process.stderr.write(`a put failed: ${String(error)}\n`)
        process.exit(1)
      },
    )
  }
}, STEP_MS)

process.on('message', () => void stop())
process.once('disconnect', () => process.exit(1))
process.stdout.write('ready\n')

async function stop(): Promise<void> {
  clearInterval(every)
  while (inFlight > 0) await new Promise((resolve) => setTimeout(resolve, STEP_MS))
  const gone = churn === 'expiry' || churn === 'eviction' ? puts - ((await map.size()) - before) : 0
  await grid.close()
  process.send?.({ puts, gone } satisfies Churned, undefined, undefined, () => process.exit(0))
}
