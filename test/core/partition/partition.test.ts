import { describe, expect, test } from 'vitest'
import { blankRecord } from '../../../src/core/store/record.ts'
import { FLAG_CONFIRMED, FLAG_RETRY, FLAG_SESSION } from '../../../src/core/wire/message.ts'
import { A, B, Bench, beaconOf, C, configOf, exchange, TestClient } from './support.ts'

const alone = configOf({ inSync: [A] })
const pair = configOf({ inSync: [A, B] })
const trio = configOf({ inSync: [A, B, C] })

/** Replicas that have taken the same configuration, with their first record committed. */
function replicas(config = pair): Bench[] {
  const benches = config.inSync.map((id) => new Bench(id))
  for (const bench of benches) bench.adopt(config)
  exchange(...benches)
  benches[0]!.lease()
  return benches
}

/** What is here, as a client of a lone owner would read it. */
function read(bench: Bench, key: string): string {
  const client = new TestClient('9')
  client.get(bench, key)
  return client.answers()[0]!.replace('reply 1: ', '')
}

describe('the owner', () => {
  test('answers a write when the backup has it, and not before', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    client.put(a, 'k', 7)
    expect(client.answers()).toEqual([])
    expect(a.deliver(b)).toEqual(['replicate 2..3 after 1@1, commit 1'])
    expect(client.answers()).toEqual([])
    expect(b.deliver(a)).toEqual(['ack 3'])
    expect(client.answers()).toEqual(['reply 1: nothing'])
  })

  test('waits for every backup in sync', () => {
    const [a, b, c] = replicas(trio) as [Bench, Bench, Bench]
    const client = new TestClient()
    client.put(a, 'k', 7)
    exchange(a, b)
    expect(client.answers()).toEqual([])
    exchange(a, c)
    expect(client.answers()).toEqual(['reply 1: nothing'])
  })

  test('carries out a repeated call once and gives its answer again', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    const call = client.update(a, 'k', { $inc: { n: 5 } })
    const { head } = a.owner
    client.update(a, 'k', { $inc: { n: 5 } }, { call, flags: FLAG_RETRY })
    expect(client.answers()).toEqual([])
    expect(a.owner.head).toBe(head)
    exchange(a, b)
    expect(client.answers()).toEqual(['reply 1: 81a16e05', 'reply 1: 81a16e05'])
    client.update(a, 'k', { $inc: { n: 5 } }, { call, flags: FLAG_RETRY })
    expect(client.answers()).toEqual(['reply 1: 81a16e05'])
    expect(a.owner.head).toBe(head)
  })

  test('forgets an answer that the client has, and answers a late copy with nothing', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    const call = client.put(a, 'k', 1)
    client.put(a, 'k', 2, { ackUpTo: call })
    expect(client.answers()).toEqual(['reply 1: nothing', 'reply 2: nothing'])
    const { head } = a.owner
    client.put(a, 'k', 1, { call, flags: FLAG_RETRY })
    expect(client.answers()).toEqual([])
    expect(a.owner.head).toBe(head)
  })

  test('does not guess what became of a call whose session it does not know', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    client.put(a, 'k', 1, { call: 7, flags: FLAG_RETRY | FLAG_SESSION })
    expect(client.answers()).toEqual(['reply 7: SESSION_EXPIRED'])
    expect(read(a, 'k')).toBe('nothing')
    client.put(a, 'k', 1, { call: 8, flags: FLAG_RETRY }) // No write of its session was answered before: none can be forgotten.
    expect(client.answers()).toEqual(['reply 8: nothing'])
  })

  test('lets a read wait for the commit of what it depends on, and no other', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    client.put(a, 'old', 1)
    exchange(a, b)
    client.answers()
    client.put(a, 'new', 2)
    const other = new TestClient('2')
    other.get(a, 'old')
    expect(other.answers()).toEqual(['reply 1: 01'])
    other.get(a, 'new')
    expect(other.answers()).toEqual([])
    exchange(a, b)
    expect(other.answers()).toEqual(['reply 2: 02'])
  })

  test('lets a read of a removed key wait for the commit of the removal', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    client.put(a, 'k', 1)
    exchange(a, b)
    client.answers()
    client.remove(a, 'k')
    const other = new TestClient('2')
    other.get(a, 'k')
    expect(other.answers()).toEqual([])
    exchange(a, b)
    expect(other.answers()).toEqual(['reply 1: nothing'])
  })

  test('confirms a read by a round to its backups where leases do not cover it or the caller asks', () => {
    const [a] = replicas() as [Bench]
    const client = new TestClient()
    client.get(a, 'k')
    expect(client.answers()).toEqual(['reply 1: nothing'])
    client.get(a, 'k', { flags: FLAG_CONFIRMED })
    expect(a.to(B)).toEqual(['confirm 1'])
    a.passMs(2000)
    client.get(a, 'k')
    expect(client.answers()).toEqual([])
    a.owner.confirmations.confirmed(B, 1)
    expect(client.answers()).toEqual(['reply 2: nothing'])
    expect(a.to(B)).toEqual(['confirm 2'])
    a.owner.confirmations.confirmed(B, 1) // Of the round before: says nothing of this one.
    expect(client.answers()).toEqual([])
    a.owner.confirmations.confirmed(B, 2)
    expect(client.answers()).toEqual(['reply 3: nothing'])
  })

  test('holds no more calls than waitingCallsMax', () => {
    const a = new Bench(A, { limits: { waitingCallsMax: 3 } })
    a.adopt(pair)
    const client = new TestClient()
    for (let i = 0; i < 4; i++) client.put(a, 'k', i)
    expect(client.answers()).toEqual(['reply 4: OVERLOADED'])
    expect(a.owner.replies.size).toBe(3)
  })

  test('a processor that throws changes nothing, an unknown one names the known', () => {
    const processors = new Map([
      [
        'bad',
        (entry: { set(value: unknown): void }) => {
          entry.set('changed')
          throw new Error('no')
        },
      ],
    ])
    const a = new Bench(A, { processors: processors as never })
    a.adopt(alone)
    const client = new TestClient()
    client.put(a, 'k', 1)
    const { head } = a.owner
    client.invoke(a, 'k', 'bad', null)
    client.invoke(a, 'k', 'worse', null)
    expect(client.answers()).toEqual([
      'reply 1: nothing',
      'reply 2: PROCESSOR_FAILED',
      'reply 3: UNKNOWN_PROCESSOR',
    ])
    expect(a.owner.head).toBe(head)
  })

  test('commits nothing while fewer replicas are in sync than minInSync', () => {
    const a = new Bench(A, { minInSync: 2 })
    a.adopt(alone)
    const client = new TestClient()
    client.put(a, 'k', 1)
    expect(client.answers()).toEqual([])
    expect(a.owner.commit).toBe(0)
  })
})

