import { describe, expect, test } from 'vitest'
import type { MapConfig } from '../../../src/core/membership/config.ts'
import { A, B, Bench, configOf, exchange, MAP, TestClient } from './support.ts'

const alone = configOf({ inSync: [A] })

function owner(map: MapConfig): Bench {
  const bench = new Bench(A, { map })
  bench.adopt(alone)
  return bench
}

/** Entries that are stored, whether anybody has looked at them or not. */
function stored(bench: Bench): number {
  return bench.partition.replica!.store.count(MAP)
}

describe('idleness', () => {
  for (const policy of ['lru', 'lfu'] as const) {
    test(`counts from the last use (${policy})`, () => {
      const bench = owner({ maxIdleMs: 60_000, eviction: { policy, maxEntries: 10 } })
      new TestClient().put(bench, 'k', 1)
      bench.work()
      bench.passMs(59_000)
      bench.work()
      expect(stored(bench)).toBe(1)
      bench.passMs(130_000)
      bench.work()
      expect(stored(bench)).toBe(0)
    })
  }

  test('is not remembered from an ownership before the last', () => {
    const map = { maxIdleMs: 5000 }
    const [a, b] = [new Bench(A, { map }), new Bench(B, { map })]
    const config = configOf({ inSync: [A, B] })
    for (const bench of [a, b]) bench.adopt(config)
    exchange(a, b)
    const client = new TestClient()
    client.put(a, 'k', 1)
    exchange(a, b)
    for (const [n, to] of [
      [2, B],
      [3, A],
    ] as const) {
      const before = n === 2 ? a : b
      before.owner.handOver(to)
      before.round()
      for (const bench of [a, b]) bench.adopt({ ...before.proposed.at(-1)! })
      exchange(a, b)
      if (to === A) break
      for (const bench of [a, b]) bench.passMs(10_000)
      client.put(b, 'k', 2)
      exchange(a, b)
    }
    a.lease()
    client.answers()
    client.get(a, 'k')
    expect(client.answers().at(-1)).toMatch(/02$/)
  })

  test('ends entries that nobody has asked this owner for', () => {
    const [a, b] = [A, B].map((id) => new Bench(id, { map: { maxIdleMs: 5000 } })) as [Bench, Bench]
    for (const bench of [a, b]) bench.adopt(configOf({ inSync: [A, B] }))
    exchange(a, b)
    new TestClient().put(a, 'k', 1)
    exchange(a, b)
    b.adopt(configOf({ n: 2, owner: B, inSync: [B] }))
    for (let i = 0; i < 3; i++) {
      b.work()
      b.passMs(10_000)
    }
    b.work()
    expect(stored(b)).toBe(0)
  })
})

describe('eviction', () => {
  test('never takes what has just been stored, however much has to go', () => {
    const bench = owner({ eviction: { policy: 'lru', maxBytes: 2000 } })
    const client = new TestClient()
    for (let i = 0; i < 40; i++) client.put(bench, `k${i}`, 'x'.repeat(20))
    client.put(bench, 'large', 'x'.repeat(1900))
    client.answers()
    client.get(bench, 'large')
    expect(client.answers().at(-1)).toMatch(/7878/)
  })
})
