import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PartialError } from '../../src/client/bulk.ts'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { FLAG_CONFIRMED, Operation } from '../../src/core/wire/message.ts'
import { defineProcessor, type EntryView, type Version } from '../../src/core/wire/processor.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { FakeCluster } from './fake-cluster.ts'

interface Reading {
  site: string
  temp: number
  tags?: string[]
}

let cluster: FakeCluster
let grid: Grid

beforeEach(async () => {
  const network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport())
  await cluster.add()
  await cluster.add()
  grid = await connect({
    cluster: 'test',
    members: [cluster.members[0]!.address],
    transport: network.transport(),
    limits: { pageRowsMax: 7 },
  })
})

afterEach(async () => {
  await grid.close()
  await cluster.close()
})

describe('one key', () => {
  test('put, get, has, remove', async () => {
    const map = grid.map<string, Reading>('readings')
    expect(await map.get('a')).toBeUndefined()
    expect(await map.has('a')).toBe(false)
    expect(await map.put('a', { site: 'x', temp: 1 })).toBeUndefined()
    expect(await map.get('a')).toEqual({ site: 'x', temp: 1 })
    expect(await map.has('a')).toBe(true)
    expect(await map.remove('a')).toBe(true)
    expect(await map.remove('a')).toBe(false)
    expect(await map.get('a')).toBeUndefined()
  })

  test('a stored null is not a missing entry', async () => {
    const map = grid.map<string, null>('nulls')
    await map.put('a', null)
    expect(await map.get('a')).toBeNull()
  })

  test('every kind of key', async () => {
    const map = grid.map<string | number | bigint | Date | readonly (string | number)[], number>('keys')
    const keys = ['s', 5, 5n, new Date(5), ['a', 1]] as const
    for (const [i, key] of keys.entries()) await map.put(key, i)
    for (const [i, key] of keys.entries()) expect(await map.get(key)).toBe(i)
  })

  test('versions decide replace and remove', async () => {
    const map = grid.map<string, number>('numbers')
    expect(await map.putIfAbsent('a', 1)).toBe(true)
    expect(await map.putIfAbsent('a', 2)).toBe(false)
    const old = (await map.getEntry('a'))!
    expect(old).toMatchObject({ key: 'a', value: 1, expiresAt: undefined })
    expect(await map.replace('a', 2, { ifVersion: old.version })).toBe(true)
    expect(await map.replace('a', 3, { ifVersion: old.version })).toBe(false)
    expect(await map.remove('a', { ifVersion: old.version })).toBe(false)
    const now = (await map.getEntry('a'))!
    expect(now.value).toBe(2)
    expect(await map.remove('a', { ifVersion: now.version })).toBe(true)
    expect(await map.replace('a', 1)).toBe(false)
    expect(await map.getEntry('a')).toBeUndefined()
  })

  test('a version that is none is refused before anything is sent', async () => {
    const map = grid.map<string, number>('numbers')
    await map.put('a', 1)
    const sent = cluster.calls.length
    await expect(map.remove('a', { ifVersion: 'x' as Version })).rejects.toMatchObject({
      code: 'BAD_TOKEN',
      applied: 'no',
    })
    await expect(map.replace('a', 2, { ifVersion: '70000.1' as Version })).rejects.toMatchObject({
      code: 'BAD_TOKEN',
    })
    expect(cluster.calls.length).toBe(sent)
    expect(await map.get('a')).toBe(1)
  })

  test('times to live: given, none, kept by replace and update', async () => {
    const map = grid.map<string, { n: number }>('ttl')
    await map.put('a', { n: 1 }, { ttlMs: 500 })
    expect((await map.getEntry('a'))!.expiresAt).toBe(1_000_500)
    await map.replace('a', { n: 2 })
    expect((await map.getEntry('a'))!.expiresAt).toBe(1_000_500)
    expect(await map.update('a', { $inc: { n: 5 } })).toEqual({ n: 7 })
    expect((await map.getEntry('a'))!.expiresAt).toBe(1_000_500)
    await map.put('a', { n: 3 }, { ttlMs: null })
    expect((await map.getEntry('a'))!.expiresAt).toBeUndefined()
  })

  test('confirmed reads say so on the wire', async () => {
    const map = grid.map('m')
    await map.get('a')
    await map.get('a', { consistency: 'confirmed' })
    expect(cluster.calls.map(({ flags }) => flags)).toEqual([0, FLAG_CONFIRMED])
  })

  test('what cannot be stored is refused, and harms no other call', async () => {
    const map = grid.map<string, unknown>('m')
    const good = map.put('good', 1)
    await expect(map.put('a', { x: [undefined] })).rejects.toMatchObject({ code: 'BAD_VALUE' })
    await expect(map.put(Number.NaN as never, 1)).rejects.toMatchObject({ code: 'BAD_KEY' })
    await expect(map.update('a', { $bad: {} } as never)).rejects.toMatchObject({ code: 'BAD_UPDATE' })
    const nosy = {
      get x(): number {
        void map.get('b').catch(() => {})
        return 1
      },
    }
    await map.put('c', nosy)
    await good
    expect(await map.get('c')).toEqual({ x: 1 })
    expect(await map.get('good')).toBe(1)
  })
})