describe('the gate', () => {
  test('a message from an older epoch is answered with the newer configuration, and dropped', () => {
    const [a, b] = replicas() as [Bench, Bench]
    b.adopt(configOf({ n: 2, owner: B, inSync: [B] }))
    b.to(A)
    new TestClient().put(a, 'k', 1)
    const { head } = b.owner
    a.deliver(b)
    expect(b.owner.head).toBe(head)
    expect(b.deliver(a)).toEqual(['config 2: b of b'])
    expect(a.partition.role).toBe('none')
  })

  test('a message from a newer epoch makes this replica ask, and is dropped', () => {
    const [a, b] = replicas() as [Bench, Bench]
    a.adopt(configOf({ n: 2, owner: A, inSync: [A, B] }))
    new TestClient().put(a, 'k', 1)
    a.deliver(b)
    expect(b.to(A)).toEqual(['configRequest'])
    expect(b.partition.replica!.store.head).toBe(1)
  })

  test('what was dropped because either side was behind comes again at once', () => {
    const second = configOf({ n: 2, owner: A, inSync: [A, B], ownership: pair.id })
    for (const behind of [A, B]) {
      const [a, b] = replicas() as [Bench, Bench]
      const client = new TestClient()
      if (behind === B) a.adopt(second)
      else b.adopt(second)
      client.put(a, 'k', 1)
      exchange(a, b)
      expect(client.answers()).toEqual(['reply 1: nothing'])
      expect(b.partition.reference.epoch).toBe(second.epoch)
    }
  })

  test('a new owner whose backup has not heard of it asks again where they agree, and sends no more than that', () => {
    const benches = replicas(trio) as [Bench, Bench, Bench]
    const [a, b, c] = benches
    const client = new TestClient()
    for (let i = 0; i < 20; i++) client.put(a, `k${i}`, i)
    exchange(...benches)
    b.adopt(configOf({ n: 2, owner: B, inSync: [B, C] }))
    const { head } = b.owner
    b.deliver(c)
    c.deliver(b)
    expect(b.deliver(c)).toEqual([
      'config 2: b of bc',
      `replicate ${head}..${head} after ${head - 1}@1, commit 0`,
    ])
    exchange(b, c)
    expect(b.owner.commit).toBe(head)
  })

  test('a replica that a healed configuration names in sync is sent what it lacks at once, and owns nothing before', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const { id: ownership } = pair
    a.adopt(configOf({ n: 2, inSync: [A], ownership }))
    new TestClient().put(a, 'k', 1)
    expect(a.owner.commit).toBe(a.owner.head)
    a.adopt(configOf({ n: 3, inSync: [A, B], ownership }))
    a.owner.handOver(B)
    a.round()
    expect(a.proposed).toEqual([])
    exchange(a, b)
    expect(b.partition.replica!.store.head).toBe(a.owner.head)
    a.round()
    expect(a.proposed).toMatchObject([{ owner: B }])
  })

  test('two configurations of one epoch stop the partition, loudly', () => {
    const [a] = replicas() as [Bench]
    const client = new TestClient()
    a.adopt({ ...pair, id: 'e'.repeat(32) })
    expect(a.partition.conflicted).toBe(true)
    expect(a.notes.join()).toContain('conflict')
    client.put(a, 'k', 1)
    expect(client.answers()).toEqual(['reply 1: notOwner nobody'])
    a.adopt(configOf({ n: 3, owner: A, inSync: [A] }))
    client.put(a, 'k', 1)
    expect(client.answers()).toEqual(['reply 2: notOwner nobody'])
  })

  test('a call of a client that knows a newer epoch is not answered from an older one', () => {
    const [a] = replicas() as [Bench]
    const client = new TestClient()
    client.get(a, 'k', { epoch: a.partition.reference.epoch + 1 })
    expect(client.answers()).toEqual(['reply 1: notOwner a'])
  })
})

