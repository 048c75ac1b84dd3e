/** Every operation and option that a program can use, through a client, over a cluster of three members. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PartialError } from '../../src/client/bulk.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import type { MapOptions } from '../../src/client/options.ts'
import type { Change } from '../../src/client/watch-change.ts'
import type { Key } from '../../src/core/wire/key.ts'
import { defineProcessor, type EntryView, type Version } from '../../src/core/wire/processor.ts'
import { startTestCluster, type TestCluster } from '../../src/testing.ts'

interface Reading {
  site: string
  temp: number
  tags?: string[]
  at?: { zone: string; floor?: number }
}

const scale = defineProcessor('scale', (entry: EntryView<string, Reading>, by: number) => {
  if (!entry.value) return 'nothing'
  entry.set({ ...entry.value, temp: entry.value.temp * by })
  return entry.value.temp * by
})
const drop = defineProcessor('drop', (entry: EntryView<string, Reading>) => entry.remove())
const fail = defineProcessor('fail', (entry: EntryView<string, Reading>) => {
  entry.set({ site: 'changed', temp: 0 })
  throw new Error('the sensor is broken')
})
// What the compiler would refuse, a program without types can do.
const promise = defineProcessor('promise', (async (entry) => entry.remove()) as (
  entry: EntryView<string, Reading>,
) => unknown)
const look = defineProcessor('look', ({ key, exists, version, value }: EntryView<string, Reading>) => ({
  key,
  exists,
  version: version ?? null,
  value: value ?? null,
}))
const renew = defineProcessor('renew', (entry: EntryView<string, Reading>, ttlMs: number | null) =>
  entry.set(entry.value!, { ttlMs }),
)
const unstorable = defineProcessor('unstorable', (entry: EntryView<string, Reading>) =>
  entry.set({ site: 'x', temp: 0, tags: new Map() as never }),
)
const processors = [scale, drop, fail, promise, look, renew, unstorable]

let cluster: TestCluster
let grid: Grid
let maps = 0

beforeAll(async () => {
  cluster = await startTestCluster({ processors })
  grid = cluster.grid
})

afterAll(() => cluster.close())

function newMap<V = Reading, K extends Key = string>(config?: MapOptions): GridMap<K, V> {
  return grid.map<K, V>(`map-${++maps}`, config)
}

/** Reads changes one by one. */
class Reader<K extends Key, V> {
  readonly #iterator: AsyncIterator<Change<K, V>, undefined>

  constructor(watch: AsyncIterable<Change<K, V>>) {
    this.#iterator = watch[Symbol.asyncIterator]() as AsyncIterator<Change<K, V>, undefined>
  }

  async next(): Promise<Change<K, V>> {
    const { value, done } = await this.#iterator.next()
    if (done) throw new Error('the watch has ended')
    return value
  }

  async take(count: number): Promise<Change<K, V>[]> {
    const changes: Change<K, V>[] = []
    while (changes.length < count) changes.push(await this.next())
    return changes
  }

  /** The first change of this kind; those before it are passed over. */
  async until(type: Change['type'], key?: K): Promise<Change<K, V>> {
    for (;;) {
      const change = await this.next()
      if (change.type === type && (key === undefined || change.key === key)) return change
    }
  }
}

const short = ({ type, key, value }: Change<Key, unknown>): string =>
  [type, key, value === undefined ? undefined : JSON.stringify(value)]
    .filter((part) => part !== undefined)
    .join(' ')