describe('processors', () => {
  const add = defineProcessor('add', (entry: EntryView<string, number>, by: number) => {
    entry.set((entry.value ?? 0) + by)
    return (entry.value ?? 0) + by
  })

  beforeEach(() => {
    cluster.processors.set('add', (value, by) => {
      const sum = ((value as number | undefined) ?? 0) + (by as number)
      return { value: sum, result: sum }
    })
    cluster.processors.set('look', (value) => ({ result: value }))
  })

  test('invoke returns the result', async () => {
    const map = grid.map<string, number>('counters')
    expect(await map.invoke('a', add, 2)).toBe(2)
    expect(await map.invoke('a', add, 3)).toBe(5)
    expect(await map.invoke('a', 'look')).toBe(5)
    expect(await map.get('a')).toBe(5)
    await expect(map.invoke('a', 'nobody')).rejects.toMatchObject({
      code: 'UNKNOWN_PROCESSOR',
      applied: 'no',
    })
  })

  test('invokeAll runs where the filter holds', async () => {
    const map = grid.map<string, { n: number }>('objects')
    cluster.processors.set('bump', (value) => {
      const n = (value as { n: number }).n + 100
      return { value: { n }, result: n }
    })
    for (let n = 0; n < 40; n++) await map.put(`k${n}`, { n })
    const results = await map.invokeAll('bump', undefined, { where: { n: { $gte: 30 } } })
    expect(results.size).toBe(10)
    expect(results.get('k35')).toBe(135)
    expect(await map.get('k35')).toEqual({ n: 135 })
    expect(await map.get('k5')).toEqual({ n: 5 })
  })
})