describe('a takeover', () => {
  test('revokes every promise to the old owner before it is proposed', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    client.put(a, 'k', 1)
    b.partition.takeOver('dead owner', b.partition.reference.epoch + 1)
    expect(b.proposed).toMatchObject([{ owner: B, inSync: [B], prev: pair.id }])
    a.deliver(b)
    expect(b.deliver(a)).toEqual([])
    expect(b.partition.onBeacon(A, beaconOf(a, 1), undefined, b.now)).toBe(false)
    expect(b.partition.onConfirm(A, a.partition.reference)).toBe(false)
    expect(client.answers()).toEqual([])
  })

  test('keeps all that was acknowledged, and knows the calls that did it', () => {
    const [a, b, c] = replicas(trio) as [Bench, Bench, Bench]
    const client = new TestClient()
    const call = client.update(a, 'k', { $inc: { n: 1 } })
    exchange(a, b, c)
    expect(client.answers()).toEqual(['reply 1: 81a16e01'])
    const second = configOf({ n: 2, owner: B, inSync: [B, C] })
    for (const bench of [b, c]) bench.adopt(second)
    exchange(b, c)
    client.update(b, 'k', { $inc: { n: 1 } }, { call, flags: FLAG_RETRY })
    expect(client.answers()).toEqual(['reply 1: 81a16e01'])
    b.lease()
    expect(read(b, 'k')).toBe('81a16e01')
  })

  test('commits what the old owner left uncommitted, and reads wait for that', () => {
    const [a, b, c] = replicas(trio) as [Bench, Bench, Bench]
    new TestClient().put(a, 'k', 7)
    a.deliver(b) // C never hears of it from A.
    const second = configOf({ n: 2, owner: B, inSync: [B, C] })
    for (const bench of [b, c]) bench.adopt(second)
    b.lease()
    const client = new TestClient('2')
    client.get(b, 'k')
    expect(client.answers()).toEqual([])
    expect(b.deliver(c)).toEqual(['replicate 4..4 after 3@1, commit 0'])
    expect(c.deliver(b)).toEqual(['nack 1'])
    expect(b.deliver(c)).toEqual(['replicate 2..3 after 1@1, commit 0', 'replicate 4..4 after 3@1, commit 0'])
    expect(c.deliver(b)).toEqual(['ack 3', 'ack 4'])
    expect(client.answers()).toEqual(['reply 1: 07'])
  })

  test('cuts off a tail that parts from the new owner’s log', () => {
    const [a, b, c] = replicas(trio) as [Bench, Bench, Bench]
    new TestClient().put(a, 'lost', 1)
    new TestClient('2').put(a, 'lost', 2)
    a.deliver(b) // B alone has seq 2 to 5 of epoch 1.
    expect(b.partition.replica!.store.head).toBe(5)
    const second = configOf({ n: 2, owner: C, inSync: [B, C] })
    for (const bench of [b, c]) bench.adopt(second)
    c.to(B) // The first record of the new ownership is lost on its way.
    new TestClient('3').put(c, 'kept', 3)
    expect(c.deliver(b)).toEqual(['replicate 3..4 after 2@2, commit 0'])
    expect(b.deliver(c)).toEqual(['nack 1'])
    expect(c.deliver(b)).toEqual(['replicate 2..4 after 1@1, commit 0'])
    expect(b.partition.replica!.store.head).toBe(4)
    expect(b.deliver(c)).toEqual(['ack 4'])
    c.adopt(configOf({ n: 3, owner: C, inSync: [C] }))
    expect(read(c, 'kept')).toBe('03')
    expect(read(c, 'lost')).toBe('nothing')
  })

  test('sends the calls of a replaced owner on as taken, and drops its data', () => {
    const [a] = replicas() as [Bench]
    const client = new TestClient()
    client.put(a, 'k', 1)
    a.adopt(configOf({ n: 2, owner: B, inSync: [B] }))
    expect(client.answers()).toEqual(['reply 1: moved b'])
    expect(a.partition.role).toBe('none')
    expect(a.context.pool.usedBytes).toBe(0)
  })

  test('an owner that is replaced and soon the owner again lets no call pass those that it had sent on', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    const first = client.put(a, 'k', 1)
    for (const bench of [a, b]) bench.adopt(configOf({ n: 2, owner: B, inSync: [B] }))
    expect(client.answers()).toEqual(['reply 1: moved b'])
    b.owner.teach(A, b.now)
    b.work()
    exchange(a, b)
    for (const bench of [a, b]) bench.adopt(configOf({ n: 3, owner: B, inSync: [B, A] }))
    exchange(a, b)
    a.adopt(configOf({ n: 4, owner: A, inSync: [A] }))
    // Sent before the client had heard of any of it.
    client.put(a, 'k', 2)
    expect(client.answers()).toEqual(['reply 2: OVERLOADED'])
    client.put(a, 'k', 1, { call: first, flags: FLAG_RETRY })
    client.put(a, 'k', 2, { call: 2, flags: FLAG_RETRY })
    expect(client.answers()).toEqual(['reply 1: nothing', 'reply 2: nothing'])
    expect(read(a, 'k')).toBe('02')
  })

  test('a backup whose member may count as dead confirms and promises nothing', () => {
    const [a, b] = replicas() as [Bench, Bench]
    Object.assign(b.context, { halted: true })
    const client = new TestClient()
    client.put(a, 'k', 1)
    exchange(a, b)
    expect(client.answers()).toEqual([])
    expect(b.partition.onBeacon(A, beaconOf(a, 1), undefined, b.now)).toBe(false)
    expect(b.partition.onConfirm(A, a.partition.reference)).toBe(false)
  })

  test('an acknowledgement of an earlier session counts for nothing', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    client.put(a, 'k', 1)
    a.deliver(b)
    const early = b.peers.get(A)!.take()
    a.adopt(configOf({ n: 2, owner: A, inSync: [A] }))
    client.answers()
    a.partition.owner!.teach(B, a.now)
    client.put(a, 'k', 2)
    for (const message of early) a.receive(B, message)
    expect(a.owner.log.peers.get(B)!.ack).toBe(0)
  })

  test('an era that begins with a declared loss begins empty', () => {
    const a = new Bench(A)
    a.adopt(alone)
    new TestClient().put(a, 'k', 1)
    a.adopt(configOf({ n: 2, owner: A, inSync: [A], era: 2 }))
    expect(read(a, 'k')).toBe('nothing')
    expect(a.notes.join()).toContain('lost')
  })

  test('a late copy of a write from before a declared loss is not carried out after it', () => {
    const a = new Bench(A)
    a.adopt(alone)
    const client = new TestClient()
    const call = client.put(a, 'k', 1, { epoch: alone.epoch })
    const next = configOf({ n: 2, owner: A, inSync: [A], era: 2 })
    a.adopt(next)
    client.answers()
    client.put(a, 'k', 1, { call, epoch: alone.epoch })
    expect(client.answers()).toEqual(['reply 1: notOwner a'])
    expect(read(a, 'k')).toBe('nothing')
    client.put(a, 'k', 1, { call, epoch: next.epoch })
    expect(client.answers()).toEqual(['reply 1: nothing'])
    expect(read(a, 'k')).toBe('01')
  })
})

