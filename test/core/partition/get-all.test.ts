import { describe, expect, test } from 'vitest'
import { FLAG_CONFIRMED } from '../../../src/core/wire/message.ts'
import { A, B, Bench, configOf, exchange, MAP, TestClient } from './support.ts'

/** `u32 count`, then `u32 length · value` for each, as the bench shows an answer. */
function answer(...values: readonly (number | undefined)[]): string {
  const u32 = (n: number): string => `${n.toString(16).padStart(2, '0')}000000`
  return u32(values.length) + values.map((n) => (n === undefined ? u32(0) : `${u32(1)}0${n}`)).join('')
}

function pair(): [Bench, Bench] {
  const [a, b] = [new Bench(A), new Bench(B)]
  for (const bench of [a, b]) bench.adopt(configOf({ inSync: [A, B] }))
  exchange(a, b)
  a.lease()
  return [a, b]
}

function alone(options = {}): Bench {
  const bench = new Bench(A, options)
  bench.adopt(configOf({ inSync: [A] }))
  return bench
}

describe('getAll', () => {
  test('answers for its keys in their order, also for those that are not there', () => {
    const bench = alone()
    const client = new TestClient()
    client.put(bench, 'a', 1)
    client.put(bench, 'b', 2)
    client.answers()
    client.getAll(bench, ['b', 'nothing', 'a', 'b'])
    expect(client.answers()).toEqual([`reply 3: ${answer(2, undefined, 1, 2)}`])
  })

  test.each([
    ['the last', ['a', 'new']],
    ['the first', ['new', 'a']],
  ])('waits for what %s of its keys depends on', (_, keys) => {
    const [a, b] = pair()
    const client = new TestClient()
    client.put(a, 'a', 1)
    exchange(a, b)
    client.put(a, 'new', 2)
    client.answers()
    client.getAll(a, ['a'])
    expect(client.answers()).toEqual([`reply 3: ${answer(1)}`])
    client.getAll(a, keys)
    expect(client.answers()).toEqual([])
    exchange(a, b)
    expect(client.answers()).toEqual([
      'reply 2: nothing',
      `reply 4: ${answer(...keys.map((key) => (key === 'a' ? 1 : 2)))}`,
    ])
  })

  test('waits for a removal that made one of its keys absent', () => {
    const [a, b] = pair()
    const client = new TestClient()
    for (const key of ['a', 'gone']) client.put(a, key, 1)
    exchange(a, b)
    client.remove(a, 'gone')
    client.answers()
    client.getAll(a, ['gone', 'a'])
    expect(client.answers()).toEqual([])
    exchange(a, b)
    expect(client.answers()).toEqual(['reply 3: 01', `reply 4: ${answer(undefined, 1)}`])
  })

  test('is confirmed by a round where that is asked for, or no lease covers it', () => {
    const [a, b] = pair()
    const client = new TestClient()
    client.put(a, 'a', 1)
    exchange(a, b)
    client.answers()
    client.getAll(a, ['a'], { flags: FLAG_CONFIRMED })
    expect(a.to(B)).toContain('confirm 1')
    a.passMs(2500)
    client.getAll(a, ['a'])
    expect(client.answers()).toEqual([])
  })

  test('ends a long answer early, never before the first value', () => {
    const bench = alone()
    const client = new TestClient()
    for (const key of ['a', 'b', 'c']) client.put(bench, key, 'x'.repeat(40_000))
    client.put(bench, 'large', 'x'.repeat(500_000))
    client.answers()
    client.getAll(bench, ['a', 'b', 'c'])
    client.getAll(bench, ['large', 'a'])
    const [two, one] = client.answers()
    expect(two).toMatch(/^reply 5: 02000000/)
    expect(one).toMatch(/^reply 6: 01000000/)
    expect(two!.length).toBeGreaterThan(2 * 80_000)
    expect(one!.length).toBeGreaterThan(2 * 500_000)
  })

  test('removes entries whose time has come, and counts as use of the others', () => {
    const bench = alone({ map: { maxIdleMs: 10_000 } })
    const client = new TestClient()
    for (const key of ['a', 'b']) client.put(bench, key, 1)
    bench.passMs(6000)
    client.getAll(bench, ['a'])
    bench.passMs(6000)
    client.answers()
    const { head } = bench.owner
    client.getAll(bench, ['a', 'b'])
    expect(client.answers()).toEqual([`reply 4: ${answer(1, undefined)}`])
    expect(bench.owner.head).toBe(head + 1)
    expect(bench.partition.replica!.store.count(MAP)).toBe(1)
  })

  test('refuses what is cut short and what is no key', () => {
    const bench = alone()
    const client = new TestClient()
    client.getAll(bench, ['a'], {}, Buffer.of(1))
    client.getAll(bench, ['a'], {}, Buffer.of(9, 0, 1))
    client.getAll(bench, ['a'], {}, Buffer.of(1, 0, 0xc0))
    expect(client.answers()).toEqual(['reply 1: MALFORMED', 'reply 2: MALFORMED', 'reply 3: MALFORMED'])
  })
})
