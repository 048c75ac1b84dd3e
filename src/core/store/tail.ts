/**
 * The tail: the newest stretch of a partition's log, complete and in seq order, in a row of blocks.
 *
 * The last block is open, the others are sealed. From the front, blocks that replication no longer needs are
 * *retained* as history. Blocks are named by an ordinal that stays the same while older blocks leave.
 *
 * A seq is found by binary search over the blocks and a walk within one. Four positions are remembered, so that a
 * few readers that each go on where they stopped (backups, watchers) do not walk at all.
 */

import { assert } from '../base/assert.ts'
import type { ByteWriter } from '../base/bytes.ts'
import type { Block } from './block-pool.ts'
import { paddedAt, type RecordView } from './record.ts'

const POSITIONS = 4

export class Tail {
  readonly blocks: Block[] = []
  /** Ordinal of `blocks[0]`. */
  base = 0
  /** How many blocks, from the front, are history. */
  retained = 0
  /** What the last `locate` has found. */
  ordinal = 0
  offset = 0
  readonly #seqs = new Float64Array(POSITIONS).fill(Infinity)
  readonly #offsets = new Float64Array(POSITIONS)
  #turn = 0

  /** The block that the next record goes to, if it fits. */
  get open(): Block | undefined {
    return this.blocks.length > this.retained ? this.blocks[this.blocks.length - 1] : undefined
  }

  get nextOrdinal(): number {
    return this.base + this.blocks.length
  }

  block(ordinal: number): Block {
    const block = this.blocks[ordinal - this.base]
    assert(block !== undefined, 'no such tail block')
    return block
  }

  push(block: Block, firstSeq: number): void {
    block.inTail = true
    block.firstSeq = firstSeq
    block.lastSeq = firstSeq - 1
    this.blocks.push(block)
  }

  /** The oldest block leaves. */
  shift(): Block {
    const block = this.blocks.shift()
    assert(block !== undefined && this.retained > 0, 'no retained block')
    this.base++
    this.retained--
    return block
  }

  reset(): void {
    this.blocks.length = 0
    this.base = 0
    this.retained = 0
    this.forgetPositions()
  }

  forgetPositions(): void {
    this.#seqs.fill(Infinity)
  }

  /** Sets `ordinal` and `offset` to where the record `seq` begins. It must be in the tail. */
  locate(seq: number): void {
    const ordinal = this.#blockOfSeq(seq)
    const block = this.block(ordinal)
    let at = 0
    let atSeq = block.firstSeq
    for (let i = 0; i < POSITIONS; i++) {
      // Between the first seq of this block and the one sought, so it is a position in this block.
      if (this.#seqs[i]! <= seq && this.#seqs[i]! > atSeq) {
        at = this.#offsets[i]!
        atSeq = this.#seqs[i]!
      }
    }
    for (; atSeq < seq; atSeq++) at += paddedAt(block.bytes, at)
    this.ordinal = ordinal
    this.offset = at
  }

  #blockOfSeq(seq: number): number {
    let low = 0
    let high = this.blocks.length - 1
    assert(
      high >= 0 && seq >= this.blocks[0]!.firstSeq && seq <= this.blocks[high]!.lastSeq,
      'seq is not in the tail',
    )
    if (seq >= this.blocks[high]!.firstSeq) return this.base + high
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.blocks[middle]!.firstSeq <= seq) low = middle
      else high = middle - 1
    }
    return this.base + low
  }

  /** Remembers where `seq` begins, in place of the position that the reader came from. */
  #remember(fromSeq: number, seq: number, offset: number): void {
    let place = -1
    for (let i = 0; i < POSITIONS; i++) {
      if (this.#seqs[i] === seq) return
      if (this.#seqs[i] === fromSeq) place = i
    }
    if (place < 0) {
      place = this.#turn
      this.#turn = (this.#turn + 1) % POSITIONS
    }
    this.#seqs[place] = seq
    this.#offsets[place] = offset
  }

  /** Appends whole records from `fromSeq` on, at least one, and returns the last seq. */
  copy(fromSeq: number, maxBytes: number, writer: ByteWriter, lastSeq: number): number {
    this.locate(fromSeq)
    let ordinal = this.ordinal
    let start = this.offset
    let seq = fromSeq
    let left = maxBytes
    for (;;) {
      const block = this.block(ordinal)
      let end = start
      if (block.lastSeq <= lastSeq && block.used - start <= left) {
        end = block.used
        seq = block.lastSeq + 1
      } else {
        while (seq <= lastSeq) {
          const count = paddedAt(block.bytes, end)
          if (end - start + count > left && seq !== fromSeq) break
          end += count
          seq++
        }
      }
      writer.bytes(block.bytes, start, end)
      left -= end - start
      if (end < block.used || seq > lastSeq || left <= 0 || ordinal + 1 === this.nextOrdinal) {
        this.#remember(fromSeq, seq, end)
        return seq - 1
      }
      ordinal++
      start = 0
    }
  }

  /** Visits the records `fromSeq..toSeq` until told to stop, and returns the last seq visited. */
  walk(fromSeq: number, toSeq: number, view: RecordView, visit: (record: RecordView) => boolean): number {
    this.locate(fromSeq)
    let ordinal = this.ordinal
    let block = this.block(ordinal)
    let offset = this.offset
    let seq = fromSeq
    for (let more = true; more && seq <= toSeq; seq++) {
      if (offset >= block.used) {
        block = this.block(++ordinal)
        offset = 0
      }
      const count = paddedAt(block.bytes, offset)
      more = visit(view.at(block.bytes, offset))
      offset += count
    }
    this.#remember(fromSeq, seq, offset)
    return seq - 1
  }

  /** Cuts the tail behind `toSeq`; returns the blocks of which nothing is left. */
  truncate(toSeq: number): Block[] {
    const dropped: Block[] = []
    for (
      let last = this.blocks.at(-1);
      last !== undefined && last.firstSeq > toSeq;
      last = this.blocks.at(-1)
    ) {
      dropped.push(last)
      this.blocks.pop()
    }
    const last = this.blocks.at(-1)
    if (last !== undefined && last.lastSeq > toSeq) {
      this.locate(toSeq + 1)
      last.used = this.offset
      last.lastSeq = toSeq
    }
    assert(this.blocks.length >= this.retained, 'history was truncated')
    this.forgetPositions()
    return dropped
  }
}