describe('a handover', () => {
  test('stops serving, drains to the commit, and only then proposes', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const client = new TestClient()
    client.put(a, 'k', 7)
    a.owner.handOver(B)
    a.round()
    expect(a.proposed).toEqual([])
    client.put(a, 'k', 8)
    expect(client.answers()).toEqual(['reply 2: notOwner a'])
    exchange(a, b)
    expect(client.answers()).toEqual(['reply 1: nothing'])
    a.round()
    expect(a.proposed).toMatchObject([{ owner: B, inSync: [A, B] }])
    client.put(a, 'k', 8)
    expect(client.answers()).toEqual(['reply 3: notOwner a'])
    const next = a.proposed[0]!
    for (const bench of [b, a]) bench.adopt(next)
    expect([a.partition.role, b.partition.role]).toEqual(['backup', 'owner'])
    client.put(b, 'k', 9)
    exchange(a, b)
    expect(client.answers()).toEqual(['reply 4: nothing'])
    b.adopt(configOf({ n: 3, owner: B, inSync: [B] }))
    expect(read(b, 'k')).toBe('09')
  })

  test('goes back to serving when the successor falls silent, and takes it out in the same round', () => {
    const [a] = replicas() as [Bench]
    new TestClient().put(a, 'k', 7)
    a.owner.handOver(B)
    a.passMs(1001)
    a.round()
    expect(a.owner.stopped).toBe(false)
    expect(a.proposed).toMatchObject([{ owner: A, inSync: [A], reason: 'silent' }])
  })

  test('of a partition whose learner is given up does not wait for that learner', () => {
    const [a, b] = replicas() as [Bench, Bench]
    const c = new Bench(C)
    c.adopt(pair)
    a.owner.teach(C, a.now)
    a.work()
    exchange(a, b, c)
    a.round()
    expect(a.owner.log.adding).toBe(C)
    const client = new TestClient()
    client.put(a, 'k', 7)
    exchange(a, b) // C is gone: the write waits for it alone.
    client.get(a, 'k', { flags: FLAG_CONFIRMED })
    exchange(a, b)
    expect(client.answers()).toEqual([])
    a.owner.handOver(B)
    expect(client.answers()).toEqual(['reply 1: nothing'])
    expect(a.owner.log.adding).toBeUndefined()
    a.owner.confirmations.confirmed(B, 2)
    expect(client.answers()).toEqual(['reply 2: 07'])
    a.round()
    expect(a.proposed).toMatchObject([{ owner: B }])
  })
})

