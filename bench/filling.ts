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
  put(id: number, value: number): Promise<unknown>
  memory(): Promise<Memory>
}

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

const IN_FLIGHT = 512

export function gridStore({ grid, members }: Cluster): Store {
  const map = grid.map<string, Reading>('bench')
  return {
    name: 'actorgrid',
    version: '',
    put: (id, value) => map.put(makeKey(id), makeValue(value)),
    async memory() {
      const { storeBytes, residentBytes } = await members[0]!.look()
      return { accounted: storeBytes, resident: residentBytes }
    },
  }
}

export function redisStore(redis: RedisServer): Store {
  const client = redis.ioredis({ enableAutoPipelining: true })
  return {
    name: 'Redis',
    version: redis.version,
    put: (id, value) => client.set(makeKey(id), pack(makeValue(value))),
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
  const loadedPerSecond = await each(entries, (i) => store.put(i, i))
  const loaded = await anEntry()
  await between()
  const overwrite = (i: number): Promise<unknown> => store.put(scattered(i, entries), i)
  const overwrittenPerSecond = await each(overwrites, overwrite)
  return { loaded, overwritten: await anEntry(), loadedPerSecond, overwrittenPerSecond }
}

/** Calls for each number below `count`, so many at a time; how many a second that were. */
export async function each(count: number, call: (i: number) => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await call(next++)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return (count / (performance.now() - startMs)) * 1000
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
