/**
 * `put` with one synchronous backup, over two members, against Redis: without a replica, which promises less, and with
 * one that each SET waits for (WAIT 1). A connection of Redis that waits takes no other command meanwhile, so each
 * call has a connection. Beside it what else can be done there: many SETs, then one WAIT for all of them.
 */

import type { Redis } from 'ioredis'
import type { Part } from '../bench.ts'
import { BEST_REDIS, REDIS_CLIENTS } from '../goal.ts'
import type { Call } from '../load.ts'
import { gridClient, startGrid } from '../servers/grid.ts'
import {
  ioredisClient,
  ioredisVersion,
  type RedisServer,
  startNodeRedis,
  startRedis,
} from '../servers/redis.ts'
import { type Side, sideOf, sidesOf } from '../side.ts'
import { KEYS, keys, pack, values } from '../value.ts'
import { prepare } from './redis.ts'

const CONNECTIONS = 64
const WAIT_MS = 1000

export const backupPart: Part = {
  name: 'backup',
  about: 'put with one synchronous backup against SET, and against SET and WAIT 1',
  async run(bench) {
    const { grid } = await bench.open(startGrid({ backups: 1 }))
    const ours = gridClient(grid)
    const alone = await bench.openRival('put 1 backup', 'Redis', startRedis)
    if (alone === undefined) return
    const nodeRedis = await bench.open(startNodeRedis(alone))
    const rivals = [ioredisClient(alone), ioredisClient(alone, true), nodeRedis]
    await prepare([ours, ...rivals])
    const putSide = sideOf(ours.name, ours.version, ours.put)
    await bench.compare({
      bench: 'put 1 backup ops/s',
      load: { kind: 'rate', inFlight: 512 },
      sides: [
        putSide,
        ...sidesOf(rivals, 'put').map((side) => ({ ...side, name: `${side.name}, no replica` })),
      ],
      groups: [
        { name: `${BEST_REDIS}, no replica`, members: REDIS_CLIENTS.map((name) => `${name}, no replica`) },
      ],
    })
    const primary = await bench.open(startRedis())
    await bench.open(startRedis(primary))
    const version = `${ioredisVersion(primary)}, 1 replica`
    const connections = Array.from({ length: CONNECTIONS }, () => primary.ioredis())
    const waiting: Side = sideOf('ioredis SET + WAIT 1', version, setAndWait(connections))
    await bench.compare({
      bench: 'put 1 backup ops/s',
      load: { kind: 'rate', inFlight: CONNECTIONS },
      sides: [putSide, waiting, batching(primary, version)],
    })
    await bench.compare({
      bench: 'put 1 backup p50 ms',
      load: { kind: 'oneByOne' },
      sides: [putSide, waiting],
    })
  },
}

/** As many at a time as there are connections. */
function setAndWait(connections: readonly Redis[]): Call {
  const free = [...connections]
  return async (id) => {
    const client = free.pop()
    if (client === undefined) throw new Error('more calls than connections')
    const set = client.set(keys[id]!, pack(values[id]!))
    mustHold(await client.wait(1, WAIT_MS))
    await set
    free.push(client)
  }
}

/** One connection: 64 SETs in a pipeline, then one WAIT. That is 64 calls in flight, so there is one such batch at a time. */
function batching(server: RedisServer, version: string): Side {
  const client = server.ioredis()
  const batch: Call = async (first) => {
    const pipeline = client.pipeline()
    for (let i = 0; i < CONNECTIONS; i++) {
      const id = (first + i) % KEYS
      pipeline.set(keys[id]!, pack(values[id]!))
    }
    await pipeline.exec()
    mustHold(await client.wait(1, WAIT_MS))
  }
  const side = sideOf(`ioredis ${CONNECTIONS} SET, then one WAIT`, version, batch, CONNECTIONS)
  return { ...side, measure: (_load, durationMs) => side.measure({ kind: 'rate', inFlight: 1 }, durationMs) }
}

function mustHold(replicas: number): void {
  if (replicas < 1) throw new Error(`no replica had the write within ${WAIT_MS} ms`)
}
