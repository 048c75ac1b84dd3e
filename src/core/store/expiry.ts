/**
 * Finds what has expired, in bounded steps.
 *
 * Each block knows a time before which nothing in it expires, so that only blocks with something due are walked. The
 * bound is raised again by the walk itself: it is taken away at the beginning, records that come alive meanwhile lower
 * it, and the walk adds what it has seen. A record that was visited but not removed keeps the bound down, and is
 * found again.
 */

import type { Block } from './block-pool.ts'
import type { BlockTable } from './block-table.ts'
import { expiresAtAt, RecordView } from './record.ts'

export class Expiry {
  readonly #table: BlockTable
  readonly #view = new RecordView()
  /** Block number of the pass under way; 0 between passes. */
  #number = 0
  /** The block that a walk is in the middle of, and what it has seen there. */
  #block: Block | undefined = undefined
  #offset = 0
  #min = Infinity

  constructor(table: BlockTable) {
    this.#table = table
  }

  /** The block whose bound is taken away for the time of a walk. */
  get blockUnderWalk(): Block | undefined {
    return this.#block
  }

  /** See `LogStore.expired`. */
  visit(nowMs: number, maxRecords: number, visit: (record: RecordView) => void): boolean {
    const table = this.#table
    if (this.#block === undefined && this.#number === 0 && nowMs < table.minExpiresAt) return false
    table.pins++
    try {
      return this.#pass(nowMs, maxRecords, visit)
    } finally {
      table.pins--
    }
  }

  #pass(nowMs: number, maxRecords: number, visit: (record: RecordView) => void): boolean {
    let left = maxRecords
    while (this.#enter(nowMs)) {
      left -= this.#walk(this.#block!, nowMs, left, visit)
      if (left <= 0) return true
    }
    this.#number = 0
    let min = Infinity
    for (const block of this.#table.blocks) if (block !== undefined) min = Math.min(min, block.minExpiresAt)
    this.#table.minExpiresAt = min
    return false
  }

  /** Makes sure that there is a block to walk; false at the end of the pass. */
  #enter(nowMs: number): boolean {
    const blocks = this.#table.blocks
    if (this.#block !== undefined && blocks[this.#number] === this.#block) return true
    for (this.#number++; this.#number < blocks.length; this.#number++) {
      const block = blocks[this.#number]
      if (block === undefined || block.minExpiresAt > nowMs) continue
      this.#block = block
      this.#offset = 0
      this.#min = Infinity
      block.minExpiresAt = Infinity
      return true
    }
    this.#block = undefined
    return false
  }

  /** Walks on in the block; returns how many live records it has looked at. */
  #walk(block: Block, nowMs: number, maxRecords: number, visit: (record: RecordView) => void): number {
    let seen = 0
    let offset = block.nextLive(this.#offset)
    for (; offset >= 0 && seen < maxRecords; offset = block.nextLive(offset + 8)) {
      seen++
      const expiresAt = expiresAtAt(block.bytes, offset)
      if (expiresAt === 0) continue
      if (expiresAt <= nowMs) visit(this.#view.at(block.bytes, offset))
      if (expiresAt < this.#min && block.isLive(offset)) this.#min = expiresAt
    }
    this.#offset = offset
    if (offset < 0) {
      block.minExpiresAt = Math.min(block.minExpiresAt, this.#min)
      this.#block = undefined
    }
    return seen
  }

  reset(): void {
    this.#number = 0
    this.#block = undefined
  }
}
