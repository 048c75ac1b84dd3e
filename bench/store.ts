/**
 * Bytes that an entry takes in memory, over a million entries: ours by the member's own account (blocks and index, a
 * cluster of one member inside this process), Redis's by the difference of `used_memory`.
 */

import { startTestCluster } from '../src/testing.ts'
import { makeRow, type Row } from './row.ts'
import { startRedis } from './server.ts'
import { makeKey, makeValue, packr, type Reading } from './value.ts'

const ENTRIES = 1_000_000
const BATCH = 2000

export async function benchStore(): Promise<Row> {
  const ours = await oursPerEntry()
  const theirs = await redisPerEntry()
  const row = {
    bench: 'store bytes/entry',
    inFlight: null,
    rival: 'Redis',
    better: 'lower',
    goal: 0.9,
    atLeast: 1,
  } as const
  return makeRow(row, ours, theirs)
}

async function oursPerEntry(): Promise<number> {
  const cluster = await startTestCluster({ members: 1, backups: 0 })
  try {
    const [member] = cluster.members
    const map = cluster.grid.map<string, Reading>('bench')
    const before = member!.status().storeBytes
    await inBatches((id) => map.put(makeKey(id), makeValue(id)))
    return (member!.status().storeBytes - before) / ENTRIES
  } finally {
    await cluster.close()
  }
}

async function redisPerEntry(): Promise<number> {
  const redis = await startRedis()
  try {
    const used = async (): Promise<number> =>
      Number(/used_memory:(\d+)/.exec(await redis.client.info('memory'))?.[1] ?? Number.NaN)
    const before = await used()
    await inBatches((id) => redis.client.set(makeKey(id), packr.pack(makeValue(id))))
    return ((await used()) - before) / ENTRIES
  } finally {
    await redis.close()
  }
}

async function inBatches(put: (id: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < ENTRIES; from += BATCH)
    await Promise.all(Array.from({ length: BATCH }, (_, i) => put(from + i)))
}