describe('entries', () => {
  test('put, get, has, remove', async () => {
    const map = newMap()
    expect(await map.get('a')).toBeUndefined()
    await map.put('a', { site: 'x', temp: 1 })
    expect(await map.get('a')).toEqual({ site: 'x', temp: 1 })
    expect(await map.get('a', { consistency: 'confirmed' })).toEqual({ site: 'x', temp: 1 })
    expect([await map.has('a'), await map.has('b')]).toEqual([true, false])
    expect([await map.remove('a'), await map.remove('a')]).toEqual([true, false])
    expect(await map.get('a')).toBeUndefined()
  })

  test('every kind of key and value comes back as it was', async () => {
    const map = newMap<unknown, Key>()
    const keys: Key[] = ['k', 5, 5n, -1.5, new Uint8Array([1, 2]), new Date(7), ['a', 1, ['b']]]
    const values = [
      null,
      true,
      2 ** 53,
      2n ** 80n,
      'ü',
      new Date(9),
      new Uint8Array([3]),
      [1, [2]],
      { a: { b: 1 } },
    ]
    for (const key of keys)
      for (const value of values) {
        await map.put(key, value)
        expect(await map.get(key)).toEqual(value)
      }
    expect(await map.size()).toBe(keys.length)
    const found: unknown[] = []
    for await (const key of map.keys()) found.push(key)
    expect(found).toHaveLength(keys.length)
    expect(found).toEqual(expect.arrayContaining(keys as unknown[]))
  })

  test('putIfAbsent and replace look first', async () => {
    const map = newMap<number>()
    expect([await map.putIfAbsent('a', 1), await map.putIfAbsent('a', 2)]).toEqual([true, false])
    expect(await map.get('a')).toBe(1)
    expect([await map.replace('a', 3), await map.replace('b', 3)]).toEqual([true, false])
    expect([await map.get('a'), await map.get('b')]).toEqual([3, undefined])
  })

  test('versions: replace and remove of what has changed since are refused', async () => {
    const map = newMap<number>()
    await map.put('a', 1)
    const { version, value, key, expiresAt } = (await map.getEntry('a'))!
    expect({ key, value, expiresAt }).toEqual({ key: 'a', value: 1, expiresAt: undefined })
    expect(await map.replace('a', 2, { ifVersion: version })).toBe(true)
    expect(await map.replace('a', 3, { ifVersion: version })).toBe(false)
    expect(await map.remove('a', { ifVersion: version })).toBe(false)
    expect(await map.remove('a', { ifVersion: (await map.getEntry('a'))!.version })).toBe(true)
    expect(await map.getEntry('a')).toBeUndefined()
    await expect(map.replace('a', 1, { ifVersion: 'soon' as Version })).rejects.toMatchObject({
      code: 'BAD_TOKEN',
    })
  })

  test('of many increments by version or by operator none is lost', async () => {
    const map = newMap<{ n: number; m: number }>()
    await map.put('a', { n: 0, m: 0 })
    const byVersion = async (): Promise<void> => {
      for (;;) {
        const { value, version } = (await map.getEntry('a'))!
        if (await map.replace('a', { ...value, n: value.n + 1 }, { ifVersion: version })) return
      }
    }
    await Promise.all(
      Array.from({ length: 10 }, () => [byVersion(), map.update('a', { $inc: { m: 1 } })]).flat(),
    )
    expect(await map.get('a')).toEqual({ n: 10, m: 10 })
  })

  test('getAll, putAll, removeAll', async () => {
    const map = newMap<number>()
    const entries = Array.from({ length: 3000 }, (_, i) => [`k${i}`, i] as const)
    await map.putAll(entries)
    expect(await map.size()).toBe(3000)
    expect(await map.getAll(['k0', 'k2999', 'none'])).toEqual(
      new Map([
        ['k0', 0],
        ['k2999', 2999],
      ]),
    )
    expect(await map.removeAll(['k0', 'k1', 'none'])).toBe(2)
    expect(await map.size()).toBe(2998)
  })

  test('a bulk call of which some fail says so for each key, and the others are done', async () => {
    const map = newMap<unknown>()
    const error = await map
      .putAll([
        ['a', 1],
        ['b', () => {}],
        ['c', 3],
      ])
      .catch((e: unknown) => e)
    expect(error).toBeInstanceOf(PartialError)
    const { outcomes, code, applied } = error as PartialError
    expect({ code, applied }).toEqual({ code: 'BAD_VALUE', applied: 'unknown' })
    expect([...outcomes].map(([key, { ok }]) => [key, ok]).sort()).toEqual([
      ['a', true],
      ['b', false],
      ['c', true],
    ])
    expect(await map.getAll(['a', 'b', 'c'])).toEqual(
      new Map([
        ['a', 1],
        ['c', 3],
      ]),
    )
  })

  test('clear takes everything, of this map alone', async () => {
    const [map, other] = [newMap<number>(), newMap<number>()]
    await map.putAll(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]))
    await other.put('k1', 1)
    expect(await map.clear()).toBe(100)
    expect([await map.size(), await map.clear(), await other.get('k1')]).toEqual([0, 0, 1])
    expect(await map.get('k1')).toBeUndefined()
  })

  test('pages show what is there all the time once, while writes go on', async () => {
    const map = newMap<{ n: number }, number>()
    const stays = Array.from({ length: 8000 }, (_, i) => i * 2)
    await map.putAll(stays.map((key) => [key, { n: key }]))
    let writing = true
    const writer = (async () => {
      for (let i = 0; writing; i++) {
        await Promise.all([map.put(2 * (i % 8000) + 1, { n: i }), map.put(2 * (i % 8000), { n: -1 })])
        if (i > 100) await map.remove(2 * ((i - 100) % 8000) + 1)
      }
    })()
    const seen = new Map<number, number>()
    for await (const [key] of map.entries()) seen.set(key, (seen.get(key) ?? 0) + 1)
    const even: number[] = []
    for await (const key of map.keys({ where: { n: { $gte: -1 } } })) if (key % 2 === 0) even.push(key)
    writing = false
    await writer
    expect([...seen].filter(([, times]) => times !== 1)).toEqual([])
    expect([...seen.keys()].filter((key) => key % 2 === 0)).toHaveLength(stays.length)
    expect(even.sort((a, b) => a - b)).toEqual(stays)
  })

  test('leaving a loop over entries early ends the paging', async () => {
    const map = newMap<number>()
    await map.putAll(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]))
    for await (const [, value] of map.entries()) if (value > -1) break
    expect(grid.pendingCalls).toBeLessThan(2)
  })
})

