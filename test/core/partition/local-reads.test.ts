/** When a read from the owner's own process is answered from the store, and when it has to go the ordinary way. */

import { beforeEach, describe, expect, test } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { epochOf } from '../../../src/core/membership/config.ts'
import { LocalReads } from '../../../src/core/partition/local-reads.ts'
import { encodeKey } from '../../../src/core/wire/key.ts'
import {
  CallView,
  FLAG_CONFIRMED,
  Operation,
  ReplyStatus,
  ReplyView,
} from '../../../src/core/wire/message.ts'
import { A, B, Bench, type BenchOptions, configOf, exchange, MAP, TestClient } from './support.ts'

const alone = configOf({ inSync: [A] })
const pair = configOf({ inSync: [A, B] })

interface Read {
  readonly operation?: number
  readonly epoch?: number
  readonly flags?: number
  readonly map?: number
  readonly partition?: number
  readonly keyBytes?: Uint8Array
}

function keyOf(key: string): Uint8Array {
  const w = new ByteWriter(64)
  encodeKey(w, key, defaultLimits)
  return w.take()
}

/** The answer as bytes, or why there is none. */
function read(bench: Bench, key: string, options: Read = {}, reply = new ReplyView()): string {
  const { operation = Operation.get, epoch = 0, flags = 0, map = MAP, partition = 0 } = options
  const bytes = Buffer.from(options.keyBytes ?? keyOf(key))
  const view = new CallView()
  Object.assign(view, { partition, epoch, operation, flags, map, bytes, keyStart: 0, keyEnd: bytes.length })
  try {
    if (!new LocalReads([bench.partition]).answer(view, bench.now, reply)) return 'refused'
  } catch (error) {
    if (!(error instanceof GridError)) throw error
    return error.code
  }
  expect(reply.status).toBe(ReplyStatus.ok)
  const { payloadStart, payloadEnd } = reply
  return payloadStart === payloadEnd ? 'nothing' : reply.bytes.toString('hex', payloadStart, payloadEnd)
}

/** What a call over a link is answered at once; nothing if it has to wait. */
function call(bench: Bench, key: string, flags = 0): string {
  const client = new TestClient('9')
  client.get(bench, key, { flags })
  return client.answers()[0]?.replace('reply 1: ', '') ?? 'waits'
}

function replicas(options?: BenchOptions): [Bench, Bench] {
  const benches: [Bench, Bench] = [new Bench(A, options), new Bench(B, options)]
  for (const bench of benches) bench.adopt(pair)
  exchange(...benches)
  benches[0].lease()
  return benches
}