describe('many keys', () => {
  test('getAll keeps the order of the keys, whichever is answered first', async () => {
    const map = grid.map<string, number>('m')
    const keys = [0, 1, 2, 3].map((p) => cluster.keyIn(p))
    await map.putAll(keys.map((key, n) => [key, n]))
    let refusals = 2
    cluster.intercept = ({ partition }) =>
      partition === 0 && refusals-- > 0 ? new GridError('NOT_READY', 'wait') : undefined
    expect([...(await map.getAll(keys))]).toEqual(keys.map((key, n) => [key, n]))
  })

  test('putAll, getAll, removeAll, size, clear', async () => {
    const map = grid.map<string, number>('many')
    await map.putAll(Array.from({ length: 100 }, (_, n) => [`k${n}`, n] as const))
    expect(await map.size()).toBe(100)
    const values = await map.getAll(['k1', 'k2', 'nothing'])
    expect([...values].sort()).toEqual([
      ['k1', 1],
      ['k2', 2],
    ])
    expect(await map.removeAll(['k1', 'k2', 'k2', 'nothing'])).toBe(2)
    expect(await map.clear()).toBe(98)
    expect(await map.size()).toBe(0)
  })

  test('a bulk call leaves in one frame a member', async () => {
    const map = grid.map<string, number>('many')
    await map.putAll(cluster.partitions.map((_, p) => [cluster.keyIn(p), 0] as const))
    cluster.calls.length = 0
    const frames: number[] = []
    let before = 0
    const done = cluster.until(() => {
      if (cluster.calls.length > before) frames.push(cluster.calls.length - before)
      before = cluster.calls.length
      return before === 64
    })
    await map.putAll(Array.from({ length: 64 }, (_, n) => [`k${n}`, n] as const))
    await done
    expect(frames.length).toBe(2)
  })

  test('failures name their keys, and the others are stored', async () => {
    const map = grid.map<string, unknown>('many')
    const entries: [string, unknown][] = [
      ['a', 1],
      ['b', () => 0],
      ['c', 3],
    ]
    const error: PartialError = await map.putAll(entries).then(
      () => expect.unreachable(),
      (reason) => reason,
    )
    expect(error).toBeInstanceOf(GridError)
    expect(error).toMatchObject({ code: 'BAD_VALUE', applied: 'unknown' })
    expect(error.outcomes.get('a')).toEqual({ ok: true, value: undefined })
    expect(error.outcomes.get('b')).toMatchObject({ ok: false, error: { code: 'BAD_VALUE' } })
    expect(await map.get('c')).toBe(3)
  })

  test('entries and keys come page by page, each once', async () => {
    const map = grid.map<string, { n: number }>('paged')
    await map.putAll(Array.from({ length: 100 }, (_, n) => [`k${n}`, { n }] as const))
    cluster.calls.length = 0
    const entries = new Map<string, number>()
    for await (const [key, value] of map.entries()) entries.set(key, value.n)
    expect(entries.size).toBe(100)
    expect(entries.get('k42')).toBe(42)
    expect(cluster.calls.length).toBeGreaterThan(12)
    const keys: string[] = []
    for await (const key of map.keys({ where: { n: { $lt: 10 } } })) keys.push(key)
    expect(keys.sort()).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9'])
    for await (const key of map.keys()) {
      expect(key).toMatch(/^k/)
      break
    }
  })
})

describe('query', () => {
  beforeEach(async () => {
    const map = grid.map<string, Reading>('readings')
    const entries = Array.from({ length: 60 }, (_, n) => {
      const reading: Reading = { site: n % 2 === 0 ? 'even' : 'odd', temp: n }
      return [`k${n}`, reading] as const
    })
    await map.putAll(entries)
  })

  test('merges in order, cut at the limit', async () => {
    const map = grid.map<string, Reading>('readings')
    const rows = await map.query({ where: { site: 'odd' }, orderBy: [['temp', 'desc']], limit: 5 })
    expect(rows.map(({ value }) => value.temp)).toEqual([59, 57, 55, 53, 51])
  })

  test('orders by what it does not select', async () => {
    const map = grid.map<string, Reading>('readings')
    const rows = await map.query({ select: ['site'], orderBy: 'temp', limit: 3 })
    expect(rows).toEqual([
      { key: 'k0', value: { site: 'even' } },
      { key: 'k1', value: { site: 'odd' } },
      { key: 'k2', value: { site: 'even' } },
    ])
  })

  test('without an order', async () => {
    const map = grid.map<string, Reading>('readings')
    expect((await map.query({ where: { temp: { $lt: 7 } } })).length).toBe(7)
    expect((await map.query({ limit: 11 })).length).toBe(11)
    expect((await map.query()).length).toBe(60)
  })

  test('refuses what is wrong, and results without bound', async () => {
    const map = grid.map<string, Reading>('readings')
    await expect(map.query({ where: { temp: { $like: 1 } } as never })).rejects.toMatchObject({
      code: 'BAD_FILTER',
    })
    await expect(map.query({ limt: 5 } as never)).rejects.toThrow(/limt.*limit/)
    await expect(map.query({ limit: -1 })).rejects.toMatchObject({ code: 'BAD_FILTER' })
    const small = await connect({
      cluster: 'test',
      members: [cluster.members[0]!.address],
      transport: cluster.transport(),
      limits: { queryRowsMax: 10 },
    })
    const bounded = small.map<string, Reading>('readings')
    await expect(bounded.query()).rejects.toMatchObject({ code: 'RESULT_TOO_LARGE' })
    await expect(bounded.query({ orderBy: 'temp' })).rejects.toMatchObject({ code: 'RESULT_TOO_LARGE' })
    expect((await bounded.query({ limit: 10 })).length).toBe(10)
    await small.close()
  })
})