describe('update operators', () => {
  test('each of them', async () => {
    const map = newMap<Record<string, unknown>>()
    await map.put('a', { n: 2, m: 5, tags: ['x', 'y', 'x'], deep: { gone: 1, stays: 1 } })
    const value = await map.update('a', {
      $set: { 'deep.new': 'v' },
      $unset: { 'deep.gone': true },
      $inc: { n: 3 },
      $mul: { m: 2 },
      $min: { least: 4 },
      $max: { most: 9 },
      $push: { list: { $each: [1, 2] } },
      $pull: { tags: 'x' },
    } as never)
    const wanted = { n: 5, m: 10, tags: ['y'], deep: { stays: 1, new: 'v' }, least: 4, most: 9, list: [1, 2] }
    expect(value).toEqual(wanted)
    expect(await map.get('a')).toEqual(wanted)
  })

  test('of a missing entry begin with an empty one; one that does not fit changes nothing', async () => {
    const map = newMap<Record<string, unknown>>()
    expect(await map.update('a', { $inc: { n: 1 }, $push: { tags: 'hot' } })).toEqual({ n: 1, tags: ['hot'] })
    await expect(map.update('a', { $inc: { tags: 1 }, $set: { n: 7 } })).rejects.toMatchObject({
      code: 'BAD_UPDATE',
    })
    await expect(map.update('a', { $add: { n: 1 } } as never)).rejects.toThrow(/BAD_UPDATE.*\$add/)
    expect(await map.get('a')).toEqual({ n: 1, tags: ['hot'] })
  })
})

describe('entry processors', () => {
  test('run on an entry and return their result', async () => {
    const map = newMap()
    await map.put('a', { site: 'x', temp: 10 })
    expect(await map.invoke('a', scale, 3)).toBe(30)
    expect(await map.invoke('b', scale, 3)).toBe('nothing')
    expect(await map.has('b')).toBe(false)
    const { version } = (await map.getEntry('a'))!
    expect(await map.invoke('a', look)).toEqual({
      key: 'a',
      exists: true,
      version,
      value: { site: 'x', temp: 30 },
    })
    expect(await map.invoke('b', look)).toEqual({ key: 'b', exists: false, version: null, value: null })
    expect(await map.invoke('a', drop)).toBeNull()
    expect(await map.has('a')).toBe(false)
  })

  test('that throw, or return what cannot be, change nothing', async () => {
    const map = newMap()
    await map.put('a', { site: 'x', temp: 10 })
    const before = await map.getEntry('a')
    await expect(map.invoke('a', fail)).rejects.toMatchObject({
      code: 'PROCESSOR_FAILED',
      applied: 'no',
      message: expect.stringMatching(/fail.*the sensor is broken/),
    })
    await expect(map.invoke('a', promise)).rejects.toThrow(/PROCESSOR_FAILED.*promise/)
    await expect(map.invoke('a', unstorable)).rejects.toThrow(/PROCESSOR_FAILED.*tags/)
    expect(await map.getEntry('a')).toEqual(before)
  })

  test('of an unknown name: the error says which there are', async () => {
    const map = newMap()
    await expect(map.invoke('a', 'scael', 1)).rejects.toMatchObject({
      code: 'UNKNOWN_PROCESSOR',
      message: expect.stringMatching(/scael.*scale.*drop/),
    })
  })

  test('run on all entries, or on those that match', async () => {
    const map = newMap()
    await map.putAll(
      Array.from({ length: 50 }, (_, i) => [`k${i}`, { site: i % 2 ? 'odd' : 'even', temp: i }]),
    )
    const odd = await map.invokeAll(scale, 10, { where: { site: 'odd' } })
    expect(odd.size).toBe(25)
    expect(odd.get('k3')).toBe(30)
    expect([await map.get('k3'), await map.get('k4')]).toMatchObject([{ temp: 30 }, { temp: 4 }])
    expect((await map.invokeAll(drop)).size).toBe(50)
    expect(await map.size()).toBe(0)
  })
})

