import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { A, B, Bench, configOf, exchange, TestClient, TestOutlet, watchOf } from './support.ts'

const alone = configOf({ inSync: [A] })
const pair = configOf({ inSync: [A, B] })

function filter(where: object): Uint8Array {
  const w = new ByteWriter(64)
  encodeValue(w, where, defaultLimits)
  return w.take()
}

function pairOfReplicas(): [Bench, Bench] {
  const benches: [Bench, Bench] = [new Bench(A), new Bench(B)]
  for (const bench of benches) bench.adopt(pair)
  exchange(...benches)
  return benches
}

describe('a subscription', () => {
  test('is a snapshot and the stream after it, without gap or overlap, of committed entries alone', () => {
    const [a, b] = pairOfReplicas()
    const client = new TestClient()
    client.put(a, 'before', 1)
    client.put(a, 'changing', 1)
    exchange(a, b)
    const watcher = new TestOutlet('7'.repeat(32))
    client.put(a, 'changing', 2) // not committed as the snapshot is taken
    client.put(a, 'after', 1)
    a.owner.watchers.add(watcher, watchOf())
    a.work()
    // `changing` as it was is superseded, and as it is it is not committed: the stream will tell of it.
    expect(watcher.lines()).toEqual(['snapshot before=1 at 3', 'position 0'])
    client.put(a, 'before', 2)
    a.work()
    expect(watcher.lines()).toEqual([])
    exchange(a, b)
    a.work()
    // Positions are told from the point on at which all that the snapshot left out has come by the stream.
    expect(watcher.lines()).toEqual([
      'put changing=2 at 5',
      'position 0',
      'put after=1 at 6',
      'snapshotEnd at 6',
      'position 6',
      'put before=2 at 7',
      'position 7',
    ])
    client.remove(a, 'before')
    exchange(a, b)
    client.clear(a)
    exchange(a, b)
    expect(watcher.lines()).toEqual(['remove before at 8', 'position 8', 'clear at 9', 'position 9'])
  })

  test('without the snapshot begins with what comes', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    client.put(a, 'k', 1)
    const watcher = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(watcher, watchOf({ initial: false }))
    a.work()
    expect(watcher.lines()).toEqual(['snapshotEnd at 3', 'position 3'])
    client.put(a, 'k', 2)
    a.work()
    expect(watcher.lines()).toEqual(['put k=2 at 4', 'position 4'])
  })

  test('with a filter tells of entries that come to match and that do not match any more', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    client.put(a, 'in', { n: 1 })
    client.put(a, 'out', { n: 0 })
    const watcher = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(watcher, watchOf({ where: filter({ n: { $gt: 0 } }) }))
    a.work()
    watcher.take()
    client.put(a, 'in', { n: 0 })
    client.put(a, 'out', { n: 0 })
    client.put(a, 'in', { n: -1 })
    client.remove(a, 'in')
    client.put(a, 'out', { n: 5 })
    client.remove(a, 'out')
    a.work()
    const told = watcher.lines().filter((line) => !line.startsWith('position'))
    expect(told).toEqual(['leave in at 5', 'put out={"n":5} at 9', 'remove out at 10'])
  })

  test('gets what it has granted, and goes on as it grants more', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    for (let i = 0; i < 5; i++) client.put(a, `k${i}`, i)
    const watcher = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(watcher, watchOf({ initial: false, resume: { era: 1, seq: 2 }, credit: 2 }))
    a.work()
    expect(watcher.lines()).toEqual(['put k0=0 at 3', 'put k1=1 at 4', 'position 4'])
    a.owner.watchers.credit(watcher, 1, 10)
    a.work()
    expect(watcher.lines()).toEqual(['put k2=2 at 5', 'put k3=3 at 6', 'put k4=4 at 7', 'position 7'])
  })

  test('goes on at a promoted backup where it was', () => {
    const [a, b] = pairOfReplicas()
    const client = new TestClient()
    client.put(a, 'k', 1)
    client.put(a, 'k', 2)
    exchange(a, b)
    b.adopt(configOf({ n: 2, owner: B, inSync: [B] }))
    const watcher = new TestOutlet('7'.repeat(32))
    b.owner.watchers.add(watcher, watchOf({ resume: { era: 1, seq: 3 } }))
    b.work()
    expect(watcher.lines()).toEqual(['put k=2 at 4', 'position 5'])
  })

  test('of a token from another era, or from what the log has forgotten, is reset', () => {
    const a = new Bench(A, { historyBytes: 0 })
    a.adopt(alone)
    const client = new TestClient()
    for (let i = 0; i < 100; i++) client.put(a, 'k', 'x'.repeat(2000))
    client.put(a, 'k', 'y')
    for (const resume of [
      { era: 0, seq: 3 },
      { era: 1, seq: 3 },
      { era: 1, seq: 5000 },
    ]) {
      const watcher = new TestOutlet('7'.repeat(32))
      a.owner.watchers.add(watcher, watchOf({ resume }))
      a.work()
      const told = watcher.lines().filter((line) => !line.startsWith('position'))
      expect(told).toEqual(['reset at 103', 'snapshot k="y" at 103', 'snapshotEnd at 103'])
    }
  })

  test('that nothing has happened to is told how far it has come, before the replicas change and as time goes on', () => {
    const [a, b] = pairOfReplicas()
    const client = new TestClient()
    const watcher = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(watcher, watchOf({ where: filter({ n: 1 }) }))
    a.work()
    watcher.take()
    for (let i = 0; i < 10; i++) client.put(a, 'k', { n: 0 })
    exchange(a, b)
    expect(watcher.lines()).toEqual([])
    a.owner.shrink(B, 'moved', a.partition.reference.epoch + 1)
    expect(watcher.lines()).toEqual(['position 12'])
    a.adopt(a.proposed[0]!)
    for (let i = 0; i < 1100; i++) client.put(a, 'k', { n: 0 }, { ackUpTo: 10 + i })
    a.work()
    expect(watcher.lines()).toEqual([expect.stringMatching(/^position 1\d\d\d$/)])
    a.adopt(configOf({ n: 3, owner: B, inSync: [B] }))
    expect(watcher.lines()).toEqual(['position 1112', 'watchEnd NOT_OWNER'])
  })

  test('a partition takes watchersMax of them', () => {
    const a = new Bench(A, { limits: { watchersMax: 1 } })
    a.adopt(alone)
    const outlet = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(outlet, watchOf({ watch: 1 }))
    a.owner.watchers.add(outlet, watchOf({ watch: 1 })) // takes its own place
    expect(() => a.owner.watchers.add(outlet, watchOf({ watch: 2 }))).toThrow(/OVERLOADED.*watchersMax/)
    a.owner.watchers.removeAll(outlet)
    a.owner.watchers.add(outlet, watchOf({ watch: 2 }))
  })
})