describe('a learner', () => {
  test('is sent everything while writes go on, waited for, and only then proposed', () => {
    const a = new Bench(A)
    const b = new Bench(B)
    for (const bench of [a, b]) bench.adopt(alone)
    const client = new TestClient()
    const value = 'x'.repeat(1000)
    for (let i = 0; i < 600; i++) client.put(a, `k${i}`, `${value}${i}`)
    a.owner.teach(B, a.now)
    expect(a.deliver(b)).toEqual([`snapshotBegin at ${a.owner.head}`])
    const base = a.owner.head
    // Four chunks go at once; meanwhile entries change that have been sent, that have not, and that are new.
    a.work()
    client.put(a, 'k0', 'changed')
    client.put(a, 'k599', 'changed')
    client.remove(a, 'k300')
    client.put(a, 'new', 'added')
    let chunks = 0
    while (a.owner.log.peers.get(B)!.transfer) {
      chunks += a.deliver(b).length
      b.deliver(a)
      a.round()
      expect(a.proposed).toEqual([])
      a.work()
    }
    expect(chunks).toBeGreaterThan(8)
    expect(a.deliver(b)).toEqual([
      `replicate ${base + 1}..${base + 4} after ${base}@1, commit ${a.owner.commit}`,
    ])
    b.deliver(a)
    a.round()
    expect(a.owner.log.adding).toBe(B)
    client.answers()
    client.put(a, 'last', 1)
    expect(client.answers()).toEqual([])
    a.round()
    expect(a.proposed).toMatchObject([{ inSync: [A, B], reason: 'level' }])
    exchange(a, b)
    expect(client.answers()).toHaveLength(1)
    for (const bench of [a, b]) bench.adopt(a.proposed[0]!)
    exchange(a, b)
    a.lease()
    b.adopt(configOf({ n: 3, owner: B, inSync: [B] }))
    for (const key of ['k0', 'k1', 'k300', 'k598', 'k599', 'new', 'last'])
      expect(read(b, key)).toBe(read(a, key))
    expect(b.partition.replica!.store.count(1)).toBe(601)
    client.put(b, 'k0', 'again', { call: 601, flags: FLAG_RETRY }) // Done at A, after the snapshot began.
    expect(read(b, 'k0')).toBe(read(a, 'k0'))
  })

  test('that breaks off begins anew, and what it answers for the old transfer counts for nothing', () => {
    const a = new Bench(A)
    const b = new Bench(B)
    for (const bench of [a, b]) bench.adopt(alone)
    new TestClient().put(a, 'k', 1)
    a.owner.teach(B, a.now)
    a.work()
    a.deliver(b)
    const early = b.peers.get(A)!.take()
    a.owner.linked(B) // The link is a new one: chunks may have been lost.
    a.owner.teach(B, a.now)
    for (const message of early) a.receive(B, message)
    expect(a.owner.log.peers.get(B)!.transfer).toBeDefined()
    a.work()
    exchange(a, b)
    expect(a.owner.log.peers.get(B)!.ack).toBe(a.owner.head)
  })

  test('of which an earlier transfer comes late, on an older link, keeps what it was taught since', () => {
    const a = new Bench(A)
    const b = new Bench(B)
    for (const bench of [a, b]) bench.adopt(alone)
    const client = new TestClient()
    client.put(a, 'before', 1)
    a.owner.teach(B, a.now)
    a.work()
    const late = a.peers.get(B)!.take()
    expect(late.length).toBeGreaterThan(1)
    a.owner.linked(B)
    client.put(a, 'since', 2)
    a.owner.teach(B, a.now)
    a.work()
    exchange(a, b)
    expect(a.owner.log.peers.get(B)!.ack).toBe(a.owner.head)
    for (const message of late) b.receive(A, message)
    expect(b.partition.replica!.store.head).toBe(a.owner.head)
    const both = configOf({ n: 2, ownership: alone.ownership, inSync: [A, B] })
    for (const bench of [a, b]) bench.adopt(both)
    b.adopt(configOf({ n: 3, owner: B, inSync: [B] }))
    expect(read(b, 'since')).toBe('02')
  })

  test('that waits for the next chunk is not silent, but forgotten when there is no way to it', () => {
    const a = new Bench(A)
    a.adopt(alone)
    a.owner.teach(B, a.now)
    expect(a.owner.log.peers.get(B)!.transfer!.ready).toBe(true)
    a.passMs(1001)
    a.owner.round(a.now, a.partition.reference.epoch + 1)
    expect(a.owner.log.peers.has(B)).toBe(true)
    a.peers.delete(B)
    a.owner.round(a.now, a.partition.reference.epoch + 1)
    expect(a.owner.log.peers.has(B)).toBe(false)
  })

  test('that falls silent is forgotten, also while it is being added', () => {
    const a = new Bench(A)
    const b = new Bench(B)
    for (const bench of [a, b]) bench.adopt(alone)
    a.owner.teach(B, a.now)
    a.work()
    exchange(a, b)
    a.round()
    expect(a.owner.log.adding).toBe(B)
    const client = new TestClient()
    client.put(a, 'k', 1)
    a.passMs(1001)
    a.owner.round(a.now, a.partition.reference.epoch + 1)
    expect(a.owner.log.peers.size).toBe(0)
    expect(client.answers()).toEqual(['reply 1: nothing'])
  })
})