describe('queries', () => {
  let map: GridMap<string, Reading>

  beforeAll(async () => {
    map = newMap()
    const sites = ['north', 'south', 'west']
    await map.putAll(
      Array.from({ length: 60 }, (_, i) => {
        const reading: Reading = { site: sites[i % 3]!, temp: i, at: { zone: `z${i % 4}` } }
        return [`k${i}`, i % 10 === 0 ? { ...reading, tags: ['hot', `t${i}`] } : reading]
      }),
    )
  })

  const keysOf = (rows: readonly { key: string }[]): string[] => rows.map(({ key }) => key)

  test('with each operator', async () => {
    const count = async (where: object): Promise<number> => (await map.query({ where } as never)).length
    expect(await count({})).toBe(60)
    expect(await count({ site: 'north' })).toBe(20)
    expect(await count({ temp: { $gt: 50, $lte: 55 } })).toBe(5)
    expect(await count({ temp: { $gte: 50, $lt: 55 } })).toBe(5)
    expect(await count({ site: { $ne: 'north' } })).toBe(40)
    expect(await count({ temp: { $in: [1, 2, 99] } })).toBe(2)
    expect(await count({ site: { $nin: ['north', 'south'] } })).toBe(20)
    expect(await count({ tags: { $exists: true } })).toBe(6)
    expect(await count({ tags: { $contains: 'hot' } })).toBe(6)
    expect(await count({ tags: { $contains: 't20' } })).toBe(1)
    expect(await count({ 'at.zone': 'z1' })).toBe(15)
    expect(await count({ site: { $startsWith: 'no' } })).toBe(20)
    expect(await count({ $or: [{ temp: 1 }, { temp: 2 }] })).toBe(2)
    expect(await count({ $and: [{ temp: { $gt: 1 } }, { temp: { $lt: 3 } }] })).toBe(1)
    expect(await count({ $not: { site: 'north' } })).toBe(40)
  })

  test('ordered, cut and projected, by a field that is not selected too', async () => {
    const rows = await map.query({
      where: { site: 'north' },
      orderBy: [['temp', 'desc']],
      limit: 3,
      select: ['site'],
    })
    expect(rows).toEqual([57, 54, 51].map((i) => ({ key: `k${i}`, value: { site: 'north' } })))
    const two = await map.query({
      orderBy: [
        ['at.zone', 'asc'],
        ['temp', 'desc'],
      ],
      limit: 2,
      select: ['temp'],
    })
    expect(two).toEqual([
      { key: 'k56', value: { temp: 56 } },
      { key: 'k52', value: { temp: 52 } },
    ])
    expect(await map.query({ limit: 0 })).toEqual([])
    expect(keysOf(await map.query({ limit: 7 }))).toHaveLength(7)
  })
})

