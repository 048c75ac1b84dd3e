/**
 * `get` and `put` against Ignite 2 through its thin client for Node, without backups. One at a time first: with many
 * calls under way that client has been seen to lose its connection, and does not say what became of the calls.
 */

import type { Part } from '../bench.ts'
import { gridClient, startGrid } from '../servers/grid.ts'
import { startIgnite } from '../servers/ignite.ts'
import { sidesOf } from '../side.ts'
import { prepare } from './redis.ts'

const OPERATIONS = ['get', 'put'] as const
const IN_FLIGHT = 64

export const ignitePart: Part = {
  name: 'ignite',
  about: 'get and put against Ignite 2',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    const ignite = await bench.openRival('get, put', 'Ignite', startIgnite)
    if (ignite === undefined) return
    const clients = [gridClient(grid), ignite]
    await prepare(clients)
    for (const operation of OPERATIONS) {
      const sides = sidesOf(clients, operation)
      await bench.warmUp(sides.slice(1), 1)
      await bench.compare({ bench: `${operation} p50 ms`, load: { kind: 'oneByOne' }, sides })
    }
    for (const operation of OPERATIONS) {
      const sides = sidesOf(clients, operation)
      await bench.compare({ bench: `${operation} ops/s`, load: { kind: 'rate', inFlight: IN_FLIGHT }, sides })
    }
  },
}
