/**
 * Bytes that an entry takes in memory, after loading and again after each entry was overwritten twice. Each side is a
 * process of its own.
 */

import type { Part } from '../bench.ts'
import { addMemoryRows, fillAndOverwrite, gridStore, redisStore } from '../filling.ts'
import { startCluster } from '../servers/cluster.ts'
import { startRedis } from '../servers/redis.ts'

const OVERWRITES = 2

export const storePart: Part = {
  name: 'store',
  about: 'bytes an entry against Redis, after heavy overwriting too',
  async run(bench) {
    const entries = bench.settings.storeEntries
    const cluster = await startCluster({ members: 1, backups: 0 })
    const ours = await fillAndOverwrite(gridStore(cluster), entries, OVERWRITES * entries).finally(
      cluster.close,
    )
    const server = await bench.openRival('store', 'Redis', startRedis)
    if (server === undefined) return
    const redis = redisStore(server)
    addMemoryRows(bench, '', ours, redis, await fillAndOverwrite(redis, entries, OVERWRITES * entries))
  },
}
