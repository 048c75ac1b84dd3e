/**
 * A walk over what is live in a store, block by block, for queries and state transfer.
 *
 * While it is open the store frees no block and moves no record, so each entry is met at most once. What is written
 * after the opening is not met; an entry that is replaced or removed before the scan comes to it is not met
 * either. Whoever needs those as well reads them from the tail, from the head at opening time on.
 *
 * The bitmap leads from one live record to the next: dead ones are not even read.
 */

import { assert } from '../base/assert.ts'
import type { Block } from './block-pool.ts'
import type { BlockTable } from './block-table.ts'
import { mapAt, RecordView } from './record.ts'

const ANY_MAP = -1

export class StoreScan {
  readonly #table: BlockTable
  readonly #isCurrent: () => boolean
  readonly #blocks: Block[] = []
  readonly #ends: number[] = []
  readonly #view = new RecordView()
  #at = 0
  #offset = 0
  #open = true

  constructor(table: BlockTable, endOf: (block: Block) => number, isCurrent: () => boolean) {
    this.#table = table
    this.#isCurrent = isCurrent
    table.pins++
    for (const block of table.blocks) {
      const end = block === undefined ? 0 : endOf(block)
      if (end === 0) continue
      this.#blocks.push(block!)
      this.#ends.push(end)
    }
  }

  /** Visits up to `maxRecords` live records of all maps; true when there are more. */
  next(maxRecords: number, visit: (record: RecordView) => void): boolean {
    return this.nextOf(ANY_MAP, maxRecords, visit)
  }

  /** The same for one map; records of others count towards `maxRecords` too. `visit` may write to the store. */
  nextOf(map: number, maxRecords: number, visit: (record: RecordView) => void): boolean {
    assert(this.#open, 'the scan is closed')
    if (!this.#isCurrent()) return false
    let left = maxRecords
    for (; this.#at < this.#blocks.length; this.#at++, this.#offset = 0) {
      left = this.#scanBlock(this.#blocks[this.#at]!, this.#ends[this.#at]!, map, left, visit)
      if (left === 0) return true
    }
    return false
  }

  #scanBlock(
    block: Block,
    end: number,
    map: number,
    maxRecords: number,
    visit: (record: RecordView) => void,
  ): number {
    const bytes = block.bytes
    const view = this.#view
    let left = maxRecords
    let offset = block.nextLive(this.#offset)
    for (; offset >= 0 && offset < end && left > 0; left--) {
      if (map === ANY_MAP || mapAt(bytes, offset) === map) visit(view.at(bytes, offset))
      offset = block.nextLive(offset + 8)
    }
    this.#offset = offset < 0 ? block.capacity : offset
    return left
  }

  /** Lets the store compact again. May be called twice. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    if (this.#isCurrent()) this.#table.pins--
  }
}
