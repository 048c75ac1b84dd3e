/**
 * Compaction in small steps: the live records of the plain block with the most garbage are copied, without their
 * envelopes, to a survivor block, and the block goes back to the pool.
 *
 * The tail is never touched. A step may stop in the middle of a block: a record that has moved is marked dead in the
 * old place at once, so at any time each entry lives in exactly one place.
 */

import { assert } from '../base/assert.ts'
import { GridError } from '../base/errors.ts'
import type { Block } from './block-pool.ts'
import { type BlockTable, locationOf } from './block-table.ts'
import type { MapIndex } from './index.ts'
import { bareBytesAt, hashAt, mapAt, moveBare } from './record.ts'

/** Part of the pool in use above which garbage is tolerated less. */
const PRESSURE = 7 / 8

/**
 * Where entries are overwritten at random, 1.2 records are moved for each that is written; 0.32 would be 0.75 (Rosenblum and
 * Ousterhout, TOCS 1992), but then an entry of 119 bytes takes 242 bytes, index and all, instead of 218.
 */
const GARBAGE_RATIO_MAX = 0.25

export class Compaction {
  readonly #table: BlockTable
  readonly #maps: readonly (MapIndex | undefined)[]
  readonly #garbageRatioMax: number
  #victim: Block | undefined = undefined

  constructor(
    table: BlockTable,
    maps: readonly (MapIndex | undefined)[],
    garbageRatioMax = GARBAGE_RATIO_MAX,
  ) {
    this.#table = table
    this.#maps = maps
    this.#garbageRatioMax = garbageRatioMax
  }

  /** Moves up to `maxRecords` records; true while there is more to do. */
  step(maxRecords: number): boolean {
    if (this.#table.pins > 0) return false
    let left = maxRecords
    while (left > 0) {
      this.#victim ??= this.#choose()
      if (this.#victim === undefined) return false
      const moved = this.#drain(this.#victim, left)
      if (moved < 0) return false
      left -= moved + 1
    }
    return this.#victim !== undefined || this.#isDue()
  }

  #isDue(): boolean {
    const { plainUsed, plainLive, pool } = this.#table
    const ratio =
      pool.usedBytes > pool.maxBytes * PRESSURE ? this.#garbageRatioMax / 4 : this.#garbageRatioMax
    return plainUsed - plainLive > plainUsed * ratio
  }

  /** The plain block with the greatest share of dead bytes. */
  #choose(): Block | undefined {
    if (!this.#isDue()) return undefined
    let worst: Block | undefined
    let worstShare = 0
    for (const block of this.#table.blocks) {
      if (block === undefined || block.inTail || block.used === 0) continue
      const share = (block.used - block.liveBytes) / block.used
      if (share > worstShare) {
        worst = block
        worstShare = share
      }
    }
    if (worst !== undefined && worst === this.#table.survivor) this.#table.survivor = undefined
    return worst
  }

  /** Moves records out of a block and frees it when none is left. Returns how many, or -1 where memory is short. */
  #drain(block: Block, maxRecords: number): number {
    let moved = 0
    for (let offset = block.nextLive(0); offset >= 0; offset = block.nextLive(offset + 8)) {
      if (moved === maxRecords) return moved
      if (!this.#move(block, offset)) return -1
      moved++
    }
    this.#victim = undefined
    this.#table.freePlain(block)
    return moved
  }

  #move(block: Block, offset: number): boolean {
    const table = this.#table
    const survivor = this.#survivorFor(bareBytesAt(block.bytes, offset))
    if (survivor === undefined) return false
    const to = survivor.used
    const index = this.#maps[mapAt(block.bytes, offset)]
    const count = moveBare(block.bytes, block.words, offset, survivor.bytes, survivor.words, to)
    const hash = hashAt(block.bytes, offset)
    const moved = index?.move(hash, locationOf(block, offset), locationOf(survivor, to)) === true
    assert(moved, 'a live record is not in the index')
    table.grown(survivor, count)
    table.kill(block, offset)
    table.mark(survivor, to)
    return true
  }

  #survivorFor(count: number): Block | undefined {
    try {
      return this.#table.survivorFor(count)
    } catch (error) {
      if (error instanceof GridError && error.code === 'STORE_FULL') return undefined
      throw error
    }
  }

  reset(): void {
    this.#victim = undefined
  }
}