describe('a full store', () => {
  const value = 'x'.repeat(4000)

  test('at the owner: puts are refused, removals are not', () => {
    const a = new Bench(A, { maxBytes: 1024 * 1024 })
    a.adopt(alone)
    const client = new TestClient()
    let last = ''
    let i = 0
    while (!last.includes('STORE_FULL') && i < 1000) {
      client.put(a, `k${i++}`, value)
      last = client.answers()[0]!
    }
    expect(last).toContain('STORE_FULL')
    expect(i).toBeGreaterThan(100)
    client.remove(a, 'k0')
    expect(client.answers()).toEqual([`reply ${i + 1}: 01`])
    expect(read(a, 'k1')).not.toBe('nothing')
  })

  test('at a backup: it gives everything up and says so, and the owner goes on without it', () => {
    const a = new Bench(A)
    const b = new Bench(B, { maxBytes: 256 * 1024 })
    for (const bench of [a, b]) bench.adopt(pair)
    exchange(a, b)
    const client = new TestClient()
    for (let i = 0; i < 100; i++) client.put(a, `k${i}`, value)
    a.deliver(b)
    expect(b.partition.role).toBe('none')
    expect(b.context.pool.usedBytes).toBe(0)
    expect(b.deliver(a)).toContain('refuse 0')
    a.round()
    expect(a.proposed).toMatchObject([{ inSync: [A] }])
    a.adopt(a.proposed[0]!)
    expect(client.answers()).toHaveLength(100)
  })

  test('at a member that becomes the owner: it serves reads, takes removals, and refuses puts', () => {
    const a = new Bench(A)
    const b = new Bench(B, { maxBytes: 1024 * 1024 })
    for (const bench of [a, b]) bench.adopt(alone)
    const client = new TestClient()
    client.put(a, 'k', 7)
    a.owner.teach(B, a.now)
    a.work()
    exchange(a, b) // A transfer leaves no block in which another record would fit.
    const both = configOf({ n: 2, ownership: alone.ownership, inSync: [A, B] })
    for (const bench of [a, b]) bench.adopt(both)
    exchange(a, b)
    const { pool } = b.context
    pool.charge(pool.maxBytes - pool.usedBytes)
    b.adopt(configOf({ n: 3, owner: B, inSync: [B] }))
    expect(b.partition.role).toBe('owner')
    expect(read(b, 'k')).toBe('07')
    client.answers()
    client.put(b, 'l', 8)
    client.remove(b, 'k')
    expect(client.answers()).toEqual(['reply 2: STORE_FULL', 'reply 3: 01'])
  })

  test('has its garbage collected although there is no room for what has expired', () => {
    const a = new Bench(A, { historyBytes: 0, maxBytes: 4 * 1024 * 1024, map: { ttlMs: 1000 } })
    a.adopt(alone)
    const client = new TestClient()
    const rounds = 2 // What the first has written is garbage after the second.
    for (let i = 0; i < rounds * 1000; i++) client.put(a, `k${i % 1000}`, 'x'.repeat(200), { ackUpTo: i })
    expect(client.answers().filter((line) => !line.includes('nothing'))).toEqual([])
    const { pool } = a.context
    pool.charge(pool.maxBytes - pool.usedBytes)
    const { store } = a.partition.replica!
    const fill = (): void => {
      for (;;) store.applyHead(store.append(blankRecord))
    }
    expect(fill).toThrow('STORE_FULL') // No room in the open block, either.
    a.owner.appended()
    a.passMs(1001)
    for (let i = 0; i < 20; i++) {
      try {
        a.work()
      } catch (error) {
        expect(`${error}`).toContain('STORE_FULL')
      }
    }
    expect(store.count(1)).toBe(0)
  })
})
