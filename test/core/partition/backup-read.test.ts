/** Reads that a backup answers: how old they may be by the backup's own clocks, and when it leaves them to the owner. */

import { describe, expect, test } from 'vitest'
import type { MapConfig } from '../../../src/core/membership/config.ts'
import { epochOf } from '../../../src/core/membership/config.ts'
import { OwnerLog, Peer } from '../../../src/core/replication/owner-log.ts'
import { FLAG_ANY, Operation, ReplyView } from '../../../src/core/wire/message.ts'
import { A, B, Bench, beaconOf, C, configOf, exchange, TestClient } from './support.ts'

const pair = configOf({ inSync: [A, B] })
const TO_OWNER = 'reply 1: notOwner a'

interface Pair {
  readonly a: Bench
  readonly b: Bench
}

/** An owner and its backup, whose clocks have nothing in common, with `k` = 1 committed. */
function start(map: MapConfig = {}): Pair {
  const a = new Bench(A, { map })
  const b = new Bench(B, { map })
  b.now = { monoMs: 17, wallMs: 1_200_000_000_000 }
  for (const bench of [a, b]) bench.adopt(pair)
  exchange(a, b)
  new TestClient('7').put(a, 'k', 1)
  exchange(a, b)
  return { a, b }
}

function pass(ms: number, ...benches: readonly Bench[]): void {
  for (const bench of benches) bench.passMs(ms)
}

/** Two beacons, the second of which brings back what the answer to the first has said. No time passes. */
function prove({ a, b }: Pair): void {
  for (let i = 0; i < 2; i++) {
    a.beat()
    exchange(a, b)
  }
}

/** What a new client is told. */
function ask(
  bench: Bench,
  ...read: Parameters<TestClient['readAny']> extends [Bench, ...infer R] ? R : never
): string {
  const client = new TestClient('9')
  client.readAny(bench, ...read)
  return client.answers().join()
}

describe('a backup', () => {
  test('answers from what is committed once the owner has vouched for it', () => {
    const cluster = start()
    expect(ask(cluster.b, 'k')).toBe(TO_OWNER)
    cluster.a.beat()
    exchange(cluster.a, cluster.b)
    expect(ask(cluster.b, 'k')).toBe(TO_OWNER)
    cluster.a.beat()
    exchange(cluster.a, cluster.b)
    expect(ask(cluster.b, 'k')).toBe('reply 1: 01')
    expect(ask(cluster.b, 'absent')).toBe('reply 1: nothing')
    expect(ask(cluster.b, 'k', {}, Operation.has)).toBe('reply 1: 01')
    expect(ask(cluster.b, 'absent', {}, Operation.has)).toBe('reply 1: 00')
    expect(ask(cluster.b, 'k', {}, Operation.getEntry)).toBe(
      'reply 1: 00000000000003000000000001'.replace(/^/, ''),
    )
  })

  test('does not show what is not known to be committed', () => {
    const cluster = start()
    prove(cluster)
    new TestClient('8').put(cluster.a, 'k', 2)
    cluster.a.deliver(cluster.b)
    expect(ask(cluster.b, 'k')).toBe('reply 1: 01')
    exchange(cluster.a, cluster.b)
    cluster.a.beat()
    exchange(cluster.a, cluster.b)
    expect(ask(cluster.b, 'k')).toBe('reply 1: 02')
  })

  test('counts the age of its state from the answer that the owner gives back, by its own clocks', () => {
    const { a, b } = start()
    a.beat()
    a.deliver(b) // Here the backup answers, and this is the moment that counts.
    pass(300, b)
    b.deliver(a)
    pass(250, a, b)
    a.beat()
    pass(400, b)
    a.deliver(b)
    expect(ask(b, 'k', { maxStaleMs: 949 })).toBe(TO_OWNER)
    expect(ask(b, 'k', { maxStaleMs: 950 })).toBe('reply 1: 01')
    pass(50, b)
    expect(ask(b, 'k')).toBe('reply 1: 01')
    pass(1, b)
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })

  test('is not made younger by an owner whose clocks run ahead', () => {
    const { a, b } = start()
    a.beat()
    exchange(a, b)
    a.now = { monoMs: a.now.monoMs + 10, wallMs: a.now.wallMs + 1000 }
    pass(900, b)
    a.beat()
    exchange(a, b)
    expect(ask(b, 'k', { maxStaleMs: 899 })).toBe(TO_OWNER)
    expect(ask(b, 'k', { maxStaleMs: 900 })).toBe('reply 1: 01')
  })

  test('trusts neither of its clocks alone', () => {
    const slept = start()
    prove(slept)
    slept.b.now = { ...slept.b.now, wallMs: slept.b.now.wallMs + 1001 }
    expect(ask(slept.b, 'k')).toBe(TO_OWNER)
    const setBack = start()
    prove(setBack)
    setBack.b.now = { monoMs: setBack.b.now.monoMs + 1001, wallMs: setBack.b.now.wallMs - 60_000 }
    expect(ask(setBack.b, 'k')).toBe(TO_OWNER)
  })

  test('is not made older by a beacon that comes late', () => {
    const cluster = start()
    const { a, b } = cluster
    prove(cluster)
    pass(500, a, b)
    prove(cluster)
    const { monoMs, wallMs } = b.now
    b.partition.onBeacon(A, beaconOf(a, 1, true), { monoMs: monoMs - 500, wallMs: wallMs - 500 }, b.now)
    expect(ask(b, 'k', { maxStaleMs: 0 })).toBe('reply 1: 01')
  })
})

