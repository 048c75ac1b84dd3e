/**
 * The memory of a member: blocks of bytes outside the V8 heap, under one hard limit.
 *
 * Blocks are used again, not freed and allocated anew: replacing ten thousand of them costs seconds of garbage
 * collection. Sizes are powers of two from 16 KiB to 256 KiB and multiples of 64 KiB above, with a free list for
 * each. When the limit is near, free blocks of other sizes are dropped before anyone is refused.
 *
 * The last part of the limit (`urgentBytes`) is kept for allocations that cannot be refused without harm: removals,
 * compaction and records that an owner has already accepted. Without it a full member could not even be emptied.
 * Past the limit go only indexes and the record that begins an ownership, for neither has anyone who could be refused.
 */

import { assert } from '../base/assert.ts'
import { GridError } from '../base/errors.ts'

/** Smallest block. */
export const blockBytesMin = 16 * 1024
/** Largest block that holds more than one record; the offset in a location reaches no further. */
export const blockBytesMax = 1024 * 1024

const CLASS_BYTES_MAX = 256 * 1024
const STEP_BYTES = 64 * 1024

/**
 * A run of records. What is written is never changed in place; beside it stands a bitmap with one bit for every
 * 8-byte unit, set where a live record begins, so that a scan steps from one live record to the next.
 */
export class Block {
  readonly capacity: number
  readonly bytes: Buffer
  /** The same memory as words, for copies. */
  readonly words: Int32Array
  readonly live: Int32Array
  /** Its number within the store that holds it; 0 in the pool. */
  number = 0
  used = 0
  /** Bytes of live records, padded and without their envelopes. */
  liveBytes = 0
  /** No live record here expires earlier; a lower bound. */
  minExpiresAt = Infinity
  inTail = false
  /** First and last seq of a block in the tail. */
  firstSeq = 0
  lastSeq = 0

  constructor(capacity: number) {
    assert((capacity & 255) === 0, 'block capacity is no multiple of 256')
    const memory = Buffer.allocUnsafeSlow(capacity + capacity / 64).buffer
    this.capacity = capacity
    this.bytes = Buffer.from(memory, 0, capacity)
    this.words = new Int32Array(memory, 0, capacity / 4)
    this.live = new Int32Array(memory, capacity, capacity / 256)
    this.live.fill(0)
  }

  /** Memory that it takes, the bitmap included. */
  get footprintBytes(): number {
    return this.capacity + this.capacity / 64
  }

  /** Whether another record of `count` bytes may begin here. */
  fits(count: number): boolean {
    return this.used + count <= this.capacity && this.used < blockBytesMax
  }

  isLive(offset: number): boolean {
    return ((this.live[offset >>> 8]! >>> ((offset >>> 3) & 31)) & 1) !== 0
  }

  setLive(offset: number): void {
    this.live[offset >>> 8]! |= 1 << ((offset >>> 3) & 31)
  }

  clearLive(offset: number): void {
    this.live[offset >>> 8]! &= ~(1 << ((offset >>> 3) & 31))
  }

  /** Offset of the first live record at or after `offset`, or -1. */
  nextLive(offset: number): number {
    const live = this.live
    let at = offset >>> 8
    if (at >= live.length) return -1
    let bits = live[at]! & (-1 << ((offset >>> 3) & 31))
    while (bits === 0) {
      if (++at >= live.length) return -1
      bits = live[at]!
    }
    return (at << 8) + ((31 - Math.clz32(bits & -bits)) << 3)
  }

  clear(): void {
    this.live.fill(0)
    this.number = 0
    this.used = 0
    this.liveBytes = 0
    this.minExpiresAt = Infinity
    this.inTail = false
    this.firstSeq = 0
    this.lastSeq = 0
  }
}

export interface BlockPoolOptions {
  /** Hard limit on the memory of all blocks, their bitmaps and the indexes over them. */
  readonly maxBytes: number
  /** The part of it that only urgent allocations may use. Default: a sixteenth, at most 64 MiB. */
  readonly urgentBytes?: number | undefined
}

export class BlockPool {
  readonly maxBytes: number
  readonly urgentBytes: number
  #usedBytes = 0
  #freeBytes = 0
  readonly #free = new Map<number, Block[]>()

