/**
 * Thousands of seeded operations against a plain model: a Map for the entries, an array for the log. A second store is
 * fed with the bytes of the first one's tail, as a backup would be, and a third from its snapshots.
 */

import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { type Random, randomInt, seededRandom } from '../../../src/core/base/random.ts'
import { BlockPool } from '../../../src/core/store/block-pool.ts'
import { History } from '../../../src/core/store/history.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import {
  copyBare,
  type RecordInput,
  RecordKind,
  RecordView,
  RemoveCause,
} from '../../../src/core/store/record.ts'
import { auditStore, hashOf, inputOf, recordText } from './support.ts'

interface Logged {
  kind: number
  map: number
  key: string
  value: string
  expiresAt: number
}

interface Setting {
  seed: number
  steps: number
  keys: number
  valueBytesMax: number
  historyBytes: number
  maps: number
}

class Model {
  readonly log: Logged[] = []
  readonly entries = new Map<string, Logged & { seq: number }>()
  applied = 0

  apply(seq: number): void {
    while (this.applied < seq) {
      const record = this.log[this.applied++]!
      const name = `${record.map}/${record.key}`
      if (record.kind === RecordKind.put) this.entries.set(name, { ...record, seq: this.applied })
      else if (record.kind === RecordKind.remove) this.entries.delete(name)
      else if (record.kind === RecordKind.clear) {
        for (const [other, entry] of this.entries) if (entry.map === record.map) this.entries.delete(other)
      }
    }
  }

  of(map: number): [string, Logged & { seq: number }][] {
    return [...this.entries].filter(([, entry]) => entry.map === map)
  }
}

class Run {
  readonly random: Random
  readonly pool = new BlockPool({ maxBytes: 64 * 1024 * 1024 })
  readonly history: History
  readonly store: LogStore
  readonly replica: LogStore
  readonly model = new Model()
  readonly setting: Setting
  readonly view = new RecordView()
  now = 1000

  constructor(setting: Setting) {
    this.setting = setting
    this.random = seededRandom(setting.seed)
    this.history = new History({ maxBytes: setting.historyBytes })
    this.store = new LogStore({ pool: this.pool, history: this.history, seed: 17 })
    this.replica = new LogStore({ pool: this.pool, history: this.history, seed: 99, garbageRatioMax: 0.1 })
  }

  int(bound: number): number {
    return randomInt(this.random, bound)
  }

  randomInput(): RecordInput {
    const dice = this.int(100)
    const map = this.int(this.setting.maps)
    const envelope = this.int(2) === 0 ? 'r'.repeat(this.int(40)) : undefined
    if (dice === 0) return inputOf({ kind: RecordKind.clear, map, envelope })
    if (dice < 4) return inputOf({ kind: RecordKind.noop, envelope })
    const key = `key-${this.int(this.setting.keys)}`
    if (dice < 25) return inputOf({ kind: RecordKind.remove, map, key, envelope, cause: RemoveCause.evicted })
    const size = this.int(20) === 0 ? this.int(this.setting.valueBytesMax) : this.int(200)
    const expiresAt = this.int(3) === 0 ? this.now + this.int(500) : 0
    const value = String.fromCharCode(97 + this.int(26)).repeat(size)
    return inputOf({ kind: RecordKind.put, map, key, value, expiresAt, envelope })
  }

  append(input: RecordInput): void {
    const location = this.store.append(input)
    this.model.log.push({
      kind: input.kind,
      map: input.map,
      key: Buffer.from(input.keyBytes).toString('utf8', input.keyStart, input.keyEnd),
      value: Buffer.from(input.valueBytes).toString('utf8', input.valueStart, input.valueEnd),
      expiresAt: input.expiresAt,
    })
    if (this.store.applied < this.store.head - 1 || this.int(4) === 0) return
    const name = `${input.map}/${this.model.log.at(-1)!.key}`
    const before = this.model.entries.get(name)
    const superseded = this.store.applyHead(location)
    this.model.apply(this.store.head)
    if (input.kind === RecordKind.put || input.kind === RecordKind.remove) {
      expect(superseded === -1).toBe(before === undefined)
      if (before !== undefined) expect(this.store.view(superseded, this.view).seq).toBe(before.seq)
    }
  }

  step(): void {
    const dice = this.int(1000)
    if (dice < 800) this.append(this.randomInput())
    else if (dice < 860) this.applySome()
    else if (dice < 880) this.truncateSome()
    else if (dice < 910) this.store.release(this.store.applied + 1 - this.int(50))
    else if (dice < 960) this.compactSome(this.store)
    else if (dice < 970) this.expireSome()
    else if (dice < 980) this.replicate()
    else if (dice < 988) this.checkPages()
    else if (dice < 995) this.checkScan()
    else this.checkTail()
  }

  applySome(): void {
    const seq = this.store.applied + this.int(this.store.head - this.store.applied + 1)
    const seen: number[] = []
    const from = this.store.applied + 1
    this.store.applyTo(seq, (record) => seen.push(record.seq))
    expect(seen).toEqual(Array.from({ length: seq - from + 1 }, (_, i) => from + i))
    this.model.apply(seq)
  }

