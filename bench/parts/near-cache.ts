/** Reads that a near cache answers: decoded, frozen objects a second, one read after the other, awaited. */

import assert from 'node:assert/strict'
import type { Grid } from '../../src/client/grid.ts'
import type { Part } from '../bench.ts'
import { rate } from '../load.ts'
import { startGrid } from '../servers/grid.ts'
import type { Side } from '../side.ts'
import { KEYS, keys, type Reading, values } from '../value.ts'

const FLOOR = 5_000_000
const IN_FLIGHT = 1
/** Once in `maxStaleMs` a proof may have to be waited for. */
const MISSES_MAX = 0.001

export const nearCachePart: Part = {
  name: 'near-cache',
  about: 'reads that a near cache answers, against a fixed floor',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    await bench.compareFixed({
      bench: 'near cache get ops/s',
      inFlight: IN_FLIGHT,
      load: { kind: 'rate', inFlight: IN_FLIGHT },
      side: await nearCacheSide(grid),
      floor: FLOOR,
    })
  },
}

async function nearCacheSide(grid: Grid): Promise<Side> {
  await grid.map<string, Reading>('bench').putAll(keys.map((key, id) => [key, values[id]!]))
  const map = grid.map<string, Reading>('bench', { nearCache: { maxEntries: KEYS } })
  // What is read before a partition's news are subscribed to is not kept.
  while (map.nearCacheStats!.entries < KEYS) await map.getAll(keys)
  for (const [id, key] of keys.entries()) assert.deepEqual(await map.get(key), values[id])
  return {
    name: 'actorgrid',
    version: '',
    async measure(_, durationMs) {
      const before = map.nearCacheStats!
      const value = await rate((id) => map.get(keys[id]!), IN_FLIGHT, durationMs)
      const { hits, misses } = map.nearCacheStats!
      const missed = misses - before.misses
      assert(missed <= MISSES_MAX * (hits - before.hits), `${missed} reads went to the owner`)
      return { value }
    },
  }
}
