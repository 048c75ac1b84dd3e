import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PartialError } from '../../src/client/bulk.ts'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { Operation } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { FakeCluster } from './fake-cluster.ts'

let cluster: FakeCluster
let grid: Grid

beforeEach(async () => {
  const network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport())
  await cluster.add()
  await cluster.add()
  grid = await connect({
    cluster: 'test',
    members: cluster.members.map(({ address }) => address),
    transport: network.transport(),
  })
})

afterEach(async () => {
  await grid.close()
  await cluster.close()
})

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `k${n}`)

/** The error of a bulk call, and which of its keys have failed with what. */
async function failures(call: Promise<unknown>): Promise<{ error: PartialError; failed: unknown[][] }> {
  const error = await call.then(
    () => expect.unreachable(),
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(PartialError)
  const rows = [...(error as PartialError).outcomes]
  return { error, failed: rows.flatMap(([key, outcome]) => (outcome.ok ? [] : [[key, outcome.error.code]])) }
}

describe('getAll', () => {
  test('asks for all keys of a partition by one call, and for nothing else', async () => {
    const map = grid.map<string, number>('m')
    await map.putAll(names(100).map((key, n) => [key, n]))
    cluster.calls.length = 0
    expect([...(await map.getAll([...names(100), 'nothing']))]).toEqual(names(100).map((key, n) => [key, n]))
    expect(cluster.calls.map(({ operation }) => operation)).toEqual(
      cluster.partitions.map(() => Operation.getAll),
    )
  })

  test('asks for the rest of an answer that has ended early', async () => {
    const map = grid.map<string, number>('m')
    await map.putAll(names(50).map((key, n) => [key, n]))
    cluster.valuesMax = 3
    cluster.calls.length = 0
    const keys = names(60).reverse()
    expect([...(await map.getAll(keys))]).toEqual(keys.slice(10).map((key) => [key, Number(key.slice(1))]))
    expect(cluster.calls.length).toBeGreaterThanOrEqual(20)
  })

  test('keys that are too long for one call are asked for by several', async () => {
    const map = grid.map<string, number>('m')
    const keys = names(200).map((key) => key.padEnd(1000, '-'))
    await map.putAll(keys.map((key, n) => [key, n]))
    cluster.calls.length = 0
    expect([...(await map.getAll(keys)).values()]).toEqual(keys.map((_, n) => n))
    expect(cluster.calls.length).toBeGreaterThan(200_000 / 20_000)
  })

  test('a key given twice, no keys, keys of every kind', async () => {
    const map = grid.map<string | number | Date | Uint8Array, number>('m')
    const date = new Date(5)
    const bytes = Uint8Array.of(1, 2)
    await map.putAll([
      ['a', 1],
      [7, 2],
      [date, 3],
      [bytes, 4],
    ])
    const values = await map.getAll(['a', 7, date, bytes, 'a'])
    expect([...values]).toEqual([
      ['a', 1],
      [7, 2],
      [date, 3],
      [bytes, 4],
    ])
    expect(await map.getAll([])).toEqual(new Map())
  })

  test('sees what the same client has put before, unanswered', async () => {
    const map = grid.map<string, number>('m')
    const put = map.putAll(names(40).map((key) => [key, 1]))
    const again = map.putAll(names(40).map((key) => [key, 2]))
    expect([...(await map.getAll(names(40))).values()]).toEqual(names(40).map(() => 2))
    await Promise.all([put, again])
  })

  test('what is no key fails alone', async () => {
    const map = grid.map<string | number, number>('m')
    await map.put('a', 1)
    const { error, failed } = await failures(map.getAll(['a', Number.NaN, 'b']))
    expect(failed).toEqual([[Number.NaN, 'BAD_KEY']])
    expect(error).toMatchObject({ code: 'BAD_KEY', applied: 'unknown' })
    expect(error.outcomes.get('a')).toEqual({ ok: true, value: 1 })
    expect(error.outcomes.get('b')).toEqual({ ok: true, value: undefined })
  })

  test('a partition that refuses fails its keys alone', async () => {
    const map = grid.map<string, number>('m')
    await map.putAll(names(40).map((key, n) => [key, n]))
    cluster.intercept = ({ partition }) => (partition === 1 ? new GridError('INTERNAL', 'no') : undefined)
    const { error, failed } = await failures(map.getAll(names(40)))
    expect(failed).toEqual(
      names(40).flatMap((key) => (cluster.partitionOf(key) === 1 ? [[key, 'INTERNAL']] : [])),
    )
    expect(error.message).toContain(`${failed.length} of 40 keys failed`)
  })

  test('an answer for no key at all ends the call', async () => {
    const map = grid.map<string, number>('m')
    cluster.valuesMax = 0
    const { failed } = await failures(map.getAll(['a', 'b']))
    expect(failed).toEqual([
      ['a', 'MALFORMED'],
      ['b', 'MALFORMED'],
    ])
  })

  test('is asked again of the new owner', async () => {
    const map = grid.map<string, number>('m')
    await map.putAll(names(40).map((key, n) => [key, n]))
    for (const partition of [0, 1, 2, 3]) cluster.move(partition, cluster.members[partition < 2 ? 0 : 1])
    expect([...(await map.getAll(names(40))).values()]).toEqual(names(40).map((_, n) => n))
  })

  test('a signal and the end of the client end it, whatever is under way', async () => {
    const map = grid.map<string, number>('m')
    await map.size()
    cluster.intercept = ({ operation }) => (operation === Operation.getAll ? 'drop' : undefined)
    const stop = new AbortController()
    const aborted = failures(map.getAll(names(10), { signal: stop.signal }))
    const closed = failures(map.getAll(names(10)))
    stop.abort()
    expect((await aborted).failed).toEqual(names(10).map((key) => [key, 'ABORTED']))
    expect((await failures(map.getAll(names(3), { signal: stop.signal }))).error.code).toBe('ABORTED')
    await grid.close()
    expect((await closed).failed).toEqual(names(10).map((key) => [key, 'CLOSED']))
    expect((await failures(map.getAll(names(3)))).error.code).toBe('CLOSED')
  })

  test('wrong options are refused before anything is asked', async () => {
    const map = grid.map<string, number>('m')
    await expect(map.getAll(['a'], { timeout: 5 } as never)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(map.putAll([['a', 1]], { ttl: 5 } as never)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(map.removeAll(['a'], { ttl: 5 } as never)).rejects.toMatchObject({ code: 'BAD_OPTION' })
  })
})

describe('many keys', () => {
  test('more than are under way at once', async () => {
    const map = grid.map<string, number>('m')
    const keys = names(20_000)
    await map.putAll(keys.map((key, n) => [key, n]))
    expect([...(await map.getAll(keys)).values()]).toEqual(keys.map((_, n) => n))
    expect(await map.removeAll(keys)).toBe(20_000)
    expect(await map.size()).toBe(0)
  })

  test('of a key that is put twice the last value stays', async () => {
    const map = grid.map<string, number>('m')
    await map.putAll([
      ['a', 1],
      ['b', 2],
      ['a', 3],
    ])
    expect(await map.get('a')).toBe(3)
  })

  test('each put takes effect once, though its answer is lost with the link', async () => {
    const map = grid.map<string, number>('m')
    await map.size()
    const seqs = cluster.partitions.map(({ seq }) => seq)
    const cut = (): void => {
      for (const member of cluster.members) member.cut()
    }
    let puts = 0
    cluster.intercept = ({ operation }) => {
      if (operation !== Operation.put) return undefined
      if (++puts === 20) queueMicrotask(cut)
      return puts <= 20 ? 'loseReply' : undefined
    }
    await map.putAll(names(40).map((key, n) => [key, n]))
    expect(cluster.partitions.reduce((sum, { seq }, p) => sum + seq - seqs[p]!, 0)).toBe(40)
    expect([...(await map.getAll(names(40))).values()]).toEqual(names(40).map((_, n) => n))
  })
})

test('a call that a getter of a value makes is refused, and the put is answered', async () => {
  const map = grid.map<string, unknown>('m')
  let inner: Promise<unknown> = Promise.resolve()
  const value = {
    get n() {
      inner = map.get('a').catch((error: GridError) => error.code)
      return 1
    },
  }
  await map.put('k', value)
  expect(await inner).toBe('BAD_VALUE')
  expect(await map.get('k')).toEqual({ n: 1 })
})
