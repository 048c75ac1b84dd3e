import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { seededRandom } from '../../../src/core/base/random.ts'
import { BlockPool } from '../../../src/core/store/block-pool.ts'
import { History } from '../../../src/core/store/history.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import { RecordKind, RecordView } from '../../../src/core/store/record.ts'
import { auditStore, hashOf, type InputOptions, inputOf, recordText } from './support.ts'

const MIB = 1024 * 1024

interface Setting {
  historyBytes?: number
  pool?: BlockPool
  history?: History
  garbageRatioMax?: number
}

function storeOf(setting: Setting = {}): LogStore {
  return new LogStore({
    pool: setting.pool ?? new BlockPool({ maxBytes: 256 * MIB }),
    history: setting.history ?? new History({ maxBytes: setting.historyBytes ?? MIB }),
    seed: 5,
    garbageRatioMax: setting.garbageRatioMax,
  })
}

function write(store: LogStore, options: InputOptions): number {
  const location = store.append(inputOf({ map: 1, ...options }))
  store.applyHead(location)
  return location
}

function fill(store: LogStore, count: number, valueBytes = 100, prefix = 'key'): void {
  for (let i = 0; i < count; i++)
    write(store, { key: `${prefix}-${i}`, value: 'v'.repeat(valueBytes), envelope: 'r' })
}

function has(store: LogStore, key: string, map = 1): boolean {
  const bytes = Buffer.from(key)
  return store.find(map, hashOf(bytes), bytes, 0, bytes.length) >= 0
}

function tailOf(store: LogStore, from = store.tailFirst, to = store.head): Buffer {
  const writer = new ByteWriter()
  while (from <= to) from = store.copyTail(from, MIB, writer, to) + 1
  return writer.buffer.subarray(0, writer.length)
}

