/**
 * Recounts a store by walking every record, and asserts that the figures kept agree. For tests and the simulation: the
 * work is in proportion to everything that is stored.
 */

import { assert } from '../base/assert.ts'
import type { Block } from './block-pool.ts'
import type { BlockTable } from './block-table.ts'
import { bareBytesAt, expiresAtAt, paddedAt, seqAt } from './record.ts'
import type { Tail } from './tail.ts'

export function auditBlocks(table: BlockTable): void {
  let totalBytes = 0
  let liveBytes = 0
  let plainUsed = 0
  let plainLive = 0
  let count = 0
  for (const [number, block] of table.blocks.entries()) {
    if (block === undefined) continue
    assert(block.number === number, 'audit: a block has the wrong number')
    assert(countLive(block) === block.liveBytes, 'audit: live bytes of a block')
    count++
    totalBytes += block.footprintBytes
    liveBytes += block.liveBytes
    if (block.inTail) continue
    plainUsed += block.used
    plainLive += block.liveBytes
  }
  assert(count + table.freeNumbers.length === table.blocks.length - 1, 'audit: a block number was lost')
  assert(totalBytes === table.totalBytes, 'audit: total bytes')
  assert(liveBytes === table.liveBytes, 'audit: live bytes')
  assert(plainUsed === table.plainUsed && plainLive === table.plainLive, 'audit: bytes of plain blocks')
}

/** Live bytes of a block, counted record by record; every bit must stand at the beginning of one. */
function countLive(block: Block): number {
  let live = 0
  let records = 0
  let offset = 0
  for (; offset < block.used; offset += paddedAt(block.bytes, offset)) {
    if (!block.isLive(offset)) continue
    live += bareBytesAt(block.bytes, offset)
    records++
  }
  assert(offset === block.used, 'audit: records do not end where the block does')
  for (let at = block.nextLive(0); at >= 0; at = block.nextLive(at + 8)) records--
  assert(records === 0, 'audit: a live bit between records')
  return live
}

/** Asserts that the tail is contiguous from its first record to `head`. */
export function auditTail(tail: Tail, head: number): void {
  let seq = tail.blocks[0]?.firstSeq ?? head + 1
  for (const block of tail.blocks) {
    assert(block.inTail && block.firstSeq === seq, 'audit: a gap between tail blocks')
    for (let offset = 0; offset < block.used; offset += paddedAt(block.bytes, offset)) {
      assert(seqAt(block.bytes, offset) === seq, 'audit: a gap in the tail')
      seq++
    }
    assert(block.lastSeq === seq - 1, 'audit: last seq of a tail block')
  }
  assert(seq === head + 1, 'audit: the tail does not end at head')
}

/** Asserts that no live record expires before what its block and the store say. */
export function auditExpiry(table: BlockTable, underWalk: Block | undefined): void {
  for (const block of table.blocks) {
    if (block === undefined) continue
    for (let at = block.nextLive(0); at >= 0; at = block.nextLive(at + 8)) {
      const expiresAt = expiresAtAt(block.bytes, at)
      if (expiresAt === 0) continue
      assert(expiresAt >= table.minExpiresAt, 'audit: a record expires before the store says so')
      assert(block === underWalk || expiresAt >= block.minExpiresAt, 'audit: expiry of a block')
    }
  }
}