describe('a subscription for keys alone', () => {
  const keysOnly = { keysOnly: true, initial: false }

  test('tells what has changed, and not to what; never of rows', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    client.put(a, 'before', 1)
    const watcher = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(watcher, watchOf({ ...keysOnly, initial: true }))
    a.work()
    expect(watcher.lines()).toEqual(['snapshotEnd at 3', 'position 3'])
    client.put(a, 'k', 2)
    client.remove(a, 'k')
    client.clear(a)
    a.work()
    const told = watcher.lines().filter((line) => !line.startsWith('position'))
    expect(told).toEqual(['put k at 4', 'remove k at 5', 'clear at 6'])
  })

  test('is reset without rows where the log has forgotten', () => {
    const a = new Bench(A, { historyBytes: 0 })
    a.adopt(alone)
    const client = new TestClient()
    const watcher = new TestOutlet('7'.repeat(32))
    a.owner.watchers.add(watcher, watchOf(keysOnly))
    a.work()
    watcher.take()
    watcher.queuedBytes = 2 * 1024 * 1024 // takes nothing
    for (let i = 0; i < 100; i++) client.put(a, 'k', 'x'.repeat(2000))
    watcher.queuedBytes = 0
    a.work()
    const told = watcher.lines().filter((line) => !line.startsWith('position'))
    expect(told).toEqual([expect.stringMatching(/^reset at/), expect.stringMatching(/^snapshotEnd at/)])
  })

  test('is told once all that is committed has been sent, by an owner that may answer reads', () => {
    const [a, b] = pairOfReplicas()
    const client = new TestClient()
    const outlet = new TestOutlet('7'.repeat(32))
    const watcher = a.owner.watchers.add(outlet, watchOf(keysOnly))
    a.lease()
    expect(watcher.isTold(a.now)).toBe(false) // It has not begun.
    a.work()
    expect(watcher.isTold(a.now)).toBe(true)
    client.put(a, 'k', 1)
    expect(watcher.isTold(a.now)).toBe(true) // Nobody has been told that this is done.
    outlet.queuedBytes = 2 * 1024 * 1024
    exchange(a, b)
    expect(watcher.isTold(a.now)).toBe(false)
    outlet.queuedBytes = 0
    a.work()
    expect(watcher.isTold(a.now)).toBe(true)
    a.passMs(1999)
    expect(watcher.isTold(a.now)).toBe(true)
    a.passMs(1)
    expect(watcher.isTold(a.now)).toBe(false) // Another owner may have been chosen.
    a.lease()
    expect(watcher.isTold(a.now)).toBe(true)
    a.owner.handOver(B)
    expect(watcher.isTold(a.now)).toBe(false)
  })

  test('is not told by a new owner before that knows what is committed', () => {
    const [a, b] = pairOfReplicas()
    a.adopt(configOf({ n: 2, inSync: [A, B] }))
    b.adopt(configOf({ n: 2, owner: B, inSync: [B, A] }))
    const watcher = b.owner.watchers.add(new TestOutlet('7'.repeat(32)), watchOf(keysOnly))
    b.lease()
    b.work()
    expect(watcher.isTold(b.now)).toBe(false)
  })
})