  truncateSome(): void {
    // What a backup has been sent is not cut off here; the replica's own truncation is tested apart.
    const low = Math.max(this.store.applied, this.replica.head)
    const to = low + this.int(this.store.head - low + 1)
    this.store.truncate(to)
    this.model.log.length = to
    expect(this.store.head).toBe(to)
  }

  compactSome(store: LogStore): void {
    for (let i = this.int(20); i > 0; i--) if (!store.compactStep(1 + this.int(30))) break
  }

  expireSome(): void {
    this.now += this.int(200)
    this.applyAll()
    const inside = this.int(2) === 0
    const due: string[] = []
    const remove = (key: string): void => {
      const slash = key.indexOf('/')
      const map = Number(key.slice(0, slash))
      const input = inputOf({
        kind: RecordKind.remove,
        map,
        key: key.slice(slash + 1),
        cause: RemoveCause.expired,
      })
      this.append(input)
      this.applyAll()
    }
    for (let more = true; more; ) {
      more = this.store.expired(this.now, 1 + this.int(100), (record) => {
        expect(record.expiresAt).toBeGreaterThan(0)
        expect(record.expiresAt).toBeLessThanOrEqual(this.now)
        const key = `${record.map}/${record.bytes.toString('utf8', record.keyStart, record.keyEnd)}`
        due.push(key)
        if (inside) remove(key)
      })
    }
    if (!inside) due.forEach(remove)
    for (const entry of this.model.entries.values()) {
      if (entry.expiresAt !== 0) expect(entry.expiresAt).toBeGreaterThan(this.now)
    }
    expect(new Set(due).size).toBe(due.length)
  }

  applyAll(): void {
    this.store.applyTo(this.store.head)
    this.model.apply(this.store.head)
  }

  /** Sends the tail to the replica, which starts from a snapshot when it has fallen behind. */
  replicate(): void {
    const { store, replica } = this
    if (replica.head + 1 < store.tailFirst || this.int(10) === 0) this.snapshot()
    while (replica.head < store.head) {
      const writer = new ByteWriter()
      writer.bytes(Buffer.from('prefix'))
      const from = replica.head + 1
      const last = store.copyTail(from, this.int(5000), writer, store.head - this.int(3))
      if (last < from) break
      expect(last).toBeGreaterThanOrEqual(from)
      replica.appendBytes(writer.buffer, 6, writer.length)
      expect(replica.head).toBe(last)
    }
    replica.applyTo(Math.min(replica.head, store.applied))
    replica.release(replica.applied + 1)
    this.compactSome(replica)
  }

  snapshot(): void {
    const { store, replica } = this
    replica.reset()
    const scan = store.openScan()
    const base = store.applied
    for (let more = true; more; ) {
      const writer = new ByteWriter()
      let copied = 0
      more = scan.next(1 + this.int(50), (record) => {
        copied++
        if (this.int(2) === 0) store.copyLive(record, writer)
        else copyBare(record, writer)
      })
      expect(replica.install(writer.buffer, 0, writer.length)).toBe(copied)
      expect(replica.install(writer.buffer, 0, writer.length)).toBe(0)
    }
    scan.close()
    replica.startAt(base)
    // The log of the store goes on behind `base` even where its tail holds more.
    expect(replica.tailFirst).toBe(base + 1)
  }

  checkPages(): void {
    for (let map = 0; map < this.setting.maps; map++) {
      const seen: string[] = []
      const present = new Map(this.model.of(map))
      const disturb = this.int(2) === 0
      for (let from = 0; from >= 0; ) {
        from = this.store.page(map, from, 1 + this.int(40), (record) => seen.push(recordText(record)))
        if (!disturb) continue
        this.append(inputOf({ kind: RecordKind.put, map, key: `new-${this.int(1_000_000)}`, value: 'x' }))
        this.applyAll()
        this.compactSome(this.store)
      }
      expect(new Set(seen.map((row) => row.split('=')[0])).size).toBe(seen.length)
      const rows = new Set(seen)
      for (const [name, entry] of present) {
        if (this.model.entries.get(name)?.seq === entry.seq) expect(rows).toContain(textOf(entry))
      }
      if (!disturb) expect(seen.length).toBe(present.size)
    }
  }

  checkScan(): void {
    const scan = this.store.openScan()
    const before = new Map(this.model.entries)
    const opened = this.store.applied
    const seen: string[] = []
    const map = this.int(this.setting.maps + 1) - 1
    for (let more = true; more; ) {
      const visit = (record: RecordView): void => {
        expect(record.seq).toBeLessThanOrEqual(opened)
        seen.push(recordText(record))
      }
      more = map < 0 ? scan.next(1 + this.int(60), visit) : scan.nextOf(map, 1 + this.int(60), visit)
      this.append(this.randomInput())
      if (this.int(3) === 0) this.applySome()
      if (this.int(5) === 0) this.truncateSome()
      this.store.release(this.store.applied + 1)
      expect(this.store.compactStep(10)).toBe(false)
    }
    scan.close()
    scan.close()
    expect(new Set(seen).size).toBe(seen.length)
    const rows = new Set(seen)
    for (const [name, entry] of before) {
      if (map >= 0 && entry.map !== map) continue
      if (this.model.entries.get(name)?.seq === entry.seq) expect(rows).toContain(textOf(entry))
    }
  }

