/**
 * The index of one map within one partition: mixed hash and location, 8 bytes a slot, in typed arrays.
 *
 * Open addressing with linear probing and backward-shift deletion (Knuth, TAOCP 3, 6.4, algorithm R). The slot is
 * taken from the high bits of imul(hash ^ seed, 0x9E3779B1) (Fibonacci hashing): keys of a partition agree in
 * `hash mod partitionCount`, so low bits would cluster. A table has at most 16,384 slots and is then split by the next
 * hash bit (extendible hashing: Fagin et al., TODS 1979), so no insert ever stalls for a large rebuild. Tables grow by
 * half or by a third (16, 24, 32, 48 …), so load stays between 0.58 and 0.88: 9 to 14 bytes an entry. Key bytes are
 * always compared.
 *
 * Slots stay in the order of the mixed hash across all tables, up to what probing displaces: that is what lets
 * `page` walk in an order that does not depend on table sizes.
 */

import { equalBytes } from '../base/bytes.ts'
import { type Random, randomInt } from '../base/random.ts'
import type { BlockPool } from './block-pool.ts'
import { keyLengthAt, keyStartAt } from './record.ts'

const GOLDEN = 0x9e3779b1
const SLOTS_MIN = 16
const SLOTS_MAX = 16_384
/** Only thousands of equal hashes lead this deep; from here on tables grow instead of splitting. */
const DEPTH_MAX = 16
const HASHES = 0x1_0000_0000
/** Slots looked at from a random one on, before another is drawn. */
const SAMPLE_PROBES = 64

class Table {
  /** Leading hash bits that all its entries share. */
  readonly depth: number
  readonly size: number
  /** Slots that are home to some hash; fewer than `size` only beyond what 16 hash bits can tell apart. */
  readonly homes: number
  /** Entries at load 7/8. */
  readonly limit: number
  /** Pairs of mixed hash and location; location 0 is an empty slot. */
  readonly slots: Int32Array
  /** Time of last access by slot, where the map asks for it. */
  stamps: Uint32Array | undefined
  count = 0

  constructor(depth: number, size: number, stamped: boolean) {
    this.depth = depth
    this.size = size
    this.homes = Math.min(size, 0x1_0000)
    this.limit = (size * 7) / 8
    this.slots = new Int32Array(size * 2)
    this.stamps = stamped ? new Uint32Array(size) : undefined
  }

  get bytes(): number {
    return this.size * (this.stamps === undefined ? 8 : 12)
  }

  /** The slot where a search begins: the 16 hash bits behind `depth`, scaled. Rises with the hash. */
  home(mixed: number): number {
    return Math.imul((mixed << this.depth) >>> 16, this.homes) >>> 16
  }

  /** The lowest 16 bits, behind `depth`, whose home is `slot` or later. */
  bitsOfHome(slot: number): number {
    return Math.ceil((slot * 0x1_0000) / this.homes)
  }

  after(slot: number): number {
    return slot + 1 === this.size ? 0 : slot + 1
  }

  /** Adds an entry that is known to be new. */
  add(mixed: number, location: number, stamp: number): void {
    const slots = this.slots
    let at = this.home(mixed)
    while (slots[2 * at + 1] !== 0) at = this.after(at)
    slots[2 * at] = mixed
    slots[2 * at + 1] = location
    if (this.stamps !== undefined) this.stamps[at] = stamp
    this.count++
  }

  /** Slot of the entry that points at `location`, or -1. */
  slotOf(mixed: number, location: number): number {
    const slots = this.slots
    for (let at = this.home(mixed); slots[2 * at + 1] !== 0; at = this.after(at)) {
      if (slots[2 * at + 1] === location) return at
    }
    return -1
  }

  /** Empties a slot and moves back what had been displaced over it. */
  removeAt(slot: number): void {
    const slots = this.slots
    let hole = slot
    for (let at = this.after(slot); slots[2 * at + 1] !== 0; at = this.after(at)) {
      if (this.#distance(this.home(slots[2 * at]!), at) < this.#distance(hole, at)) continue
      slots[2 * hole] = slots[2 * at]!
      slots[2 * hole + 1] = slots[2 * at + 1]!
      if (this.stamps !== undefined) this.stamps[hole] = this.stamps[at]!
      hole = at
    }
    slots[2 * hole + 1] = 0
    this.count--
  }

  /** Steps forward from one slot to another. */
  #distance(from: number, to: number): number {
    return to < from ? to - from + this.size : to - from
  }
}

export class MapIndex {
  count = 0
  /** Bytes of the map's live records, kept by the store. */
  liveBytes = 0
  readonly #bytes: readonly (Buffer | undefined)[]
  readonly #pool: BlockPool
  readonly #seed: number
  /** Leading hash bits that the directory distinguishes. */
  #depth = 0
  #directory: Table[] = []
  #stamped = false
  /** Memory of the tables. */
  tableBytes = 0

  /** `bytes` are those of the blocks, by number. */
  constructor(bytes: readonly (Buffer | undefined)[], pool: BlockPool, seed: number) {
    this.#bytes = bytes
    this.#pool = pool
    this.#seed = seed
  }

