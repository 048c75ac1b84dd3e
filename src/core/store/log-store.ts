/**
 * The store of one partition replica: an append-only log of records with an index over it.
 *
 * The newest stretch of the log is the *tail*, complete and in seq order; it is what backups and watchers read. Behind
 * it are plain blocks, of which only the live records count. A record enters by `append` and takes effect by being
 * *applied*, at once at the owner and up to the commit position at a backup; nothing that was applied is ever taken
 * back. A record is never changed in place, so a location stays readable until its block is freed, which happens only
 * inside `append`, `appendBytes`, `release`, `compactStep` and `reset`, and never while a scan is open.
 *
 * Replicas that have applied the same records hold the same entries; where those lie in memory may differ.
 */

import { assert } from '../base/assert.ts'
import { asBuffer, type ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { auditBlocks, auditExpiry, auditTail } from './audit.ts'
import type { Block, BlockPool } from './block-pool.ts'
import { BlockTable, locationOf, offsetOf } from './block-table.ts'
import { Compaction } from './compaction.ts'
import { Entries } from './entries.ts'
import { Expiry } from './expiry.ts'
import type { History, HistoryKeeper } from './history.ts'
import {
  copyBare,
  hashAt,
  paddedAt,
  type RecordInput,
  RecordKind,
  RecordView,
  readRecord,
  recordBytes,
  seqAt,
  writeRecord,
} from './record.ts'
import { StoreScan } from './scan.ts'
import { Tail } from './tail.ts'

export interface LogStoreOptions {
  readonly pool: BlockPool
  readonly history: History
  /** Mixed into every hash; `page` positions of two stores agree if their seeds do. */
  readonly seed: number
  /** Share of dead bytes in plain blocks above which `compactStep` works. Default 0.25. */
  readonly garbageRatioMax?: number | undefined
}

export class LogStore implements HistoryKeeper {
  /** Seq of the newest record; 0 in an empty store. */
  head = 0
  /** Seq up to which records have taken effect. */
  applied = 0
  readonly #history: History
  readonly #table: BlockTable
  readonly #tail = new Tail()
  readonly #entries: Entries
  readonly #compaction: Compaction
  readonly #expiry: Expiry
  readonly #view = new RecordView()
  readonly #applyView = new RecordView()
  /** Records below this seq are no longer needed by replication. */
  #floor = 0
  /** Bytes that the history holds of this store. */
  #historyBytes = 0
  /** Where the first record that is not applied begins. */
  #applyOrdinal = 0
  #applyOffset = 0
  /** Rises with every reset, so that open scans end. */
  #generation = 0

  constructor(options: LogStoreOptions) {
    this.#history = options.history
    this.#table = new BlockTable(options.pool, options.history)
    this.#entries = new Entries(this.#table, options.pool, options.seed)
    this.#compaction = new Compaction(this.#table, this.#entries.maps, options.garbageRatioMax)
    this.#expiry = new Expiry(this.#table)
  }

  // --- Figures

  /** Lowest seq still in the tail; `head + 1` where the tail is empty. */
  get tailFirst(): number {
    return this.#tail.blocks[0]?.firstSeq ?? this.head + 1
  }

  /** Memory of this store: its blocks, full or not, and its indexes. */
  get totalBytes(): number {
    return this.#table.totalBytes + this.#entries.tableBytes
  }

  /** Bytes of live records, padded and without envelopes. */
  get liveBytes(): number {
    return this.#table.liveBytes
  }

  /** Share of dead bytes in the plain blocks, 0 to 1. */
  get garbageRatio(): number {
    const { plainUsed, plainLive } = this.#table
    return plainUsed === 0 ? 0 : (plainUsed - plainLive) / plainUsed
  }

  /** No live record expires before this time; Infinity where none expires at all. A lower bound. */
  get minExpiresAt(): number {
    return this.#table.minExpiresAt
  }

  /** Open scans. */
  get pins(): number {
    return this.#table.pins
  }

  /** Location of the record that the last applied one has replaced or removed, or -1. */
  get superseded(): number {
    return this.#entries.superseded
  }

  /** Live entries of a map. */
  count(map: number): number {
    return this.#entries.count(map)
  }

  /** Bytes of a map's live records, padded and without envelopes. */
  mapBytes(map: number): number {
    return this.#entries.maps[map]?.liveBytes ?? 0
  }

  /** Maps that have entries here, ascending. */
  mapIds(): number[] {
    return [...this.#entries.maps.keys()].filter((map) => this.count(map) > 0)
  }

  // --- Writing

  /**
   * Writes a record with seq `head + 1` to the tail and returns its location. It takes effect when it is applied.
   *
   * Throws `STORE_FULL` or `TOO_LARGE` with nothing changed. Anything but a put may use the pool's urgent part, so
   * that a full store can be emptied; one that is `certain` is written even past the limit (see block-pool.ts).
   */
  append(input: RecordInput, certain = false): number {
    const count = recordBytes(input)
    const block = this.#room(count, input.kind !== RecordKind.put, certain)
    const offset = block.used
    writeRecord(block.bytes, offset, this.head + 1, input)
    this.#appended(block, count)
    return locationOf(block, offset)
  }

  /**
   * Appends raw records from a peer, whose seqs must go on from `head + 1`.
   *
   * Throws `MALFORMED` with nothing changed; `STORE_FULL` with the records before the one that did not fit in the log
   * (`head` says which).
   */
  appendBytes(source: Uint8Array, start: number, end: number): void {
    const bytes = asBuffer(source)
    let seq = this.head
    for (let at = start; at < end; ) {
      at = readRecord(bytes, at, end, this.#view)
      seq++
      if (this.#view.seq !== seq)
        throw new GridError('MALFORMED', `seq ${this.#view.seq} where ${seq} comes next`)
    }
    for (let at = start; at < end; ) {
      const block = this.#room(paddedAt(bytes, at), true)
      const first = at
      const to = block.used
      do {
        const count = paddedAt(bytes, at)
        this.#appended(block, count)
        at += count
      } while (at < end && block.fits(paddedAt(bytes, at)))
      copyRun(bytes, first, at, block, to)
    }
  }

  /** The open tail block if `count` bytes fit, otherwise a new one. */
  #room(count: number, urgent: boolean, certain = false): Block {
    const open = this.#tail.open
    if (open?.fits(count) === true) return open
    const block = this.#table.open(count, urgent, certain)
    this.#tail.push(block, this.head + 1)
    this.#retain()
    return block
  }

  #appended(block: Block, count: number): void {
    block.used += count
    this.head++
    block.lastSeq = this.head
  }

  /** Drops the records behind `toSeq`, none of which may have been applied. */
  truncate(toSeq: number): void {
    assert(toSeq >= this.applied && toSeq <= this.head, 'only what is not applied can be truncated')
    if (toSeq === this.head) return
    // A scan that is open ends before what is not applied, so its pin does not matter here.
    for (const block of this.#tail.truncate(toSeq)) this.#table.free(block)
    this.head = toSeq
  }

  // --- Taking effect

  /**
   * Applies the record that was just appended at `location`, the only one not yet applied. Returns the location of the
   * record that it has replaced or removed, or -1.
   */
  applyHead(location: number): number {
    assert(this.applied === this.head - 1, 'applyHead needs every earlier record applied')
    const block = this.#table.blockOf(location)
    const offset = offsetOf(location)
    assert(seqAt(block.bytes, offset) === this.head, 'applyHead needs the newest record')
    this.#entries.apply(block, offset)
    this.applied = this.head
    this.#applyOrdinal = this.#tail.nextOrdinal - 1
    this.#applyOffset = block.used
    return this.#entries.superseded
  }

  /** Applies the next record and returns it, in a view that the next call uses again. See `superseded`. */
  applyNext(): RecordView {
    assert(this.applied < this.head, 'there is nothing to apply')
    const block = this.#applyBlock()
    const offset = this.#applyOffset
    const record = this.#applyView.at(block.bytes, offset)
    assert(record.seq === this.applied + 1, 'a tail record has the wrong seq')
    this.#entries.apply(block, offset)
    this.#applyOffset = offset + paddedAt(block.bytes, offset)
    this.applied++
    return record
  }

  /** Applies the records up to `seq` and visits each after it has taken effect. */
  applyTo(seq: number, visit?: (record: RecordView) => void): void {
    assert(seq <= this.head, 'what is not here cannot be applied')
    while (this.applied < seq) {
      const record = this.applyNext()
      visit?.(record)
    }
  }

  #applyBlock(): Block {
    if (this.#applyOrdinal < this.#tail.base) {
      this.#applyOrdinal = this.#tail.base
      this.#applyOffset = 0
    }
    let block = this.#tail.block(this.#applyOrdinal)
    if (this.#applyOffset === block.used) {
      block = this.#tail.block(++this.#applyOrdinal)
      this.#applyOffset = 0
    }
    return block
  }

  // --- Reading

  /** Location of the entry with that key, or -1. Valid until the store is written to or compacted. */
  find(map: number, hash: number, keyBytes: Uint8Array, keyStart: number, keyEnd: number): number {
    return this.#entries.find(map, hash, keyBytes, keyStart, keyEnd)
  }

  /** Points `view` at the record at `location`. */
  view(location: number, view: RecordView): RecordView {
    return this.#table.view(location, view)
  }

  /**
   * Visits entries of a map in the order of their mixed hash, from `fromHash` (u32) on: `maxRows` of them, and more only
   * to finish the last one's hash. Returns the next `fromHash`, or -1 at the end. An entry that is there all the
   * time is seen exactly once over successive pages, whatever grows or moves in between. `visit` must not write.
   */
  page(map: number, fromHash: number, maxRows: number, visit: (record: RecordView) => void): number {
    const index = this.#entries.maps[map]
    if (index === undefined) return -1
    return index.page(fromHash, maxRows, (location) => visit(this.#table.view(location, this.#view)))
  }

  /** Opens a scan of what is live now. Until it is closed nothing is compacted. */
  openScan(): StoreScan {
    const generation = this.#generation
    return new StoreScan(this.#table, this.#scanEnd, () => generation === this.#generation)
  }

  /** How far an applied record reaches in a block. */
  readonly #scanEnd = (block: Block): number => {
    if (!block.inTail || block.lastSeq <= this.applied) return block.used
    return block.firstSeq > this.applied ? 0 : this.#applyOffset
  }

  /** Appends a record without its envelope: what `install` takes at the other end. */
  copyLive(record: RecordView, writer: ByteWriter): void {
    copyBare(record, writer)
  }

  // --- The tail

  /**
   * Appends raw records from `fromSeq` up to `lastSeq` to `writer`: as many whole ones as `maxBytes` allows, at least
   * one. Returns the last seq copied, `fromSeq - 1` where there is none.
   */
  copyTail(fromSeq: number, maxBytes: number, writer: ByteWriter, lastSeq: number): number {
    const last = Math.min(lastSeq, this.head)
    return last < fromSeq ? fromSeq - 1 : this.#tail.copy(fromSeq, maxBytes, writer, last)
  }

  /**
   * Visits records in seq order until `toSeq` or until `visit` returns false. Returns the last seq visited, `fromSeq - 1`
   * where there is none. `visit` must not write to the store.
   */
  walkTail(fromSeq: number, toSeq: number, visit: (record: RecordView) => boolean): number {
    const last = Math.min(toSeq, this.head)
    return last < fromSeq ? fromSeq - 1 : this.#tail.walk(fromSeq, last, this.#view, visit)
  }

  /** Replication no longer needs the records below `floorSeq`. They stay as long as the history has room. */
  release(floorSeq: number): void {
    const floor = Math.min(floorSeq, this.applied + 1)
    if (floor <= this.#floor) return
    this.#floor = floor
    this.#retain()
  }

  /** Hands sealed blocks that lie wholly below the floor to the history, which may return them at once. */
  #retain(): void {
    const tail = this.#tail
    while (tail.retained < tail.blocks.length - 1 && tail.blocks[tail.retained]!.lastSeq < this.#floor) {
      const bytes = tail.blocks[tail.retained]!.footprintBytes
      tail.retained++
      this.#historyBytes += bytes
      this.#history.retain(this, bytes)
    }
  }

  /** For the history only: the oldest tail block becomes a plain one, or goes back to the pool. */
  leaveOldest(): number {
    const block = this.#tail.shift()
    const bytes = block.footprintBytes
    this.#historyBytes -= bytes
    this.#table.toPlain(block)
    if (block.liveBytes === 0 && this.#table.pins === 0) this.#table.freePlain(block)
    return bytes
  }

  // --- Background work

  /**
   * Compacts for about `maxRecords` records; true while there is more to do. Works when dead bytes exceed
   * `garbageRatioMax` of the plain blocks, a quarter of it while the pool is nearly full. Idle while a scan is open.
   */
  compactStep(maxRecords: number): boolean {
    return this.#compaction.step(maxRecords)
  }

  /**
   * Visits live records with `expiresAt <= nowMs`, looking at no more than `maxRecords` live records; true when there is
   * more to look at. `visit` may append and apply the remove record at once, or collect and do so afterwards.
   */
  expired(nowMs: number, maxRecords: number, visit: (record: RecordView) => void): boolean {
    return this.#expiry.visit(nowMs, maxRecords, visit)
  }

  /** From now on the map's entries have a time of last access, first 0. */
  trackAccess(map: number): void {
    this.#entries.indexOf(map).trackAccess()
  }

  /** Notes that the entry at `location` was accessed. `stamp` is a u32 of the caller's making. */
  touch(map: number, location: number, stamp: number): void {
    const hash = hashAt(this.#table.blockOf(location).bytes, offsetOf(location))
    this.#entries.maps[map]?.touch(hash, location, stamp)
  }

  /** The stamp of the last access to the entry at `location`; 0 where there was none or accesses are not tracked. */
  stampOf(map: number, location: number): number {
    const hash = hashAt(this.#table.blockOf(location).bytes, offsetOf(location))
    return this.#entries.maps[map]?.stampOf(hash, location) ?? 0
  }

  /** Visits up to `count` entries of a map, drawn at random and perhaps twice. */
  sample(
    map: number,
    random: Random,
    count: number,
    visit: (record: RecordView, accessedAt: number) => void,
  ): void {
    this.#entries.maps[map]?.sample(random, count, (location, stamp) => {
      visit(this.#table.view(location, this.#view), stamp)
    })
  }

  /** Recounts everything by walking it, and asserts that the figures kept agree. For tests and the simulation. */
  audit(): void {
    auditBlocks(this.#table)
    auditTail(this.#tail, this.head)
    auditExpiry(this.#table, this.#expiry.blockUnderWalk)
  }

  // --- Being filled from another replica

  /**
   * Adds entries of a snapshot: raw put records with their own seqs, without envelopes. One that is here already with the
   * same or a newer seq is skipped. Returns how many were added. Throws `MALFORMED` or `STORE_FULL`.
   */
  install(source: Uint8Array, start: number, end: number): number {
    const bytes = asBuffer(source)
    let added = 0
    for (let at = start; at < end; ) {
      const next = readRecord(bytes, at, end, this.#view)
      if (this.#view.kind !== RecordKind.put || this.#view.hasEnvelope) {
        throw new GridError('MALFORMED', 'a snapshot holds bare put records only')
      }
      if (this.#installOne(this.#view, next - at)) added++
      at = next
    }
    return added
  }

  #installOne(record: RecordView, count: number): boolean {
    const { bytes, offset } = record
    if (this.#entries.hasAsNew(bytes, offset)) return false
    const block = this.#table.survivorFor(count)
    const to = block.used
    copyRun(bytes, offset, offset + count, block, to)
    this.#table.grown(block, count)
    this.#entries.put(block, to)
    return true
  }

  /** The snapshot is complete up to `seq`: the next record appended will be `seq + 1`. The tail must be empty. */
  startAt(seq: number): void {
    assert(this.#tail.blocks.length === 0, 'a snapshot is installed before the tail begins')
    this.head = seq
    this.applied = seq
    this.#floor = seq + 1
  }

  /** Gives everything back to the pool; the store is as new. Open scans end. */
  reset(): void {
    this.#generation++
    this.#history.forget(this, this.#historyBytes)
    this.#historyBytes = 0
    this.#entries.reset()
    this.#compaction.reset()
    this.#expiry.reset()
    this.#tail.reset()
    this.#table.reset()
    this.head = 0
    this.applied = 0
    this.#floor = 0
    this.#applyOrdinal = 0
    this.#applyOffset = 0
  }
}

/**
 * Copies `bytes[start, end)` to `to` in a block. A loop takes 1 ns a byte, this 42 ns for 48 bytes and for 256: appending
 * the records of two puts of 119 B takes 94 ns a record instead of 279.
 */
function copyRun(bytes: Buffer, start: number, end: number, block: Block, to: number): void {
  block.bytes.set(bytes.subarray(start, end), to)
}