  checkTail(): void {
    const { store, model } = this
    if (store.tailFirst > store.head) return
    const from = store.tailFirst + this.int(store.head - store.tailFirst + 1)
    const stop = from + this.int(300)
    let seq = from
    const last = store.walkTail(from, stop, (record) => {
      expect(record.seq).toBe(seq)
      expect(recordText(record)).toBe(textOf({ ...model.log[seq - 1]!, seq }))
      seq++
      return this.int(100) !== 0
    })
    expect(last).toBe(seq - 1)
  }

  check(): void {
    const { store, model } = this
    expect(store.applied).toBe(model.applied)
    expect(store.head).toBe(model.log.length)
    for (let map = 0; map < this.setting.maps; map++) {
      const entries = model.of(map)
      expect(store.count(map)).toBe(entries.length)
      for (const [, entry] of entries) {
        const key = Buffer.from(entry.key)
        const location = store.find(map, hashOf(key), key, 0, key.length)
        expect(location).toBeGreaterThan(0)
        expect(recordText(store.view(location, this.view))).toBe(textOf(entry))
      }
    }
    auditStore(store)
    auditStore(this.replica)
  }
}

function textOf(entry: Logged & { seq: number }): string {
  return `${entry.map}/${entry.key}@${entry.seq}!${entry.expiresAt}=${entry.value}`
}

function play(setting: Setting): void {
  const run = new Run(setting)
  for (let i = 1; i <= setting.steps; i++) {
    run.step()
    if (i % 500 === 0) run.check()
  }
  run.replicate()
  run.applyAll()
  run.check()
  // A replica with another layout and another seed holds the same entries.
  run.snapshot()
  const rows: string[][] = [run.store, run.replica].map((store) => {
    const found: string[] = []
    const scan = store.openScan()
    while (scan.next(100, (record) => found.push(recordText(record))));
    scan.close()
    return found.sort()
  })
  expect(rows[1]).toEqual(rows[0])
  expect(rows[0]!.length).toBe(run.model.entries.size)
  run.store.reset()
  run.replica.reset()
  expect(run.pool.usedBytes).toBe(0)
  expect(run.history.usedBytes).toBe(0)
}

describe('LogStore against a model', () => {
  const common = { steps: 6000, keys: 300, valueBytesMax: 3000, historyBytes: 200_000, maps: 3 }
  it.each<Setting>([
    { ...common, seed: 1 },
    { ...common, seed: 2, historyBytes: 0 },
    { ...common, seed: 3, keys: 5000, valueBytesMax: 300 },
    { ...common, seed: 4, keys: 20, historyBytes: 0 },
    { ...common, seed: 5, valueBytesMax: 400_000, steps: 2500 },
    { ...common, seed: 6, valueBytesMax: 3_000_000, steps: 1000, historyBytes: 5_000_000 },
    { ...common, seed: 7, keys: 3, maps: 1 },
    { ...common, seed: 8, keys: 100_000, valueBytesMax: 30, steps: 20_000, historyBytes: 0 },
  ])('agrees on everything: %o', play, 60_000)

  it('leaves nothing changed when memory has run out, and can be emptied then', () => {
    const pool = new BlockPool({ maxBytes: 2 * 1024 * 1024 })
    const store = new LogStore({ pool, history: new History({ maxBytes: 0 }), seed: 1 })
    const fill = (): number => {
      let i = 0
      for (;;) {
        const input = inputOf({ kind: RecordKind.put, map: 1, key: `key-${i}`, value: 'v'.repeat(100) })
        const head = store.head
        try {
          store.applyHead(store.append(input))
          store.release(store.head + 1)
          i++
        } catch (error) {
          expect(error).toBeInstanceOf(GridError)
          expect((error as GridError).code).toBe('STORE_FULL')
          expect(store.head).toBe(head)
          expect(store.count(1)).toBe(i)
          return i
        }
        expect(pool.reservedBytes).toBeLessThanOrEqual(pool.maxBytes)
      }
    }
    const filled = fill()
    expect(filled * 144).toBeGreaterThan(1.5 * 1024 * 1024)
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < filled; i++) {
        store.applyHead(store.append(inputOf({ kind: RecordKind.remove, map: 1, key: `key-${i}` })))
        store.release(store.head + 1)
        while (store.compactStep(50));
      }
      expect(store.count(1)).toBe(0)
      expect(fill()).toBeGreaterThan(filled * 0.95)
    }
    auditStore(store)
    store.reset()
    expect(pool.usedBytes).toBe(0)
  })
})
