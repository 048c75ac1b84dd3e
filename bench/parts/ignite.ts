/** `get` and `put` against Ignite 2 through its thin client for Node, without backups. */

import type { Part } from '../bench.ts'
import { gridClient, startGrid } from '../servers/grid.ts'
import { startIgnite } from '../servers/ignite.ts'
import { sidesOf } from '../side.ts'
import { prepare } from './redis.ts'

const IN_FLIGHT = 512

export const ignitePart: Part = {
  name: 'ignite',
  about: 'get and put against Ignite 2',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    const ignite = await bench.openRival('get, put', 'Ignite', startIgnite)
    if (ignite === undefined) return
    const clients = [gridClient(grid), ignite]
    await prepare(clients)
    for (const operation of ['get', 'put'] as const) {
      const sides = sidesOf(clients, operation)
      await bench.warmUp(sides.slice(1), IN_FLIGHT)
      await bench.compare({ bench: `${operation} p50 ms`, load: { kind: 'oneByOne' }, sides })
      await bench.compare({ bench: `${operation} ops/s`, load: { kind: 'rate', inFlight: IN_FLIGHT }, sides })
    }
  },
}