  constructor(options: BlockPoolOptions) {
    this.maxBytes = options.maxBytes
    this.urgentBytes = options.urgentBytes ?? Math.min(Math.floor(options.maxBytes / 16), 64 * 1024 * 1024)
  }

  /** Bytes in blocks handed out, and in indexes. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Bytes held in all: used, and in the free lists. */
  get reservedBytes(): number {
    return this.#usedBytes + this.#freeBytes
  }

  /** Whether `allocate` with the same arguments would succeed. */
  canAllocate(minBytes: number, urgent = false): boolean {
    return this.#usedBytes + footprint(roundUp(minBytes)) <= this.#limit(urgent)
  }

  /**
   * An empty block of at least `minBytes`; a free one, down to `leastBytes`, is preferred to new memory. Throws
   * `STORE_FULL` at the limit.
   */
  allocate(minBytes: number, urgent = false, leastBytes = minBytes): Block {
    const capacity = roundUp(minBytes)
    const bytes = footprint(capacity)
    if (this.#usedBytes + bytes > this.#limit(urgent)) {
      throw new GridError('STORE_FULL', `${this.#usedBytes} of ${this.maxBytes} bytes are in use`)
    }
    const free = this.#takeFree(capacity, roundUp(leastBytes))
    if (free === undefined) this.#dropFree(this.maxBytes - bytes)
    const block = free ?? new Block(capacity)
    this.#usedBytes += block.footprintBytes
    return block
  }

  /**
   * An empty block of at least `bytes`, whatever the limit says: for what can neither be refused nor wait. What is over
   * the limit is missing at the next `allocate`.
   */
  overdraw(bytes: number): Block {
    const capacity = roundUp(bytes)
    const free = this.#takeFree(capacity, capacity)
    if (free === undefined) this.#dropFree(this.maxBytes - footprint(capacity))
    const block = free ?? new Block(capacity)
    this.#usedBytes += block.footprintBytes
    return block
  }

  /** The largest free block of `least` to `capacity` bytes. */
  #takeFree(capacity: number, least: number): Block | undefined {
    for (let size = capacity; size >= least; size = nextSmaller(size)) {
      const block = this.#free.get(size)?.pop()
      if (block === undefined) continue
      this.#freeBytes -= block.footprintBytes
      return block
    }
    return undefined
  }

  /** Takes a block back. Nobody may hold on to its bytes. */
  release(block: Block): void {
    const bytes = block.footprintBytes
    assert(this.#usedBytes >= bytes, 'more blocks released than allocated')
    block.clear()
    this.#usedBytes -= bytes
    this.#freeBytes += bytes
    const list = this.#free.get(block.capacity)
    if (list === undefined) this.#free.set(block.capacity, [block])
    else list.push(block)
    this.#dropFree(this.maxBytes)
  }

  /**
   * Counts memory that others hold, an index that grows (or, negative, shrinks). Never refused, for a record that
   * is in the log has to be indexed; what is over the limit is missing at the next `allocate`.
   */
  charge(bytes: number): void {
    this.#usedBytes += bytes
    assert(this.#usedBytes >= 0, 'more bytes given back than charged')
    if (bytes > 0) this.#dropFree(this.maxBytes)
  }

  #limit(urgent: boolean): number {
    return urgent ? this.maxBytes : this.maxBytes - this.urgentBytes
  }

  /** Drops free blocks until at most `reservedMax` bytes are held, or none is left. */
  #dropFree(reservedMax: number): void {
    if (this.#freeBytes === 0) return
    for (const [capacity, list] of this.#free) {
      while (this.reservedBytes > reservedMax && list.pop() !== undefined)
        this.#freeBytes -= footprint(capacity)
    }
  }
}

function footprint(capacity: number): number {
  return capacity + capacity / 64
}

function nextSmaller(capacity: number): number {
  return capacity > CLASS_BYTES_MAX ? capacity - STEP_BYTES : capacity / 2
}

function roundUp(bytes: number): number {
  if (bytes > CLASS_BYTES_MAX) return Math.ceil(bytes / STEP_BYTES) * STEP_BYTES
  let capacity = blockBytesMin
  while (capacity < bytes) capacity *= 2
  return capacity
}