describe('expiry', () => {
  test('by the default of the map, by entry, and not at all', async () => {
    const map = newMap<number>({ ttlMs: 40 })
    const reader = new Reader(map.watch({ initial: false }))
    await Promise.all([
      map.put('default', 1),
      map.put('long', 1, { ttlMs: 600_000 }),
      map.put('never', 1, { ttlMs: null }),
    ])
    const gone = await reader.until('remove')
    expect(gone).toMatchObject({ key: 'default', cause: 'expired' })
    expect(await map.getAll(['default', 'long', 'never'])).toEqual(
      new Map([
        ['long', 1],
        ['never', 1],
      ]),
    )
    expect((await map.getEntry('never'))!.expiresAt).toBeUndefined()
    expect((await map.getEntry('long'))!.expiresAt).toBeGreaterThan(Date.now() + 500_000)
  })

  test('is kept by update, invoke and replace, and set anew where that is asked for', async () => {
    const map = newMap()
    await map.put('a', { site: 'x', temp: 1 }, { ttlMs: 600_000 })
    const { expiresAt } = (await map.getEntry('a'))!
    await map.update('a', { $inc: { temp: 1 } })
    await map.invoke('a', scale, 2)
    await map.replace('a', { site: 'y', temp: 4 })
    expect(await map.getEntry('a')).toMatchObject({ expiresAt, value: { site: 'y' } })
    await map.invoke('a', renew, 900_000)
    expect((await map.getEntry('a'))!.expiresAt).toBeGreaterThan(expiresAt! + 200_000)
    await map.invoke('a', renew, null)
    expect((await map.getEntry('a'))!.expiresAt).toBeUndefined()
    await map.replace('a', { site: 'y', temp: 4 }, { ttlMs: 1000 })
    await map.put('a', { site: 'y', temp: 4 })
    expect((await map.getEntry('a'))!.expiresAt).toBeUndefined()
  })

  test('an entry past its time is gone for every read, swept or not, and putIfAbsent takes its place', async () => {
    const map = newMap<number>()
    const watch = map.watch({ initial: false })
    const reader = new Reader(watch)
    await map.put('a', 1, { ttlMs: 30 })
    while (await map.has('a')) {}
    expect([await map.get('a'), await map.getEntry('a'), await map.replace('a', 2)]).toEqual([
      undefined,
      undefined,
      false,
    ])
    expect(await map.query()).toEqual([])
    expect(await map.putIfAbsent('a', 3)).toBe(true)
    const told = (await reader.take(3)).map(short)
    expect(told).toEqual(['put a 1', 'remove a', 'put a 3'])
  })

  test('after idleness, counted from the last read or write, never early', async () => {
    const map = newMap<number>({ maxIdleMs: 300 })
    const reader = new Reader(map.watch({ initial: false }))
    await map.put('idle', 1)
    const putMs = Date.now()
    await map.put('used', 1)
    let using = true
    const user = (async () => {
      while (using) await map.get('used')
    })()
    const gone = await reader.until('remove')
    using = false
    await user
    expect(gone).toMatchObject({ key: 'idle', cause: 'expired' })
    expect(Date.now() - putMs).toBeGreaterThanOrEqual(300)
    expect(await map.has('used')).toBe(true)
  })
})

describe('eviction', () => {
  for (const policy of ['lru', 'lfu'] as const) {
    test(`${policy} by entries: bounded, and told with its cause`, async () => {
      const map = newMap<number>({ eviction: { policy, maxEntries: 310 } })
      const reader = new Reader(map.watch({ initial: false }))
      await map.putAll(Array.from({ length: 2000 }, (_, i) => [`k${i}`, i]))
      expect(await reader.until('remove')).toMatchObject({ cause: 'evicted' })
      const size = await map.size()
      expect(size).toBeLessThanOrEqual(310)
      expect(size).toBeGreaterThan(200)
    })

    test(`${policy} by bytes`, async () => {
      const map = newMap<string>({ eviction: { policy, maxBytes: 310_000 } })
      await map.putAll(Array.from({ length: 1000 }, (_, i) => [`k${i}`, 'x'.repeat(1000)]))
      const size = await map.size()
      expect(size).toBeLessThanOrEqual(310)
      expect(size).toBeGreaterThan(200)
    })
  }

  test('lfu keeps what is read often', async () => {
    const map = newMap<number>({ eviction: { policy: 'lfu', maxEntries: 31 * 10 } })
    const favourites = Array.from({ length: 31 }, (_, i) => `favourite-${i}`)
    await map.putAll(favourites.map((key, i) => [key, i]))
    for (let i = 0; i < 200; i++) await map.getAll(favourites)
    await map.putAll(Array.from({ length: 3000 }, (_, i) => [`k${i}`, i]))
    expect((await map.getAll(favourites)).size).toBeGreaterThan(25)
  })
})

