/**
 * Fills a store with entries and overwrites them in an order that scatters, and says what an entry takes in memory and how
 * many are written in a second. By its own account (ours: blocks, index, history for watchers and sessions' records;
 * Redis: `used_memory`) and by what the process has grown as the operating system sees it.
 */

import { readFileSync } from 'node:fs'
import type { Bench } from './bench.ts'
import { resultOf } from './contest.ts'
import type { Cluster } from './servers/cluster.ts'
import type { RedisServer } from './servers/redis.ts'
import { makeKey, makeValue, pack, type Reading, scattered } from './value.ts'

/** Ours or a rival's, empty at first. */
export interface Store {
  readonly name: string
  readonly version: string
  /** Puts an entry for each i from `from` up to, not including, `to`, in one call. */
  put(from: number, to: number, keyOf: NumberOf): Promise<unknown>
  memory(): Promise<Memory>
}

/** The number of the key of the i-th entry that is put; its value has the number i. */
export type NumberOf = (i: number) => number

/** Bytes. */
export interface Memory {
  readonly accounted: number
  readonly resident: number
}

export interface Filled {
  /** An entry. */
  readonly loaded: Memory
  readonly overwritten: Memory
  readonly loadedPerSecond: number
  readonly overwrittenPerSecond: number
}

/** Entries in a call, and calls at a time. */
const BATCH = 1000
const IN_FLIGHT = 2

export function gridStore({ grid, members }: Cluster): Store {
  const map = grid.map<string, Reading>('bench')
  return {
    name: 'actorgrid',
    version: '',
    put: (from, to, keyOf) =>
      map.putAll(range(from, to).map((i) => [makeKey(keyOf(i)), makeValue(i)] as const)),
    async memory() {
      const { storeBytes, residentBytes } = await members[0]!.look()
      return { accounted: storeBytes, resident: residentBytes }
    },
  }
}

export function redisStore(redis: RedisServer): Store {
  const client = redis.ioredis()
  return {
    name: 'Redis',
    version: redis.version,
    put: (from, to, keyOf) =>
      client.mset(range(from, to).flatMap((i) => [makeKey(keyOf(i)), pack(makeValue(i))])),
    async memory() {
      const info = await client.info()
      const pid = /process_id:(\d+)/.exec(info)?.[1]
      const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return { accounted: Number(/used_memory:(\d+)/.exec(info)?.[1]), resident: Number(resident) * 1024 }
    },
  }
}

/** `between` is called when all are loaded. */
export async function fillAndOverwrite(
  store: Store,
  entries: number,
  overwrites: number,
  between: () => Promise<unknown> = async () => {},
): Promise<Filled> {
  const before = await store.memory()
  const anEntry = async (): Promise<Memory> => {
    const { accounted, resident } = await store.memory()
    return {
      accounted: (accounted - before.accounted) / entries,
      resident: (resident - before.resident) / entries,
    }
  }
  const loadedPerSecond = await inBatches(entries, (from, to) => store.put(from, to, (i) => i))
  const loaded = await anEntry()
  await between()
  const overwrittenPerSecond = await inBatches(overwrites, (from, to) =>
    store.put(from, to, (i) => scattered(i, entries)),
  )
  return { loaded, overwritten: await anEntry(), loadedPerSecond, overwrittenPerSecond }
}

/** Calls for all numbers below `count`, a batch in each call; how many numbers a second that were. */
export async function inBatches(
  count: number,
  call: (from: number, to: number) => Promise<unknown>,
): Promise<number> {
  const startMs = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const from = next
      next = Math.min(count, from + BATCH)
      await call(from, next)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return (count / (performance.now() - startMs)) * 1000
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}

/** `suffix` tells rows of different sizes apart. */
export function addMemoryRows(
  bench: Bench,
  suffix: string,
  ours: Filled,
  store: Store,
  theirs: Filled,
): void {
  for (const [when, name] of [
    ['loaded', ''],
    ['overwritten', ' overwritten'],
  ] as const)
    for (const [kind, what] of [
      ['accounted', 'store'],
      ['resident', 'process'],
    ] as const)
      bench.addRow(
        { bench: `${what} bytes/entry${name}${suffix}`, inFlight: null, better: 'lower' },
        resultOf('actorgrid', '', [{ value: ours[when][kind] }]),
        resultOf(store.name, store.version, [{ value: theirs[when][kind] }]),
      )
}