  /** Location of a key, or -1. */
  find(hash: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    if (this.count === 0) return -1
    const mixed = this.#mix(hash)
    const table = this.#tableOf(mixed)
    const slot = this.#slotOfKey(table, mixed, key, keyStart, keyEnd)
    return slot < 0 ? -1 : table.slots[2 * slot + 1]!
  }

  /** Points a key at `location`. Returns where it pointed before, or -1 for a new key. */
  put(hash: number, key: Uint8Array, keyStart: number, keyEnd: number, location: number): number {
    const mixed = this.#mix(hash)
    if (this.#directory.length === 0) this.#directory.push(this.#newTable(0, SLOTS_MIN))
    let table = this.#tableOf(mixed)
    const slot = this.#slotOfKey(table, mixed, key, keyStart, keyEnd)
    if (slot >= 0) {
      const before = table.slots[2 * slot + 1]!
      table.slots[2 * slot + 1] = location
      return before
    }
    while (table.count >= table.limit) {
      this.#grow(table, mixed)
      table = this.#tableOf(mixed)
    }
    table.add(mixed, location, 0)
    this.count++
    return -1
  }

  /** Drops a key. Returns where it pointed, or -1. */
  remove(hash: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    if (this.count === 0) return -1
    const mixed = this.#mix(hash)
    const table = this.#tableOf(mixed)
    const slot = this.#slotOfKey(table, mixed, key, keyStart, keyEnd)
    if (slot < 0) return -1
    const before = table.slots[2 * slot + 1]!
    table.removeAt(slot)
    this.count--
    if (this.count === 0) this.clear()
    else if (table.size > SLOTS_MIN && table.count * 8 < table.size) {
      this.#replace(table, mixed, sizeFor(table.count * 2))
    }
    return before
  }

  /** Points at `to` what points at `from`; false where nothing does any more. */
  move(hash: number, from: number, to: number): boolean {
    if (this.count === 0) return false
    const mixed = this.#mix(hash)
    const table = this.#tableOf(mixed)
    const slot = table.slotOf(mixed, from)
    if (slot < 0) return false
    table.slots[2 * slot + 1] = to
    return true
  }

  /** Drops every key. */
  clear(): void {
    this.#pool.charge(-this.tableBytes)
    this.tableBytes = 0
    this.count = 0
    this.#depth = 0
    this.#directory = []
  }

  /** Visits every location, in no order that means anything. */
  eachLocation(visit: (location: number) => void): void {
    this.#eachTable((table) => {
      for (let at = 1; at < table.slots.length; at += 2) if (table.slots[at] !== 0) visit(table.slots[at]!)
    })
  }

  /** From now on the time of the last access is kept for each entry; it begins as 0, whatever was kept before. */
  trackAccess(): void {
    this.#stamped = true
    this.#eachTable((table) => {
      const before = table.bytes
      table.stamps = new Uint32Array(table.size)
      this.#account(table.bytes - before)
    })
  }

  /** Notes an access to the entry at `location`. Does nothing where accesses are not tracked. */
  touch(hash: number, location: number, stamp: number): void {
    if (!this.#stamped || this.count === 0) return
    const mixed = this.#mix(hash)
    const table = this.#tableOf(mixed)
    const slot = table.slotOf(mixed, location)
    if (slot >= 0) table.stamps![slot] = stamp
  }

  /** The stamp of the entry at `location`; 0 where accesses are not tracked. */
  stampOf(hash: number, location: number): number {
    if (!this.#stamped || this.count === 0) return 0
    const mixed = this.#mix(hash)
    const table = this.#tableOf(mixed)
    const slot = table.slotOf(mixed, location)
    return slot < 0 ? 0 : table.stamps![slot]!
  }

  /** Visits up to `count` entries drawn at random, the same one twice perhaps. */
  sample(random: Random, count: number, visit: (location: number, stamp: number) => void): void {
    let left = count
    for (let tries = 4 * count; tries > 0 && left > 0 && this.count > 0; tries--) {
      const table = this.#tableOf(randomInt(random, HASHES) | 0)
      let at = randomInt(random, table.size)
      for (let probes = SAMPLE_PROBES; probes > 0; probes--, at = table.after(at)) {
        const location = table.slots[2 * at + 1]!
        if (location === 0) continue
        visit(location, table.stamps === undefined ? 0 : table.stamps[at]!)
        left--
        break
      }
    }
  }

  /**
   * Visits entries in the order of their mixed hash (u32) from `fromHash` on, `maxRows` of them and the rest of the
   * last one's hash. Returns where the next page begins, -1 at the end. `visit` must not change the index.
   */
  page(fromHash: number, maxRows: number, visit: (location: number) => void): number {
    let from = fromHash
    let rows = 0
    while (from < HASHES && this.count > 0) {
      const table = this.#tableOf(from | 0)
      const first = table.home(from | 0)
      const end = Math.min(first + Math.max(maxRows - rows, 16), table.homes)
      const slots = slotsOfHomes(table, first, end, from)
      let last = -1
      for (const slot of slots) {
        const mixed = table.slots[2 * slot]! >>> 0
        if (rows >= maxRows && mixed !== last) return mixed
        visit(table.slots[2 * slot + 1]!)
        last = mixed
        rows++
      }
      from = Math.floor(from / 2 ** (32 - table.depth)) * 2 ** (32 - table.depth)
      from += table.bitsOfHome(end) * 2 ** (16 - table.depth)
      if (rows >= maxRows && from < HASHES) return from
    }
    return -1
  }

  #mix(hash: number): number {
    return Math.imul(hash ^ this.#seed, GOLDEN)
  }

  #tableOf(mixed: number): Table {
    return this.#directory[(mixed >>> 1) >>> (31 - this.#depth)]!
  }

  #slotOfKey(table: Table, mixed: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    const slots = table.slots
    for (let at = table.home(mixed); ; at = table.after(at)) {
      const location = slots[2 * at + 1]!
      if (location === 0) return -1
      if (slots[2 * at] === mixed && this.#hasKey(location, key, keyStart, keyEnd)) return at
    }
  }

  #hasKey(location: number, key: Uint8Array, keyStart: number, keyEnd: number): boolean {
    const bytes = this.#bytes[location >>> 17]!
    const offset = (location & 0x1ffff) << 3
    const length = keyLengthAt(bytes, offset)
    if (length !== keyEnd - keyStart) return false
    const start = keyStartAt(bytes, offset)
    return equalBytes(bytes, start, start + length, key, keyStart, keyEnd)
  }

  #newTable(depth: number, size: number): Table {
    const table = new Table(depth, size, this.#stamped)
    this.#account(table.bytes)
    return table
  }

  #account(bytes: number): void {
    this.tableBytes += bytes
    this.#pool.charge(bytes)
  }

  /** Makes room in a full table, the one that `mixed` belongs to. */
  #grow(table: Table, mixed: number): void {
    if (table.size < SLOTS_MAX || table.depth >= DEPTH_MAX)
      this.#replace(table, mixed, sizeFor(table.count + 1))
    else this.#split(table, mixed)
  }

  #replace(table: Table, mixed: number, size: number): void {
    const next = this.#newTable(table.depth, size)
    eachEntry(table, (hash, location, stamp) => next.add(hash, location, stamp))
    this.#install(table, mixed, next, next)
  }

  #split(table: Table, mixed: number): void {
    if (table.depth === this.#depth) {
      this.#directory = this.#directory.flatMap((each) => [each, each])
      this.#depth++
    }
    const bit = 0x8000_0000 >>> table.depth
    let upper = 0
    eachEntry(table, (hash) => {
      if ((hash & bit) !== 0) upper++
    })
    const low = this.#newTable(table.depth + 1, sizeFor(table.count - upper))
    const high = this.#newTable(table.depth + 1, sizeFor(upper))
    eachEntry(table, (hash, location, stamp) => ((hash & bit) === 0 ? low : high).add(hash, location, stamp))
    this.#install(table, mixed, low, high)
  }

  /** Puts two tables (or one twice) where `table` stood in the directory. */
  #install(table: Table, mixed: number, low: Table, high: Table): void {
    const span = 1 << (this.#depth - table.depth)
    const start = ((mixed >>> 1) >>> (31 - this.#depth)) & -span
    this.#directory.fill(low, start, start + span / 2)
    this.#directory.fill(high, span === 1 ? start : start + span / 2, start + span)
    this.#account(-table.bytes)
  }

  #eachTable(visit: (table: Table) => void): void {
    for (let i = 0; i < this.#directory.length; ) {
      const table = this.#directory[i]!
      visit(table)
      i += 1 << (this.#depth - table.depth)
    }
  }
}

/** The smallest size, a power of two or one and a half of it, that holds `count` entries at a load of at most 7/8. */
function sizeFor(count: number): number {
  for (let size = SLOTS_MIN; ; size *= 2) {
    if (count <= (size * 7) / 8) return size
    if (count <= (size * 21) / 16) return size * 1.5
  }
}

function eachEntry(table: Table, visit: (mixed: number, location: number, stamp: number) => void): void {
  const slots = table.slots
  const stamps = table.stamps
  for (let at = 0; at < table.size; at++) {
    const location = slots[2 * at + 1]!
    if (location !== 0) visit(slots[2 * at]!, location, stamps === undefined ? 0 : stamps[at]!)
  }
}

/** Slots of the entries at home in `[first, end)` with a mixed hash of at least `from`, in the order of that hash. */
function slotsOfHomes(table: Table, first: number, end: number, from: number): number[] {
  const slots = table.slots
  const found: number[] = []
  for (let step = first; step < first + table.size; step++) {
    const at = step < table.size ? step : step - table.size
    if (slots[2 * at + 1] === 0) {
      if (step >= end) break
      continue
    }
    const mixed = slots[2 * at]!
    const home = table.home(mixed)
    if (home >= first && home < end && mixed >>> 0 >= from) found.push(at)
  }
  return found.sort((a, b) => (slots[2 * a]! >>> 0) - (slots[2 * b]! >>> 0))
}
