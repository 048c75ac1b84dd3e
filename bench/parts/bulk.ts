/** `getAll` and `putAll` of 1,000 keys against MGET and MSET. All sides take and give decoded objects. */

import assert from 'node:assert/strict'
import type { Part } from '../bench.ts'
import { startGrid } from '../servers/grid.ts'
import { ioredisVersion, startRedis } from '../servers/redis.ts'
import { sideOf } from '../side.ts'
import { KEYS, keys, pack, type Reading, unpack, values } from '../value.ts'

const SIZE = 1000
const LOADS = [1, 8]

const chunks = Array.from({ length: KEYS / SIZE }, (_, i) => {
  const ids = Array.from({ length: SIZE }, (_, k) => i * SIZE + k)
  return {
    keys: ids.map((id) => keys[id]!),
    entries: ids.map((id) => [keys[id]!, values[id]!] as const),
  }
})
const chunkOf = (id: number): (typeof chunks)[number] => chunks[id % chunks.length]!

export const bulkPart: Part = {
  name: 'bulk',
  about: 'getAll and putAll of 1,000 keys against MGET and MSET',
  async run(bench) {
    const { grid } = await bench.open(startGrid())
    const map = grid.map<string, Reading>('bench')
    const redis = await bench.openRival('getAll, putAll', 'Redis', startRedis)
    if (redis === undefined) return
    const client = redis.ioredis()
    const version = ioredisVersion(redis)
    const mset = (id: number): Promise<unknown> => {
      const flat: (string | Buffer)[] = []
      for (const [key, value] of chunkOf(id).entries) flat.push(key, pack(value))
      return client.mset(flat)
    }
    const mget = async (id: number): Promise<Reading[]> =>
      (await client.mgetBuffer(chunkOf(id).keys)).map((bytes) => unpack(bytes))
    const getAll = (id: number): Promise<Map<string, Reading>> => map.getAll(chunkOf(id).keys)
    const putAll = (id: number): Promise<void> => map.putAll(chunkOf(id).entries)
    for (let id = 0; id < chunks.length; id++) await Promise.all([putAll(id), mset(id)])
    assert.deepEqual([...(await getAll(1)).values()], await mget(1))
    for (const inFlight of LOADS) {
      const load = { kind: 'rate', inFlight } as const
      await bench.compare({
        bench: 'getAll keys/s',
        load,
        sides: [sideOf('actorgrid', '', getAll, SIZE), sideOf('ioredis MGET', version, mget, SIZE)],
      })
      await bench.compare({
        bench: 'putAll keys/s',
        load,
        sides: [sideOf('actorgrid', '', putAll, SIZE), sideOf('ioredis MSET', version, mset, SIZE)],
      })
    }
  },
}
