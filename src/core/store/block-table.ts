/**
 * The blocks of one partition replica: their numbers, what lives in them, and where the next copy goes.
 *
 * A location is a u31: block number << 17 | offset >> 3, so it is a small integer in V8 and never allocates. Block 0 is
 * never used, so that 0 can mean "none" in an index slot. Numbers are used again after a block has been freed.
 *
 * A block is either in the tail (complete, in seq order) or plain (only what lives in it counts).
 */

import { assert } from '../base/assert.ts'
import { GridError } from '../base/errors.ts'
import { type Block, type BlockPool, blockBytesMax, blockBytesMin } from './block-pool.ts'
import type { History } from './history.ts'
import { bareBytesAt, expiresAtAt, mapAt, type RecordView } from './record.ts'

const NUMBER_MAX = (1 << 14) - 1
const OFFSET_MASK = (1 << 17) - 1

export function locationOf(block: Block, offset: number): number {
  return (block.number << 17) | (offset >>> 3)
}

export function offsetOf(location: number): number {
  return (location & OFFSET_MASK) << 3
}

export class BlockTable {
  readonly pool: BlockPool
  /** By number; holes are undefined. The arrays themselves never change identity. */
  readonly blocks: (Block | undefined)[] = [undefined]
  /** Their bytes, by the same number: one step less on the way from a location to a key. */
  readonly bytes: (Buffer | undefined)[] = [undefined]
  /** Capacity of all blocks, bitmaps included. */
  totalBytes = 0
  liveBytes = 0
  /** Of the plain blocks only: bytes written, and bytes of those that live. */
  plainUsed = 0
  plainLive = 0
  /** A bound below which no live record expires. */
  minExpiresAt = Infinity
  /** While above 0, no block is freed and no record moves. */
  pins = 0
  /** Plain block that takes the next copy. */
  survivor: Block | undefined = undefined
  readonly #history: History
  /** Numbers that blocks have had. */
  readonly freeNumbers: number[] = []

  constructor(pool: BlockPool, history: History) {
    this.pool = pool
    this.#history = history
  }

  blockOf(location: number): Block {
    const block = this.blocks[location >>> 17]
    assert(block !== undefined, 'location in no block')
    return block
  }

  view(location: number, view: RecordView): RecordView {
    const bytes = this.bytes[location >>> 17]
    assert(bytes !== undefined, 'location in no block')
    return view.at(bytes, offsetOf(location))
  }

  /**
   * A new block with room for a record of `count` bytes. History goes first; then it throws `STORE_FULL` or, for a
   * record that is `certain`, goes past the limit by the smallest block there is.
   */
  open(count: number, urgent: boolean, certain = false): Block {
    if (this.freeNumbers.length === 0 && this.blocks.length > NUMBER_MAX) {
      throw new GridError('STORE_FULL', `a partition has ${NUMBER_MAX} blocks`)
    }
    const capacity = this.#capacityFor(count)
    while (!this.pool.canAllocate(capacity, urgent)) if (!this.#history.dropOldest()) break
    const block =
      certain && !this.pool.canAllocate(capacity, urgent)
        ? this.pool.overdraw(count)
        : this.pool.allocate(capacity, urgent, Math.max(count, capacity / 4))
    block.number = this.freeNumbers.pop() ?? this.blocks.length
    this.blocks[block.number] = block
    this.bytes[block.number] = block.bytes
    this.totalBytes += block.footprintBytes
    return block
  }

  /**
   * Blocks grow with the partition, about an eighth of it, so that what is open and half empty stays small beside it.
   * Larger records ask for larger blocks, four to a block while that is not out of proportion; one above a quarter
   * of the largest block gets its own.
   */
  #capacityFor(count: number): number {
    if (count > blockBytesMax / 4) return count
    let capacity = blockBytesMin
    while (capacity < blockBytesMax && capacity * 2 <= this.totalBytes / 8) capacity *= 2
    while (capacity < 4 * count && capacity * 2 <= this.totalBytes / 4) capacity *= 2
    while (capacity < count) capacity *= 2
    return capacity
  }

  /** Gives a tail block in which nothing has been applied back to the pool. */
  free(block: Block): void {
    assert(block.liveBytes === 0, 'a block with live records was freed')
    this.blocks[block.number] = undefined
    this.bytes[block.number] = undefined
    this.freeNumbers.push(block.number)
    this.totalBytes -= block.footprintBytes
    this.pool.release(block)
  }

  /** A block has left the tail. */
  toPlain(block: Block): void {
    block.inTail = false
    this.plainUsed += block.used
    this.plainLive += block.liveBytes
  }

  /** Gives a plain block in which nothing lives back to the pool. */
  freePlain(block: Block): void {
    assert(this.pins === 0, 'a block was freed under a scan')
    this.plainUsed -= block.used
    this.free(block)
  }

  /** Room for a copy of `count` bytes: the survivor, perhaps a new one. `used` is left for {@link grown}. */
  survivorFor(count: number): Block {
    if (this.survivor?.fits(count) !== true) this.survivor = this.open(count, true)
    return this.survivor!
  }

  /** `count` bytes have been copied to the end of the survivor. */
  grown(survivor: Block, count: number): void {
    survivor.used += count
    this.plainUsed += count
  }

  /** The record at `offset` lives from now on. Returns its bytes. */
  mark(block: Block, offset: number): number {
    const bytes = bareBytesAt(block.bytes, offset)
    block.setLive(offset)
    block.liveBytes += bytes
    this.liveBytes += bytes
    if (!block.inTail) this.plainLive += bytes
    const expiresAt = expiresAtAt(block.bytes, offset)
    if (expiresAt !== 0) {
      if (expiresAt < block.minExpiresAt) block.minExpiresAt = expiresAt
      if (expiresAt < this.minExpiresAt) this.minExpiresAt = expiresAt
    }
    return bytes
  }

  /** The record at `offset` lives no more; its bytes stay until the block goes. Returns how many they are. */
  kill(block: Block, offset: number): number {
    const bytes = bareBytesAt(block.bytes, offset)
    block.clearLive(offset)
    block.liveBytes -= bytes
    this.liveBytes -= bytes
    if (!block.inTail) this.plainLive -= bytes
    return bytes
  }

  killAt(location: number): number {
    return this.kill(this.blockOf(location), offsetOf(location))
  }

  /** No record of the map lives any more. */
  killMap(map: number): void {
    for (const block of this.blocks) {
      if (block === undefined) continue
      for (let at = block.nextLive(0); at >= 0; at = block.nextLive(at + 8)) {
        if (mapAt(block.bytes, at) === map) this.kill(block, at)
      }
    }
  }

  /** Gives everything back to the pool, pins or not. */
  reset(): void {
    for (const block of this.blocks) if (block !== undefined) this.pool.release(block)
    this.blocks.length = 1
    this.bytes.length = 1
    this.freeNumbers.length = 0
    this.totalBytes = 0
    this.liveBytes = 0
    this.plainUsed = 0
    this.plainLive = 0
    this.minExpiresAt = Infinity
    this.pins = 0
    this.survivor = undefined
  }
}