describe('the configuration of a map', () => {
  test('that differs from the one it was created with is refused, with the difference', async () => {
    const config = { ttlMs: 5000, eviction: { policy: 'lru', maxEntries: 10 } } as const
    await newMap(config).put('a', { site: 'x', temp: 1 })
    const name = `map-${maps}`
    const other = await cluster.connect()
    const conflict = other.map(name, { ttlMs: 6000, eviction: { policy: 'lru', maxEntries: 10 } })
    await expect(conflict.get('a')).rejects.toMatchObject({
      code: 'MAP_CONFLICT',
      message: expect.stringMatching(/ttlMs 5000, not 6000/),
    })
    expect(await other.map(name, config).get('a')).toEqual({ site: 'x', temp: 1 })
    expect(await other.map(name).get('a')).toEqual({ site: 'x', temp: 1 })
    expect(() => other.map(name, { tlMs: 1 } as never)).toThrow(/BAD_OPTION.*tlMs.*ttlMs/)
    await other.close()
  })
})

describe('watches', () => {
  test('tell what is there, then what happens', async () => {
    const map = newMap<number>()
    await map.put('a', 1)
    const watch = map.watch()
    await watch.ready
    const reader = new Reader(watch)
    await map.put('b', 2)
    await map.remove('a')
    const changes = await reader.take(3)
    expect(changes.map(short).sort()).toEqual(['put b 2', 'remove a', 'snapshot a 1'])
    expect(changes.find(({ type }) => type === 'remove')!.cause).toBe('removed')
    watch.close()
    await expect(reader.next()).rejects.toThrow('ended')
  })

  test('with a filter tell when an entry leaves it', async () => {
    const map = newMap()
    await map.put('a', { site: 'x', temp: 50 })
    await map.put('b', { site: 'x', temp: 5 })
    const watch = map.watch({ where: { temp: { $gt: 40 } } })
    await watch.ready
    const reader = new Reader(watch)
    await map.update('a', { $set: { temp: 1 } })
    await map.update('a', { $set: { temp: 2 } })
    await map.update('a', { $set: { temp: 90 } })
    expect((await reader.take(3)).map(({ type, key }) => `${type} ${key}`)).toEqual([
      'snapshot a',
      'leave a',
      'put a',
    ])
    watch.close()
  })

  test('tell of a clear, of the keys that it covers', async () => {
    const map = newMap<number>()
    await map.putAll([
      ['a', 1],
      ['b', 2],
    ])
    const watch = map.watch()
    await watch.ready
    const reader = new Reader(watch)
    const held = new Set((await reader.take(2)).map(({ key }) => key as string))
    await map.clear()
    while (held.size > 0) {
      const change = await reader.next()
      expect(change.type).toBe('clear')
      if (change.type === 'clear') for (const key of held) if (change.covers(key)) held.delete(key)
    }
    watch.close()
  })

  test('go on from a token, in another client, after what the first had seen', async () => {
    const map = newMap<number>()
    const name = map.name
    const first = await cluster.connect()
    const watch = first.map<string, number>(name).watch()
    await watch.ready
    for (let i = 1; i <= 3; i++) await map.put('a', i)
    const reader = new Reader(watch)
    const { token } = (await reader.take(2))[1]!
    await first.close()
    await map.put('a', 4)
    await map.put('b', 5)
    const second = await cluster.connect()
    const again = new Reader(second.map<string, number>(name).watch({ resume: token }))
    const rest = (await again.take(3)).map(short)
    expect(rest.filter((text) => text.includes(' a '))).toEqual(['put a 3', 'put a 4'])
    expect(rest).toContain('put b 5')
    await second.close()
  })

  test('refuse a token that was damaged or made for another map', async () => {
    const [map, other] = [newMap<number>(), newMap<number>()]
    await map.put('a', 1)
    const { token } = await new Reader(map.watch()).next()
    for (const [from, resume] of [
      [other, token],
      [map, `${token.slice(0, 9)}${token[9] === 'A' ? 'B' : 'A'}${token.slice(10)}`],
      [map, token.slice(0, -6)],
    ] as const)
      await expect(new Reader(from.watch({ resume })).next()).rejects.toMatchObject({ code: 'BAD_TOKEN' })
  })

  test('end at their signal, and when their loop is left', async () => {
    const map = newMap<number>()
    await map.put('a', 1)
    for await (const change of map.watch()) {
      expect(short(change)).toBe('snapshot a 1')
      break
    }
    const giveUp = new AbortController()
    const seen: string[] = []
    for await (const change of map.watch({ signal: giveUp.signal })) {
      seen.push(short(change))
      giveUp.abort()
    }
    expect(seen).toEqual(['snapshot a 1'])
  })

  test('where the history is gone a resumed watch is reset and told anew', async () => {
    await using small = await startTestCluster({ members: 1, partitionCount: 1, member: { historyBytes: 0 } })
    const map = small.grid.map<string, string>('m')
    await map.put('a', 'first')
    const { token } = await new Reader(map.watch()).next()
    await map.remove('a')
    for (let i = 0; i < 200; i++) await map.put('b', 'x'.repeat(2000))
    const reader = new Reader(map.watch({ resume: token }))
    const reset = await reader.next()
    expect(reset.type).toBe('reset')
    if (reset.type === 'reset') expect(reset.covers('a')).toBe(true)
    expect(await reader.next()).toMatchObject({ type: 'snapshot', key: 'b' })
  })
})