describe('an owner does not vouch', () => {
  test('when its leases do not cover the moment', () => {
    const cluster = start()
    const { a, b } = cluster
    a.beat()
    exchange(a, b)
    pass(2100, a, b)
    a.beat()
    exchange(a, b)
    expect(ask(b, 'k', { maxStaleMs: 60_000 })).toBe(TO_OWNER)
    a.beat()
    exchange(a, b)
    expect(ask(b, 'k', { maxStaleMs: 60_000 })).toBe('reply 1: 01')
  })

  test('when it takes no calls, for its successor may begin at once', () => {
    const { a, b } = start()
    a.beat()
    exchange(a, b)
    a.owner.handOver(B)
    a.beat()
    exchange(a, b)
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })

  test('when it is new and does not know what is committed', () => {
    const trio = configOf({ inSync: [A, B, C] })
    const [a, b, c] = [A, B, C].map((id) => new Bench(id)) as [Bench, Bench, Bench]
    for (const bench of [a, b, c]) bench.adopt(trio)
    exchange(a, b, c)
    new TestClient('7').put(a, 'k', 1)
    exchange(a, b, c)
    const next = configOf({ n: 2, owner: B, inSync: [B, C] })
    for (const bench of [b, c]) bench.adopt(next)
    b.peers.get(C)!.take() // Its first record does not arrive.
    for (let i = 0; i < 2; i++) {
      b.beat()
      exchange(b, c)
    }
    expect(b.owner.commit).toBeLessThan(b.owner.firstSeq)
    expect(ask(c, 'k')).toBe('reply 1: notOwner b')
    pass(1100, b, c)
    for (let i = 0; i < 2; i++) {
      b.beat()
      b.round()
      exchange(b, c)
    }
    b.beat()
    exchange(b, c)
    expect(ask(c, 'k')).toBe('reply 1: 01')
  })

  test('for a replica that is not in sync, may lack something, or is not all of one moment', () => {
    const log = new OwnerLog(A, configOf({ inSync: [A, B] }))
    const peer = (id: string, ack: number, settled?: number): Peer =>
      Object.assign(new Peer(id, 1, 1, 0, false), { ack, ...(settled === undefined ? {} : { settled }) })
    expect(log.isWhole(peer(B, 10), 10)).toBe(true)
    expect(log.isWhole(peer(B, 9), 10)).toBe(false)
    expect(log.isWhole(peer(C, 10), 10)).toBe(false)
    expect(log.isWhole(peer(B, 20, 15), 14)).toBe(false)
    expect(log.isWhole(peer(B, 20, 15), 15)).toBe(true)
  })
})

