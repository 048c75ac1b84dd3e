import { describe, expect, it } from 'vitest'
import { Block, BlockPool, blockBytesMax, blockBytesMin } from '../../../src/core/store/block-pool.ts'

const KIB = 1024

describe('BlockPool', () => {
  it('rounds up to powers of two and then to steps of 64 KiB', () => {
    const pool = new BlockPool({ maxBytes: 64 * KIB * KIB })
    const sizes = [1, 16 * KIB, 16 * KIB + 1, 200 * KIB, 256 * KIB + 1, 600 * KIB, blockBytesMax, 3_000_000]
    expect(sizes.map((bytes) => pool.allocate(bytes).capacity / KIB)).toEqual([
      16, 16, 32, 256, 320, 640, 1024, 2944,
    ])
  })

  it('counts every byte, bitmaps included, and uses blocks again', () => {
    const pool = new BlockPool({ maxBytes: 1024 * KIB })
    const block = pool.allocate(blockBytesMin)
    expect(pool.usedBytes).toBe(16 * KIB + 256)
    block.setLive(800)
    block.used = 808
    block.minExpiresAt = 5
    pool.release(block)
    expect([pool.usedBytes, pool.reservedBytes]).toEqual([0, 16 * KIB + 256])
    const again = pool.allocate(blockBytesMin)
    expect(again).toBe(block)
    expect([again.used, again.minExpiresAt, again.nextLive(0)]).toEqual([0, Infinity, -1])
    expect(() => pool.release(new Block(1024 * KIB))).toThrow('more blocks released')
  })

  it('prefers a smaller free block to new memory, down to what is asked for', () => {
    const pool = new BlockPool({ maxBytes: 1024 * KIB })
    const small = pool.allocate(16 * KIB)
    const middle = pool.allocate(32 * KIB)
    pool.release(small)
    pool.release(middle)
    expect(pool.allocate(64 * KIB, false, 20_000)).toBe(middle)
    expect(pool.allocate(64 * KIB, false, 20_000).capacity).toBe(64 * KIB)
    expect(pool.allocate(64 * KIB, false, 16_000)).toBe(small)
  })

  it('stops at the limit, and later for what is urgent', () => {
    const pool = new BlockPool({ maxBytes: 1000 * KIB, urgentBytes: 100 * KIB })
    const fill = (urgent: boolean): void => {
      while (pool.canAllocate(16 * KIB, urgent)) pool.allocate(16 * KIB, urgent)
      expect(() => pool.allocate(16 * KIB, urgent)).toThrow('STORE_FULL')
    }
    fill(false)
    expect(pool.usedBytes).toBeGreaterThan(883 * KIB)
    expect(pool.usedBytes).toBeLessThanOrEqual(900 * KIB)
    fill(true)
    expect(pool.usedBytes).toBeGreaterThan(983 * KIB)
    expect(pool.usedBytes).toBeLessThanOrEqual(1000 * KIB)
  })

  it('drops free blocks of other sizes before it refuses', () => {
    const pool = new BlockPool({ maxBytes: 1100 * KIB, urgentBytes: 0 })
    const blocks = Array.from({ length: 60 }, () => pool.allocate(16 * KIB))
    for (const block of blocks) pool.release(block)
    expect(pool.reservedBytes).toBe(60 * (16 * KIB + 256))
    expect(pool.allocate(1024 * KIB).capacity).toBe(1024 * KIB)
    expect(pool.reservedBytes).toBeLessThanOrEqual(1100 * KIB)
  })

  it('goes past the limit for what can neither be refused nor wait, and then refuses', () => {
    const pool = new BlockPool({ maxBytes: 64 * KIB, urgentBytes: 0 })
    const first = pool.allocate(32 * KIB)
    const other = pool.allocate(16 * KIB)
    expect(pool.canAllocate(16 * KIB, true)).toBe(false)
    pool.release(other)
    pool.charge(16 * KIB)
    expect(pool.overdraw(100).capacity).toBe(16 * KIB)
    expect(pool.usedBytes).toBeGreaterThan(64 * KIB)
    expect(() => pool.allocate(1, true)).toThrow('STORE_FULL')
    pool.release(first)
    expect(pool.allocate(1, true).capacity).toBe(16 * KIB)
  })

  it('counts indexes, which are never refused', () => {
    const pool = new BlockPool({ maxBytes: 100 * KIB, urgentBytes: 0 })
    pool.release(pool.allocate(64 * KIB))
    pool.charge(90 * KIB)
    expect(pool.reservedBytes).toBe(90 * KIB)
    pool.charge(20 * KIB)
    expect(pool.canAllocate(1)).toBe(false)
    pool.charge(-110 * KIB)
    expect(pool.usedBytes).toBe(0)
    expect(() => pool.charge(-1)).toThrow('more bytes given back')
  })
})

describe('Block', () => {
  it('steps from one live bit to the next', () => {
    const block = new Block(blockBytesMin)
    const offsets = [0, 8, 248, 256, 4096, 16_376]
    for (const offset of offsets) block.setLive(offset)
    const walk = (): number[] => {
      const found: number[] = []
      for (let at = block.nextLive(0); at >= 0; at = block.nextLive(at + 8)) found.push(at)
      return found
    }
    expect(walk()).toEqual(offsets)
    block.clearLive(256)
    expect(block.isLive(256)).toBe(false)
    expect(block.isLive(248)).toBe(true)
    expect(walk()).toEqual([0, 8, 248, 4096, 16_376])
  })
})