describe('giving up', () => {
  test('a signal that has gone off sends nothing; one that goes off later leaves the outcome open', async () => {
    const map = newMap<number>()
    await map.put('a', 1)
    await expect(map.put('a', 2, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ABORTED',
      applied: 'no',
    })
    expect(await map.get('a')).toBe(1)
    const giveUp = new AbortController()
    const put = map.put('a', 3, { signal: giveUp.signal })
    giveUp.abort()
    await expect(put).rejects.toMatchObject({ code: 'ABORTED', applied: 'unknown' })
    expect([1, 3]).toContain(await map.get('a'))
  })

  test('a closed client says so, and leaves others alone', async () => {
    const other = await cluster.connect()
    const map = other.map<string, number>(`map-${++maps}`)
    await map.put('a', 1)
    await other.close()
    await expect(map.get('a')).rejects.toMatchObject({ code: 'CLOSED' })
    expect(await grid.map<string, number>(map.name).get('a')).toBe(1)
  })
})

describe('bounds', () => {
  test('of a key, a value, an argument and a result', async () => {
    const map = newMap<unknown>()
    await expect(map.put('k'.repeat(1025), 1)).rejects.toThrow(/TOO_LARGE.*keyBytesMax/)
    await expect(map.put('a', 'x'.repeat(1024 * 1024 + 1))).rejects.toThrow(/TOO_LARGE.*valueBytesMax/)
    await map.put('a', 'x'.repeat(1024 * 1024 - 16))
    expect(((await map.get('a')) as string).length).toBe(1024 * 1024 - 16)
    await map.put('b', { text: 'x'.repeat(70_000) })
    await expect(map.update('b', { $set: { more: 1 } })).rejects.toThrow(/RESULT_TOO_LARGE.*replyBytesMax/)
    expect(await map.get('b')).toEqual({ text: 'x'.repeat(70_000) })
  })

  test('of the rows of a query', async () => {
    const map = newMap<number, number>()
    for (let i = 0; i < 101_000; i += 10_100)
      await map.putAll(Array.from({ length: 10_100 }, (_, j) => [i + j, 1]))
    await expect(map.query()).rejects.toThrow(/RESULT_TOO_LARGE.*queryRowsMax/)
    expect(await map.query({ limit: 10 })).toHaveLength(10)
    expect(await map.size()).toBe(101_000)
    await map.clear()
  })
})

describe('the cluster', () => {
  test('its members and partitions, and what happens to them', async () => {
    await using small = await startTestCluster({ members: 2, partitionCount: 8 })
    expect(
      small.grid
        .members()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['member-1', 'member-2'])
    expect(small.grid.partitions()).toHaveLength(8)
    const events = small.grid.events()
    await small.add()
    for await (const event of events) {
      if (event.type !== 'memberJoined') continue
      expect(event.member.name).toBe('member-3')
      break
    }
  })
})