describe('a read from the same process', () => {
  let a: Bench
  let b: Bench
  let client: TestClient

  beforeEach(() => {
    ;[a, b] = replicas()
    client = new TestClient()
    client.put(a, 'k', 7)
    exchange(a, b)
    client.answers()
  })

  test('is answered from the store: value, entry, and whether there is one', () => {
    const reply = new ReplyView()
    expect(read(a, 'k', {}, reply)).toBe('07')
    expect(reply).toMatchObject({ partition: 0, era: 1, epoch: epochOf(1, 1), seq: a.owner.head })
    expect(read(a, 'none')).toBe('nothing')
    expect(read(a, 'k', { operation: Operation.has })).toBe('01')
    expect(read(a, 'none', { operation: Operation.has })).toBe('00')
    const seq = Buffer.alloc(6)
    seq.writeUIntLE(a.owner.head, 0, 6)
    expect(read(a, 'k', { operation: Operation.getEntry })).toBe(`000000000000${seq.toString('hex')}07`)
    expect(read(a, 'none', { operation: Operation.getEntry })).toBe('nothing')
    expect(call(a, 'k')).toBe('07')
  })

  test('changes nothing and sends nothing', () => {
    const { head } = a.owner
    read(a, 'k')
    read(a, 'none')
    a.settle()
    expect(a.owner.head).toBe(head)
    expect(a.to(B)).toEqual([])
  })

  test('is refused while what it would show is not committed, and other keys are not', () => {
    client.put(a, 'k', 8)
    expect(read(a, 'k')).toBe('refused')
    expect(read(a, 'k', { operation: Operation.has })).toBe('refused')
    expect(read(a, 'none')).toBe('nothing')
    exchange(a, b)
    expect(read(a, 'k')).toBe('08')
  })

  test('of an absent key is refused while a removal is not committed', () => {
    client.remove(a, 'k')
    expect(read(a, 'k')).toBe('refused')
    expect(read(a, 'none')).toBe('refused')
    exchange(a, b)
    expect(read(a, 'k')).toBe('nothing')
  })

  test('is refused without a lease on either clock, as a call would wait', () => {
    a.passMs(1999)
    expect(read(a, 'k')).toBe('07')
    a.passMs(1)
    expect(read(a, 'k')).toBe('refused')
    expect(call(a, 'k')).toBe('waits')
    a.lease()
    expect(read(a, 'k')).toBe('07')
    const { now } = a
    a.now = { monoMs: now.monoMs, wallMs: now.wallMs + 2000 } // The machine was suspended.
    expect(read(a, 'k')).toBe('refused')
    a.now = { monoMs: now.monoMs, wallMs: now.wallMs - 1000 } // The clock was set back.
    expect(read(a, 'k')).toBe('refused')
    a.now = now
    expect(read(a, 'k')).toBe('07')
    a.owner.log.dropLeases(now.monoMs)
    expect(read(a, 'k')).toBe('refused')
  })

  test('is refused where the caller trusts no clock', () => {
    expect(read(a, 'k', { flags: FLAG_CONFIRMED })).toBe('refused')
    expect(call(a, 'k', FLAG_CONFIRMED)).toBe('waits')
  })

  test('is refused to one that knows a newer configuration', () => {
    expect(read(a, 'k', { epoch: epochOf(1, 1) })).toBe('07')
    expect(read(a, 'k', { epoch: epochOf(1, 2) })).toBe('refused')
  })

  test('is refused by anybody but the owner', () => {
    expect(b.partition.role).toBe('backup')
    expect(read(b, 'k')).toBe('refused')
    expect(read(new Bench(A), 'k')).toBe('refused')
    expect(read(a, 'k', { partition: 1 })).toBe('refused')
  })

  test('is refused from the moment at which a handover begins, and by the old owner for ever', () => {
    a.owner.handOver(B)
    expect(read(a, 'k')).toBe('refused')
    a.round()
    const next = a.proposed[0]!
    expect(next.owner).toBe(B)
    for (const bench of [a, b]) bench.adopt(next)
    exchange(a, b)
    expect(read(a, 'k')).toBe('refused')
    expect(read(b, 'k')).toBe('refused') // No lease yet.
    b.lease()
    expect(read(b, 'k')).toBe('07')
  })

  test('by a new owner is refused until what it has taken over is committed', () => {
    client.put(a, 'k', 8)
    expect(a.deliver(b)).toHaveLength(1)
    const next = configOf({ n: 2, owner: B, ownership: '2'.repeat(32), inSync: [B, A] })
    b.adopt(next)
    b.lease()
    expect(read(b, 'k')).toBe('refused')
    expect(read(b, 'none')).toBe('refused')
  })

  test('is refused by a replica in conflict, and by a member that may count as dead', () => {
    a.adopt({ ...pair, id: 'e'.repeat(32) })
    expect(a.partition.conflicted).toBe(true)
    expect(read(a, 'k')).toBe('refused')
    const halted = new Bench(A)
    halted.adopt(alone)
    expect(read(halted, 'k')).toBe('nothing')
    Object.assign(halted.context, { halted: true })
    expect(read(halted, 'k')).toBe('refused')
  })

  test('is refused once the partition is closed', () => {
    a.partition.close()
    expect(read(a, 'k')).toBe('refused')
  })

  test('of a map that this member has not read of is refused', () => {
    expect(read(a, 'k', { map: MAP + 1 })).toBe('refused')
    expect(call(a, 'k')).toBe('07')
  })

  test('is refused for what is no read of one key', () => {
    for (const operation of [Operation.put, Operation.remove, Operation.size, Operation.query, 99])
      expect(read(a, 'k', { operation })).toBe('refused')
  })

  test('of a key that the member would refuse fails as the call would', () => {
    const keyBytes = Buffer.from([0xd9, 1, 0x6b]) // Not the shortest form of 'k'.
    expect(read(a, '', { keyBytes })).toBe('MALFORMED')
    const [small] = replicas({ limits: { keyBytesMax: 3 } })
    expect(read(small, 'a')).toBe('nothing')
    expect(read(small, 'abc')).toBe('MALFORMED')
    expect(call(small, 'abc')).toBe('MALFORMED')
  })

  test('of a key of another partition is refused', () => {
    Object.assign(a.context, { partitionCount: 2 })
    const keys = Array.from({ length: 32 }, (_, i) => `k${i}`)
    const answers = keys.map((key) => read(a, key))
    expect(new Set(answers)).toEqual(new Set(['nothing', 'refused']))
    for (const [i, answer] of answers.entries())
      expect(call(a, keys[i]!)).toBe(answer === 'nothing' ? 'nothing' : 'MALFORMED')
  })
})