describe('LogStore', () => {
  it('appends a run of records of any size as it was, in blocks of its own', () => {
    const owner = storeOf()
    const sizes = [10, 200, 3000, 2 * MIB, 20, 300_000, 40, 5, 70_000, 1]
    sizes.forEach((bytes, i) => {
      write(owner, { key: `key-${i}`, value: 'v'.repeat(bytes), envelope: 'r' })
    })
    const bytes = tailOf(owner)
    const backup = storeOf()
    // Not at a multiple of anything, as in a frame.
    backup.appendBytes(Buffer.concat([Buffer.alloc(3), bytes]), 3, 3 + bytes.length)
    backup.applyTo(backup.head)
    expect(tailOf(backup).equals(bytes)).toBe(true)
    expect(sizes.map((_, i) => has(backup, `key-${i}`))).toEqual(sizes.map(() => true))
    auditStore(backup)
  })

  it('takes effect at a backup only up to what is applied, and forgets what is cut off', () => {
    const owner = storeOf()
    write(owner, { key: 'a', value: '1' })
    write(owner, { key: 'a', value: '2' })
    write(owner, { kind: RecordKind.remove, key: 'a' })
    write(owner, { key: 'b', value: '3' })
    const backup = storeOf()
    const bytes = tailOf(owner)
    backup.appendBytes(bytes, 0, bytes.length)
    expect([backup.head, backup.applied, backup.count(1)]).toEqual([4, 0, 0])
    backup.applyTo(2)
    expect(has(backup, 'a')).toBe(true)
    expect(() => backup.truncate(1)).toThrow('only what is not applied')
    backup.truncate(2)
    expect(backup.head).toBe(2)
    expect(() => backup.applyNext()).toThrow('nothing to apply')
    expect(tailOf(backup)).toEqual(tailOf(owner, 1, 2))
    // Another owner's history goes on from there.
    backup.appendBytes(tailOf(owner, 3, 3), 0, tailOf(owner, 3, 3).length)
    expect(backup.applyNext().kind).toBe(RecordKind.remove)
    expect(has(backup, 'a')).toBe(false)
    auditStore(backup)
  })

  it('cuts off whole blocks, and appends where the cut is', () => {
    const store = storeOf()
    fill(store, 10)
    for (let i = 0; i < 1000; i++) store.append(inputOf({ map: 1, key: `x-${i}`, value: 'v'.repeat(100) }))
    const scan = store.openScan()
    store.truncate(500)
    store.truncate(10)
    expect([store.head, store.tailFirst]).toEqual([10, 1])
    fill(store, 1000, 100, 'other')
    let seen = 0
    expect(scan.next(2000, () => seen++)).toBe(false)
    expect(seen).toBe(10)
    scan.close()
    auditStore(store)
    expect(store.walkTail(1, 9999, (record) => record.seq < 700)).toBe(700)
  })

  it('refuses raw records that do not follow on, and changes nothing', () => {
    const owner = storeOf()
    fill(owner, 3)
    const backup = storeOf()
    const whole = tailOf(owner)
    const code = (bytes: Buffer): string => {
      try {
        backup.appendBytes(bytes, 0, bytes.length)
      } catch (error) {
        return (error as { code: string }).code
      }
      return 'none'
    }
    expect(code(tailOf(owner, 2, 3))).toBe('MALFORMED')
    expect(code(Buffer.concat([tailOf(owner, 1, 1), tailOf(owner, 3, 3)]))).toBe('MALFORMED')
    expect(code(whole.subarray(0, whole.length - 8))).toBe('MALFORMED')
    expect([backup.head, backup.totalBytes]).toEqual([0, 0])
    expect(code(whole)).toBe('none')
    expect(() => backup.install(whole, 0, whole.length)).toThrow('bare put records')
  })

  it('keeps a released tail as history, the oldest of all partitions leaving first', () => {
    const history = new History({ maxBytes: 100_000 })
    const [first, second] = [storeOf({ history }), storeOf({ history })]
    fill(first, 1000)
    fill(second, 1000)
    first.release(1)
    expect([first.tailFirst, history.usedBytes]).toEqual([1, 0])
    first.release(400)
    expect(first.tailFirst).toBe(1)
    expect(history.usedBytes).toBeGreaterThan(40_000)
    second.release(1001)
    expect(first.tailFirst).toBeGreaterThan(200)
    expect(first.tailFirst).toBeLessThanOrEqual(400)
    expect(second.tailFirst).toBeGreaterThan(1)
    expect(history.usedBytes).toBeLessThanOrEqual(100_000)
    const before = first.tailFirst
    fill(first, 1000)
    expect(first.tailFirst).toBe(before)
    for (const store of [first, second]) {
      expect(tailOf(store).length).toBeGreaterThan(0)
      auditStore(store)
    }
    second.reset()
    fill(second, 10)
    first.release(2001)
    expect([second.tailFirst, second.head]).toEqual([1, 10])
    first.reset()
    second.reset()
    expect(history.usedBytes).toBe(0)
  })

  it('keeps no history at all where there is no budget', () => {
    const store = storeOf({ historyBytes: 0 })
    fill(store, 1000)
    store.release(store.head + 1)
    expect(store.tailFirst).toBeGreaterThan(800)
    expect(store.count(1)).toBe(1000)
    auditStore(store)
  })

  it('keeps what is not applied yet, whatever is released', () => {
    const store = storeOf({ historyBytes: 0 })
    fill(store, 10)
    for (let i = 0; i < 1000; i++) store.append(inputOf({ map: 1, key: `x-${i}`, value: 'v'.repeat(100) }))
    store.release(2000)
    expect(store.tailFirst).toBe(1)
    store.applyTo(1010)
    expect(store.count(1)).toBe(1010)
    store.release(2000)
    expect(store.tailFirst).toBeGreaterThan(800)
    auditStore(store)
  })

  it('does not append to a block that is history already', () => {
    const history = new History({ maxBytes: MIB })
    const store = storeOf({ history })
    let block = 0
    for (;;) {
      const location = store.append(inputOf({ map: 1, key: 'k', value: 'v'.repeat(500) }))
      if (block !== 0 && location >>> 17 !== block) break
      block = location >>> 17
      store.applyHead(location)
    }
    const last = store.applied
    store.release(last + 1)
    expect(history.usedBytes).toBeGreaterThan(0)
    store.truncate(last)
    write(store, { key: 'small' })
    expect(history.dropOldest()).toBe(true)
    expect(history.dropOldest()).toBe(false)
    expect([store.tailFirst, store.head]).toEqual([last + 1, last + 1])
    auditStore(store)
  })

  it('compacts the block that copies go to as well', () => {
    const owner = storeOf()
    fill(owner, 80)
    const writer = new ByteWriter()
    const scan = owner.openScan()
    scan.next(100, (record) => owner.copyLive(record, writer))
    scan.close()
    const learner = storeOf({ historyBytes: 0 })
    learner.install(writer.buffer, 0, writer.length)
    learner.startAt(80)
    for (let i = 0; i < 70; i++) write(learner, { kind: RecordKind.remove, key: `key-${i}` })
    let steps = 0
    while (learner.compactStep(3)) expect(steps++).toBeLessThan(5)
    expect(learner.garbageRatio).toBe(0)
    expect(learner.count(1)).toBe(10)
    for (let i = 70; i < 80; i++) expect(has(learner, `key-${i}`)).toBe(true)
    auditStore(learner)
  })

  it('gives up history before it refuses to write', () => {
    const pool = new BlockPool({ maxBytes: MIB })
    const store = storeOf({ pool, history: new History({ maxBytes: 10 * MIB }) })
    for (let i = 0; i < 20_000; i++) {
      write(store, { key: 'the one', value: 'v'.repeat(100) })
      store.release(store.head + 1)
    }
    expect(store.tailFirst).toBeGreaterThan(1)
    expect(pool.reservedBytes).toBeLessThanOrEqual(MIB)
  })

  it('drops the envelope when it compacts, and nothing else', () => {
    const store = storeOf({ historyBytes: 0, garbageRatioMax: 0.05 })
    fill(store, 2000)
    store.release(store.head + 1)
    const key = Buffer.from('key-3')
    const view = new RecordView()
    const find = (): RecordView => store.view(store.find(1, hashOf(key), key, 0, key.length), view)
    const before = recordText(find())
    expect(view.hasEnvelope).toBe(true)
    const used = store.totalBytes
    while (store.compactStep(7));
    expect(recordText(find())).toBe(before)
    expect(view.hasEnvelope).toBe(false)
    expect(store.totalBytes).toBeLessThan(used * 0.95)
    expect(store.garbageRatio).toBeLessThan(0.05)
    auditStore(store)
  })

  it('keeps garbage within its bound while entries are overwritten', () => {
    const store = storeOf({ historyBytes: 0 })
    fill(store, 5000)
    const random = seededRandom(3)
    for (let i = 0; i < 50_000; i++) {
      write(store, { key: `key-${Math.floor(random.next() * 5000)}`, value: 'w'.repeat(100) })
      if (i % 100 !== 0) continue
      store.release(store.head + 1)
      while (store.compactStep(100));
      expect(store.garbageRatio).toBeLessThanOrEqual(0.25)
    }
    // 144 bytes of record, at most 1/3 garbage, 14 of index, and what is open.
    expect(store.totalBytes / 5000).toBeLessThan(144 * 1.55 + 14)
    auditStore(store)
  })

  it('holds an open scan steady, and lets go of it at reset', () => {
    const store = storeOf({ historyBytes: 0 })
    fill(store, 100)
    const scan = store.openScan()
    expect(store.pins).toBe(1)
    let seen = 0
    expect(scan.next(10, () => seen++)).toBe(true)
    fill(store, 5000, 100, 'later')
    store.release(store.head + 1)
    expect(scan.next(1000, () => seen++)).toBe(false)
    expect(seen).toBe(100)
    store.reset()
    expect(scan.next(10, () => expect.unreachable())).toBe(false)
    scan.close()
    expect(store.pins).toBe(0)
    expect(() => scan.next(1, () => undefined)).toThrow('closed')
  })

  it('looks at a bounded number of records for expiry, and at none before it is due', () => {
    const store = storeOf()
    for (let i = 0; i < 1000; i++)
      write(store, { key: `key-${i}`, value: 'v', expiresAt: i < 500 ? 100 + i : 0 })
    expect(store.minExpiresAt).toBe(100)
    const never = (): void => expect.unreachable()
    expect(store.expired(99, 10, never)).toBe(false)
    let calls = 0
    const due: string[] = []
    do calls++
    while (store.expired(149, 10, (r) => due.push(r.bytes.toString('utf8', r.keyStart, r.keyEnd))))
    expect(due.length).toBe(50)
    expect(calls).toBeGreaterThanOrEqual(50)
    for (const key of due) write(store, { kind: RecordKind.remove, key })
    while (store.expired(149, 1000, never));
    expect(store.minExpiresAt).toBe(150)
    // A later put without expiry takes the old one's expiry away.
    for (let i = 50; i < 500; i++) write(store, { key: `key-${i}`, value: 'v' })
    while (store.expired(10_000, 1000, never));
    expect(store.minExpiresAt).toBe(Infinity)
  })

  it('draws entries with their access times for eviction', () => {
    const store = storeOf()
    store.trackAccess(1)
    for (let i = 0; i < 500; i++) store.touch(1, write(store, { key: `key-${i}`, value: String(i) }), i)
    const seen = new Set<number>()
    store.sample(1, seededRandom(1), 2000, (record, accessedAt) => {
      expect(record.bytes.toString('utf8', record.valueStart, record.valueEnd)).toBe(String(accessedAt))
      seen.add(accessedAt)
    })
    expect(seen.size).toBeGreaterThan(400)
    store.sample(2, seededRandom(1), 10, () => expect.unreachable())
    const location = write(store, { key: 'key-7', value: '7' })
    expect(store.stampOf(1, location)).toBe(7)
    expect(store.stampOf(1, write(store, { key: 'key-new' }))).toBe(0)
  })

  it('clears one map and leaves the others', () => {
    for (const others of [10, 3000]) {
      const store = storeOf()
      fill(store, 200)
      for (let i = 0; i < others; i++) write(store, { map: 2, key: `key-${i}` })
      write(store, { kind: RecordKind.clear })
      expect([store.count(1), store.mapBytes(1), store.count(2)]).toEqual([0, 0, others])
      expect(store.mapIds()).toEqual([2])
      expect(store.superseded).toBe(-1)
      auditStore(store)
    }
  })

  it('goes on from a snapshot at its seq', () => {
    const owner = storeOf()
    fill(owner, 300)
    const writer = new ByteWriter()
    const scan = owner.openScan()
    scan.next(1000, (record) => owner.copyLive(record, writer))
    scan.close()
    const learner = storeOf()
    expect(learner.install(writer.buffer, 0, writer.length)).toBe(300)
    learner.startAt(owner.head)
    expect([learner.head, learner.applied, learner.tailFirst]).toEqual([300, 300, 301])
    expect(learner.copyTail(301, 100, new ByteWriter(), 999)).toBe(300)
    write(owner, { key: 'key-0', value: 'new' })
    learner.appendBytes(tailOf(owner, 301, 301), 0, tailOf(owner, 301, 301).length)
    learner.truncate(300)
    learner.appendBytes(tailOf(owner, 301, 301), 0, tailOf(owner, 301, 301).length)
    learner.applyTo(301)
    expect(learner.liveBytes).toBe(owner.liveBytes)
    expect(() => learner.startAt(5)).toThrow('before the tail begins')
    auditStore(learner)
  })

  it('takes records of every size in one log', () => {
    const pool = new BlockPool({ maxBytes: 64 * MIB })
    const store = storeOf({ pool, historyBytes: 0 })
    const sizes = [10, 20_000, 500, 300_000, 2_000_000, 5, 1_048_000, 1_048_576, 70_000, 0]
    for (let round = 0; round < 3; round++) {
      for (const [i, size] of sizes.entries())
        write(store, { key: `key-${i}`, value: 'x'.repeat(size + round) })
      store.release(store.head + 1)
      while (store.compactStep(1));
    }
    const view = new RecordView()
    for (const [i, size] of sizes.entries()) {
      const key = Buffer.from(`key-${i}`)
      store.view(store.find(1, hashOf(key), key, 0, key.length), view)
      expect(view.valueEnd - view.valueStart).toBe(size + 2)
    }
    auditStore(store)
    store.reset()
    expect(pool.usedBytes).toBe(0)
  })
})
