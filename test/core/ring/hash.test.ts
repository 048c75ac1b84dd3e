import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashBytes, partitionOf } from '../../../src/core/ring/hash.ts'

const VECTORS: [Buffer, number][] = [
  [Buffer.from(''), 0],
  [Buffer.from('a'), 0x3c2569b2],
  [Buffer.from('abc'), 0xb3dd93fa],
  [Buffer.from('test'), 0xba6bd213],
  [Buffer.from('hello'), 0x248bfa47],
  [Buffer.from('hello, world'), 0x149bbb7f],
  [Buffer.from('Hello, world!'), 0xc0363e43],
  [Buffer.from('The quick brown fox jumps over the lazy dog'), 0x2e4ff723],
  [Buffer.from('00000000', 'hex'), 0x2362f9de],
  [Buffer.from('000000', 'hex'), 0x85f0b427],
  [Buffer.from('0000', 'hex'), 0x30f4c306],
  [Buffer.from('00', 'hex'), 0x514e28b7],
  [Buffer.from('ffffffff', 'hex'), 0x76293b50],
  [Buffer.from('21436587', 'hex'), 0xf55b516b],
  [Buffer.from('214365', 'hex'), 0x7e4a8634],
  [Buffer.from('2143', 'hex'), 0xa0f7b07a],
  [Buffer.from('21', 'hex'), 0x72661cf4],
]

describe('hashBytes', () => {
  it.each(VECTORS)('agrees with the published vector of %j', (bytes, hash) => {
    expect(hashBytes(bytes, 0, bytes.length)).toBe(hash)
  })

  it('depends on the bytes in the range only', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), fc.uint8Array(), (before, bytes, after) => {
        const all = Buffer.concat([before, bytes, after])
        const hash = hashBytes(bytes, 0, bytes.length)
        expect(hashBytes(all, before.length, before.length + bytes.length)).toBe(hash)
        expect(hash).toBe(hash >>> 0)
      }),
    )
  })
})

describe('partitionOf', () => {
  it('spreads consecutive keys evenly', () => {
    const counts = new Array<number>(271).fill(0)
    for (let i = 0; i < 271_000; i++) {
      const key = Buffer.from(`s-${i}`)
      const partition = partitionOf(hashBytes(key, 0, key.length), 271)
      counts[partition]! += 1
    }
    expect(Math.min(...counts)).toBeGreaterThan(850)
    expect(Math.max(...counts)).toBeLessThan(1150)
  })
})