test('a read from the same process does not wait, and so is answered however many calls do', () => {
  const [a] = replicas({ limits: { waitingCallsMax: 1 } })
  new TestClient().put(a, 'x', 1)
  expect(call(a, 'k')).toBe('OVERLOADED')
  expect(read(a, 'k')).toBe('nothing')
})

describe('a read from the same process, and time', () => {
  function owner(options: BenchOptions): Bench {
    const bench = new Bench(A, options)
    bench.adopt(alone)
    return bench
  }

  test('of an entry past its time is refused: its removal is a record', () => {
    const a = owner({ map: { ttlMs: 1000 } })
    new TestClient().put(a, 'k', 7)
    expect(read(a, 'k')).toBe('07')
    a.passMs(1000)
    const { head } = a.owner
    expect(read(a, 'k')).toBe('refused')
    expect(read(a, 'k', { operation: Operation.has })).toBe('refused')
    expect(read(a, 'k', { operation: Operation.getEntry })).toBe('refused')
    expect(a.owner.head).toBe(head)
    expect(call(a, 'k')).toBe('nothing')
    expect(a.owner.head).toBe(head + 1)
    expect(read(a, 'k')).toBe('nothing')
  })

  test('counts as use, and of an entry that was idle for too long is refused', () => {
    const a = owner({ map: { maxIdleMs: 5000 } })
    new TestClient().put(a, 'k', 7)
    for (let i = 0; i < 5; i++) {
      a.passMs(4000)
      expect(read(a, 'k')).toBe('07')
    }
    a.passMs(7000)
    expect(read(a, 'k')).toBe('refused')
    expect(call(a, 'k')).toBe('nothing')
  })

  test('keeps an entry from being the least recently used', () => {
    const a = owner({ map: { eviction: { policy: 'lru', maxEntries: 5 } } })
    const client = new TestClient()
    for (const key of ['used', 'b', 'c', 'd', 'e']) client.put(a, key, 1)
    for (let i = 0; i < 40; i++) {
      a.passMs(1000)
      expect(read(a, 'used')).toBe('01')
      a.passMs(1000)
      client.put(a, `new ${i}`, 1)
    }
    expect(read(a, 'used')).toBe('01')
    expect(read(a, 'b')).toBe('nothing')
  })

  test('that is refused does not count as use', () => {
    const [a, b] = replicas({ map: { maxIdleMs: 5000 } })
    new TestClient().put(a, 'k', 7)
    exchange(a, b)
    a.passMs(4000) // The lease has run out.
    expect(read(a, 'k')).toBe('refused')
    a.passMs(3000)
    a.lease()
    expect(read(a, 'k')).toBe('refused')
    expect(call(a, 'k')).toBe('waits') // For the commit of its removal.
  })
})
