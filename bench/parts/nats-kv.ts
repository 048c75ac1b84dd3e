/** `get` and `put` against NATS KV with its values in memory. */

import type { Part } from '../bench.ts'
import { gridClient, startGrid } from '../servers/grid.ts'
import { startNatsKv } from '../servers/nats-kv.ts'
import { sidesOf } from '../side.ts'
import { prepare } from './redis.ts'

export const natsKvPart: Part = {
  name: 'nats-kv',
  about: 'get and put against NATS KV in memory',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    const rival = await bench.openRival('get, put', 'NATS KV', startNatsKv)
    if (rival === undefined) return
    const clients = [gridClient(grid), rival]
    await prepare(clients)
    for (const operation of ['get', 'put'] as const) {
      const sides = sidesOf(clients, operation)
      await bench.compare({ bench: `${operation} p50 ms`, load: { kind: 'oneByOne' }, sides })
      await bench.compare({ bench: `${operation} ops/s`, load: { kind: 'rate', inFlight: 64 }, sides })
    }
  },
}
