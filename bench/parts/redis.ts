/**
 * `get` and `put` against redis-server through ioredis, with and without automatic pipelining, and node-redis. No side
 * has a copy beside. At 1 call in flight latency counts, with a bare TCP echo beside; above it the rate, with
 * redis-benchmark beside. Then the latency of an open loop, at half the rate that the slowest side reaches at 64.
 */

import assert from 'node:assert/strict'
import type { Bench, Part } from '../bench.ts'
import { BEST_REDIS, REDIS_CLIENTS } from '../goal.ts'
import { startEcho } from '../servers/echo.ts'
import { gridClient, rawGridClient, startGrid } from '../servers/grid.ts'
import { ioredisClient, rawIoredisClient, startNodeRedis, startRedis } from '../servers/redis.ts'
import { fillForBenchmark, redisBenchmark } from '../servers/redis-benchmark.ts'
import { type MapClient, sidesOf } from '../side.ts'
import { KEYS, values } from '../value.ts'

const OPERATIONS = ['get', 'put'] as const
const GROUPS = [{ name: BEST_REDIS, members: REDIS_CLIENTS }]

export const redisPart: Part = {
  name: 'redis',
  about: 'get and put against ioredis and node-redis, latency of an open loop, limits',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    const redis = await bench.openRival('get, put', 'Redis', startRedis)
    if (redis === undefined) return
    const nodeRedis = await bench.open(startNodeRedis(redis))
    const clients = [gridClient(grid), ioredisClient(redis), ioredisClient(redis, true), nodeRedis]
    await prepare(clients)
    const isClient = (name: string): boolean => clients.some((client) => client.name === name)
    const echo = await bench.open(startEcho())
    await fillForBenchmark(redis)
    for (const operation of OPERATIONS) {
      const sides = sidesOf(clients, operation)
      await bench.compare({
        bench: `${operation} p50 ms`,
        load: { kind: 'oneByOne' },
        sides: [...sides, echo.side],
        groups: GROUPS,
      })
      const results = await bench.compare({
        bench: `${operation} ops/s`,
        load: { kind: 'rate', inFlight: 64 },
        sides: [...sides, redisBenchmark(redis, operation === 'get' ? 'get' : 'set', 1)],
        groups: GROUPS,
      })
      await bench.compare({
        bench: `${operation} ops/s`,
        load: { kind: 'rate', inFlight: 512 },
        sides: [...sides, redisBenchmark(redis, operation === 'get' ? 'get' : 'set', 32)],
        groups: GROUPS,
      })
      const slowest = Math.min(...results.filter(({ name }) => isClient(name)).map(({ value }) => value))
      const perSecond = Math.round(slowest / 2000) * 1000
      await bench.compare({
        bench: `${operation} open loop p99 ms`,
        load: { kind: 'openLoop', perSecond },
        sides,
        groups: GROUPS,
      })
    }
    await compareBytes(bench, [rawGridClient(grid), rawIoredisClient(redis), rawIoredisClient(redis, true)])
  },
}

/** Bytes in and out: what is left when nobody encodes or decodes. */
async function compareBytes(bench: Bench, clients: readonly MapClient[]): Promise<void> {
  for (const client of clients) await fill(client)
  for (const operation of OPERATIONS)
    await bench.compare({
      bench: `${operation} raw bytes ops/s`,
      load: { kind: 'rate', inFlight: 512 },
      sides: sidesOf(clients, operation),
    })
}

/** Puts all values, and sees that each client gives back what was put. */
export async function prepare(clients: readonly MapClient[]): Promise<void> {
  for (const client of clients) {
    await fill(client)
    for (const id of [0, KEYS - 1]) assert.deepEqual(await client.get(id), values[id], client.name)
  }
}

async function fill({ put }: MapClient): Promise<void> {
  const batch = 500
  for (let from = 0; from < KEYS; from += batch)
    await Promise.all(Array.from({ length: batch }, (_, i) => put(from + i)))
}
