/**
 * Reads of what a member in the same process owns: decoded values a second *of this process's processor time*, collector
 * and all, for that is what they cost a program that embeds a member. One after the other, awaited.
 */

import assert from 'node:assert/strict'
import type { Grid } from '../../src/client/grid.ts'
import type { Part } from '../bench.ts'
import { rate } from '../load.ts'
import { startEmbedded } from '../servers/embedded.ts'
import type { Side } from '../side.ts'
import { keys, type Reading, values } from '../value.ts'

const FLOOR = 1_000_000
const IN_FLIGHT = 1

export const embeddedPart: Part = {
  name: 'embedded',
  about: 'reads of what a member in the same process owns, against a fixed floor',
  async run(bench) {
    const { grid } = await bench.open(startEmbedded())
    await bench.compareFixed({
      bench: 'embedded get ops/s',
      inFlight: IN_FLIGHT,
      load: { kind: 'rate', inFlight: IN_FLIGHT },
      side: await embeddedSide(grid),
      floor: FLOOR,
    })
  },
}

async function embeddedSide(grid: Grid): Promise<Side> {
  const map = grid.map<string, Reading>('bench')
  await map.putAll(keys.map((key, id) => [key, values[id]!]))
  for (const [id, key] of keys.entries()) assert.deepEqual(await map.get(key), values[id])
  return {
    name: 'actorgrid',
    version: '',
    async measure(_, durationMs) {
      const { localReads } = grid.metrics
      let calls = 0
      const before = process.cpuUsage()
      await rate(
        (id) => {
          calls++
          return map.get(keys[id]!)
        },
        IN_FLIGHT,
        durationMs,
      )
      const { user, system } = process.cpuUsage(before)
      assert.equal(grid.metrics.localReads - localReads, calls, 'every read is answered here')
      return { value: calls / ((user + system) / 1_000_000) }
    },
  }
}