describe('a backup leaves a read to the owner', () => {
  /** The backup could prove it all: what keeps it from answering is what the test says. */
  function proven(): Pair {
    const cluster = start()
    prove(cluster)
    expect(ask(cluster.b, 'k')).toBe('reply 1: 01')
    return cluster
  }

  test('when it has not indexed what the owner vouches for', () => {
    const { a, b } = start()
    b.partition.onBeacon(A, beaconOf(a, 4, true), b.now, b.now)
    expect(ask(b, 'k')).toBe(TO_OWNER)
    b.partition.onBeacon(A, beaconOf(a, 3, true), b.now, b.now)
    expect(ask(b, 'k')).toBe('reply 1: 01')
  })

  test('when the client has seen more, by seq, by epoch or by era', () => {
    const { a, b } = proven()
    const { commit } = b.partition.backup!
    const { epoch } = a.partition.reference
    const seen = { era: 1, epoch, seq: commit }
    expect(ask(b, 'k', seen)).toBe('reply 1: 01')
    expect(ask(b, 'k', { ...seen, seq: commit + 1 })).toBe(TO_OWNER)
    expect(ask(b, 'k', { ...seen, epoch: epoch + 1, seq: 0 })).toBe(TO_OWNER)
    expect(ask(b, 'k', { ...seen, epoch: epoch - 1, seq: commit + 1 })).toBe(TO_OWNER)
    expect(ask(b, 'k', { era: 2, epoch: 0, seq: 0 })).toBe(TO_OWNER)
    expect(ask(b, 'k', { era: 0, epoch: epoch + 1, seq: commit + 1 })).toBe('reply 1: 01')
  })

  test('when it wants to become the owner itself', () => {
    const { b } = proven()
    b.partition.takeOver('silent owner', epochOf(1, 2))
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })

  test('when its member may count as dead', () => {
    const { b } = proven()
    Object.assign(b.context, { halted: true })
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })

  test('when there are two histories', () => {
    const { b } = proven()
    b.adopt(configOf({ id: 'e'.repeat(32), inSync: [A, B] }))
    expect(b.partition.conflicted).toBe(true)
    expect(ask(b, 'k')).toBe('reply 1: notOwner nobody')
  })

  test('when it is in sync no more', () => {
    const { b } = proven()
    b.adopt(configOf({ n: 2, ownership: pair.ownership, inSync: [A, C] }))
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })

  test('when the data was declared lost', () => {
    const { b } = proven()
    b.adopt(configOf({ n: 2, era: 2, inSync: [A, B] }))
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })

  test('when the entry is past its time, which takes a record', () => {
    const cluster = start({ ttlMs: 700 })
    const { a, b } = cluster
    b.now = { monoMs: 17, wallMs: a.now.wallMs + 699 }
    prove(cluster)
    expect(ask(b, 'k')).toBe('reply 1: 01')
    pass(1, b)
    expect(ask(b, 'k')).toBe(TO_OWNER)
    expect(ask(b, 'absent')).toBe('reply 1: nothing')
  })

  test('when it is about more than one key, no key of this partition, or an unknown map', () => {
    const { b } = proven()
    expect(ask(b, 'k', {}, Operation.size)).toBe(TO_OWNER)
    expect(ask(b, 'k', {}, Operation.put)).toBe(TO_OWNER)
    const client = new TestClient('9')
    client.get(b, 'k', { flags: FLAG_ANY }) // It does not say how new.
    expect(client.answers()).toEqual([TO_OWNER])
    Object.assign(b.context, { mapConfig: () => undefined })
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })
})

describe('what clients see', () => {
  test('is a place that the owner has reached itself', () => {
    const cluster = start()
    const { a, b } = cluster
    prove(cluster)
    const place = (): number[] => {
      const client = new TestClient('9')
      client.readAny(b, 'k')
      const [message] = client.outlet.take()
      const { era, epoch, seq } = new ReplyView().read(message!.reader())
      return [era, epoch, seq]
    }
    expect(place()).toEqual([1, epochOf(1, 1), 3])
    const next = configOf({ n: 2, ownership: pair.ownership, inSync: [A, B] })
    b.adopt(next) // The owner has yet to hear of it.
    expect(place()).toEqual([1, epochOf(1, 1), 3])
    a.adopt(next)
    a.beat()
    exchange(a, b)
    expect(place()).toEqual([1, epochOf(1, 2), 3])
  })

  test('keeps no later call of theirs waiting', () => {
    const { b } = start()
    const client = new TestClient('9')
    client.readAny(b, 'k')
    expect(client.answers()).toEqual([TO_OWNER])
    b.adopt(configOf({ n: 2, owner: B, inSync: [B] }))
    client.put(b, 'k', 2)
    expect(client.answers()).toEqual(['reply 2: nothing'])
  })

  test('comes from the owner as any other read', () => {
    const { a, b } = start()
    a.lease()
    expect(ask(a, 'k')).toBe('reply 1: 01')
    expect(ask(b, 'k')).toBe(TO_OWNER)
  })
})