describe('opening a map', () => {
  test('sends its configuration once, and calls wait in order', async () => {
    const map = grid.map<string, number>('configured', {
      ttlMs: 100,
      eviction: { policy: 'lru', maxEntries: 5 },
    })
    await Promise.all([map.put('a', 1), map.put('a', 2), map.put('a', 3)])
    expect(await map.get('a')).toBe(3)
    expect(cluster.mapConfigs.get('configured')).toEqual({
      ttlMs: 100,
      eviction: { policy: 'lru', maxEntries: 5 },
    })
    const puts = cluster.calls.filter(({ operation }) => operation === Operation.put)
    expect(puts.map(({ call }) => call)).toEqual([1, 2, 3])
    expect(new Set(puts.map(({ map: id }) => id))).toEqual(new Set([cluster.maps.get('configured')]))
  })

  test('a conflict rejects the calls, and is asked again by the next', async () => {
    let refusals = 0
    cluster.onOpenMap = () => {
      refusals++
      return new GridError('MAP_CONFLICT', 'ttlMs is 5, not 6')
    }
    const map = grid.map('conflicting', { ttlMs: 6 })
    await expect(map.get('a')).rejects.toMatchObject({ code: 'MAP_CONFLICT', applied: 'no' })
    await expect(map.get('a')).rejects.toThrow('ttlMs is 5, not 6')
    expect(refusals).toBe(2)
    cluster.onOpenMap = () => undefined
    expect(await map.get('a')).toBeUndefined()
  })

  test('a passing refusal is retried', async () => {
    let left = 2
    cluster.onOpenMap = () => (left-- > 0 ? new GridError('NOT_READY', 'wait') : undefined)
    expect(await grid.map('slow').get('a')).toBeUndefined()
    expect(left).toBe(-1)
  })

  test('calls that wait for it keep their deadlines', async () => {
    cluster.onOpenMap = () => 'drop'
    const map = grid.map('never')
    await expect(map.put('a', 1, { timeoutMs: 60 })).rejects.toMatchObject({ code: 'TIMEOUT', applied: 'no' })
    const controller = new AbortController()
    const waiting = map.put('a', 1, { signal: controller.signal })
    controller.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED', applied: 'no' })
  })

  test('names and options are checked', () => {
    for (const name of ['', 'a b', 'ä', 'a/b', 'x'.repeat(129)])
      expect(() => grid.map(name)).toThrow(/map name .* must match/)
    expect(grid.map('Az09_.:-').name).toBe('Az09_.:-')
    expect(() => grid.map('x', { ttlMs: 1.5 })).toThrow(/ttlMs is 1.5; must be a whole number/)
    expect(() => grid.map('x', { tlMs: 5 } as never)).toThrow(/unknown map option "tlMs": did you mean ttlMs/)
    expect(() => grid.map('x', { ttlMs: 0 })).toThrow(/ttlMs is 0/)
    expect(() => grid.map('x', { eviction: { policy: 'fifo' } as never })).toThrow(/policy/)
    expect(() => grid.map('x', { eviction: { policy: 'lru' } })).toThrow(/maxEntries or maxBytes/)
  })

  test('so are those of calls', async () => {
    const map = grid.map<string, number>('m')
    await expect(map.put('a', 1, { tllMs: 5 } as never)).rejects.toThrow(
      /unknown option "tllMs": did you mean ttlMs/,
    )
    await expect(map.get('a', { ttlMs: 5 } as never)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    for (const ttlMs of [0.5, 1.5, '5', 5n, Number.NaN] as number[]) {
      await expect(map.put('a', 1, { ttlMs })).rejects.toMatchObject({ code: 'BAD_OPTION' })
      await expect(map.replace('a', 1, { ttlMs })).rejects.toMatchObject({ code: 'BAD_OPTION' })
    }
    await map.put('a', 1, { ttlMs: 5000 })
    const none = null as unknown as undefined
    await expect(map.put('a', 1, none)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(map.query(none)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(map.size(none)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(map.get('a', { timeoutMs: -1 })).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(map.get('a', { consistency: 'any' as never })).rejects.toMatchObject({ code: 'BAD_OPTION' })
  })
})
