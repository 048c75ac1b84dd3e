/**
 * Bytes that an entry takes in memory, after loading and again after each entry was overwritten twice on average, in
 * an order that scatters. Each side is a process of its own. Compared by their own accounts (blocks and index; Redis's
 * `used_memory`), and by what the processes have grown as the operating system sees them.
 */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/client/connect.ts'
import type { Bench, Part } from '../bench.ts'
import { type Result, resultOf } from '../contest.ts'
import { start } from '../servers/child.ts'
import { type RedisServer, startRedis } from '../servers/redis.ts'
import type { StoreMemory } from '../servers/store-member.ts'
import { makeKey, makeValue, pack, type Reading } from '../value.ts'

const BATCH = 2000
const OVERWRITES = 2
/** Odd, and no factor of the numbers of entries: each of them comes once in as many steps. */
const STRIDE = 514_229

/** Bytes an entry. */
interface Memory {
  readonly accounted: number
  readonly resident: number
}
interface Usage {
  readonly loaded: Memory
  readonly overwritten: Memory
}

export const storePart: Part = {
  name: 'store',
  about: 'bytes an entry against Redis, after heavy overwriting too',
  async run(bench) {
    for (const entries of bench.settings.storeEntries) {
      const suffix = entries === 1_000_000 ? '' : ` (${entries / 1e6} M entries)`
      bench.note(`store, ${entries} entries`)
      const ours = await oursOf(entries)
      const redis = await bench.openRival('store', 'Redis', startRedis)
      if (redis === undefined) return
      const theirs = await redisOf(redis, entries)
      await bench.close()
      for (const [when, name] of [
        ['loaded', ''],
        ['overwritten', ' overwritten'],
      ] as const) {
        addRow(
          bench,
          `store bytes/entry${name}${suffix}`,
          ours[when].accounted,
          redis,
          theirs[when].accounted,
        )
        addRow(
          bench,
          `process bytes/entry${name}${suffix}`,
          ours[when].resident,
          redis,
          theirs[when].resident,
        )
      }
    }
  },
}

function addRow(bench: Bench, name: string, ours: number, redis: RedisServer, theirs: number): void {
  const once = (side: string, version: string, value: number): Result => resultOf(side, version, [{ value }])
  bench.addRow(
    { bench: name, inFlight: null, better: 'lower' },
    once('actorgrid', '', ours),
    once('Redis', redis.version, theirs),
  )
}

async function oursOf(entries: number): Promise<Usage> {
  const path = fileURLToPath(new URL('../servers/store-member.js', import.meta.url))
  const server = await start({
    name: 'the member',
    command: process.execPath,
    args: [path],
    ready: /ready/,
    ipc: true,
  })
  try {
    const [{ address }] = (await once(server.child, 'message')) as [{ address: string }]
    const grid = await connect({ members: address, cluster: 'bench' })
    const map = grid.map<string, Reading>('bench')
    const memory = async (): Promise<StoreMemory> => {
      server.child.send('memory')
      return ((await once(server.child, 'message')) as [StoreMemory])[0]
    }
    const before = await memory()
    const since = async (): Promise<Memory> => {
      const { storeBytes, residentBytes } = await memory()
      return {
        accounted: (storeBytes - before.storeBytes) / entries,
        resident: (residentBytes - before.residentBytes) / entries,
      }
    }
    const usage = await fillAndOverwrite(
      entries,
      (id, value) => map.put(makeKey(id), makeValue(value)),
      since,
    )
    await grid.close()
    return usage
  } finally {
    const ended = once(server.child, 'exit')
    server.child.send('stop')
    await ended
  }
}

async function redisOf(redis: RedisServer, entries: number): Promise<Usage> {
  const client = redis.ioredis()
  const used = async (): Promise<Memory> => {
    const info = await client.info()
    const pid = /process_id:(\d+)/.exec(info)?.[1]
    const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return { accounted: Number(/used_memory:(\d+)/.exec(info)?.[1]), resident: Number(resident) * 1024 }
  }
  const before = await used()
  const since = async (): Promise<Memory> => {
    const { accounted, resident } = await used()
    return {
      accounted: (accounted - before.accounted) / entries,
      resident: (resident - before.resident) / entries,
    }
  }
  return fillAndOverwrite(entries, (id, value) => client.set(makeKey(id), pack(makeValue(value))), since)
}

async function fillAndOverwrite(
  entries: number,
  put: (id: number, value: number) => Promise<unknown>,
  memory: () => Promise<Memory>,
): Promise<Usage> {
  await inBatches(entries, (i) => put(i, i))
  const loaded = await memory()
  await inBatches(OVERWRITES * entries, (i) => put((i * STRIDE) % entries, i))
  return { loaded, overwritten: await memory() }
}

async function inBatches(count: number, put: (i: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += BATCH)
    await Promise.all(Array.from({ length: BATCH }, (_, i) => put(from + i)))
}
