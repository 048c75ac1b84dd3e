/**
 * `get` and `set` against Hazelcast through hazelcast-client, without backups on one member, then `set` with one
 * synchronous backup on two. A JVM compiles what it runs often: it is loaded for a while before anything counts.
 */

import type { Part } from '../bench.ts'
import { gridClient, startGrid } from '../servers/grid.ts'
import { startHazelcast } from '../servers/hazelcast.ts'
import { sidesOf } from '../side.ts'
import { prepare } from './redis.ts'

const IN_FLIGHT = 512

export const hazelcastPart: Part = {
  name: 'hazelcast',
  about: 'get and put against Hazelcast, without and with a backup',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    const alone = await bench.openRival('get, put', 'Hazelcast', () => startHazelcast(0))
    if (alone === undefined) return
    const clients = [gridClient(grid), alone.packed, alone.objects]
    await prepare(clients)
    for (const operation of ['get', 'put'] as const) {
      const sides = sidesOf(clients, operation)
      await bench.warmUp(sides.slice(1), IN_FLIGHT)
      await bench.compare({ bench: `${operation} p50 ms`, load: { kind: 'oneByOne' }, sides })
      await bench.compare({ bench: `${operation} ops/s`, load: { kind: 'rate', inFlight: IN_FLIGHT }, sides })
    }
    await bench.close()
    const two = await bench.open(startGrid({ backups: 1 }))
    const pair = await bench.openRival('put 1 backup', 'Hazelcast', () => startHazelcast(1))
    if (pair === undefined) return
    const safe = [gridClient(two.grid), pair.packed]
    await prepare(safe)
    const sides = sidesOf(safe, 'put')
    await bench.warmUp(sides.slice(1), IN_FLIGHT)
    await bench.compare({ bench: 'put 1 backup ops/s', load: { kind: 'rate', inFlight: IN_FLIGHT }, sides })
  },
}
