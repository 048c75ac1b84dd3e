import { describe, expect, it } from 'vitest'
import { randomInt, seededRandom } from '../../../src/core/base/random.ts'
import { Block, BlockPool } from '../../../src/core/store/block-pool.ts'
import { MapIndex } from '../../../src/core/store/index.ts'
import { keyLengthAt, keyStartAt, recordBytes, writeRecord } from '../../../src/core/store/record.ts'
import { hashOf, inputOf } from './support.ts'

/** An index over records that are only ever written, never freed. */
class Bench {
  readonly pool = new BlockPool({ maxBytes: 2 ** 30 })
  readonly bytes: (Buffer | undefined)[] = [undefined]
  readonly index = new MapIndex(this.bytes, this.pool, 12345)
  readonly model = new Map<string, number>()
  block = new Block(1024 * 1024)
  readonly hash: (key: string) => number

  constructor(hash: (key: string) => number = (key) => hashOf(Buffer.from(key))) {
    this.hash = hash
  }

  write(key: string): number {
    const input = inputOf({ key, hash: this.hash(key) })
    if (!this.block.fits(recordBytes(input))) this.block = new Block(1024 * 1024)
    if (this.bytes.at(-1) !== this.block.bytes) this.bytes.push(this.block.bytes)
    const offset = this.block.used
    writeRecord(this.block.bytes, offset, 1, input)
    this.block.used += recordBytes(input)
    return ((this.bytes.length - 1) << 17) | (offset >>> 3)
  }

  put(key: string): void {
    const location = this.write(key)
    const bytes = Buffer.from(key)
    const before = this.index.put(this.hash(key), bytes, 0, bytes.length, location)
    if (before !== (this.model.get(key) ?? -1)) expect.unreachable(`put ${key} gave ${before}`)
    this.model.set(key, location)
  }

  remove(key: string): void {
    const bytes = Buffer.from(key)
    const before = this.index.remove(this.hash(key), bytes, 0, bytes.length)
    if (before !== (this.model.get(key) ?? -1)) expect.unreachable(`remove ${key} gave ${before}`)
    this.model.delete(key)
  }

  keyAt(location: number): string {
    const bytes = this.bytes[location >>> 17]!
    const offset = (location & 0x1ffff) << 3
    const start = keyStartAt(bytes, offset)
    return bytes.toString('utf8', start, start + keyLengthAt(bytes, offset))
  }

  pages(rows: number): string[][] {
    const pages: string[][] = []
    for (let from = 0; from >= 0; ) {
      const page: string[] = []
      from = this.index.page(from, rows, (location) => page.push(this.keyAt(location)))
      pages.push(page)
    }
    return pages
  }

  check(): void {
    expect(this.index.count).toBe(this.model.size)
    for (const [key, location] of this.model) {
      const bytes = Buffer.from(`-${key}`)
      const found = this.index.find(this.hash(key), bytes, 1, bytes.length)
      if (found !== location) expect.unreachable(`find ${key} gave ${found}`)
    }
    const seen = new Set<number>()
    this.index.eachLocation((location) => seen.add(location))
    expect(seen).toEqual(new Set(this.model.values()))
    expect(this.pool.usedBytes).toBe(this.index.tableBytes)
  }
}

const few = 4000

describe('MapIndex', () => {
  it.each<[string, number, ((key: string) => number) | undefined]>([
    ['good hashes', 60_000, undefined],
    ['hashes that agree modulo 271', 60_000, (key) => (Number(key) * 271 + 5) >>> 0],
    ['hashes that agree in all but a few bits', few, (key) => ((Number(key) % 8) << 20) >>> 0],
    ['one hash', few / 4, () => 0xdeadbeef],
  ])('holds, finds and drops keys with %s', (_name, keys, hash) => {
    const bench = new Bench(hash)
    const random = seededRandom(keys)
    for (let phase = 0; phase < 3; phase++) {
      for (let i = 0; i < keys; i++) {
        const key = String(randomInt(random, keys))
        if (randomInt(random, 4) < (phase === 1 ? 3 : 1)) bench.remove(key)
        else bench.put(key)
      }
      bench.check()
      for (let i = keys; i < keys + 100; i++) {
        const bytes = Buffer.from(String(i))
        expect(bench.index.find(bench.hash(String(i)), bytes, 0, bytes.length)).toBe(-1)
      }
      const all = bench.pages(100).flat()
      expect(all.length).toBe(bench.model.size)
      expect(new Set(all)).toEqual(new Set(bench.model.keys()))
    }
    for (const key of [...bench.model.keys()]) bench.remove(key)
    expect(bench.pool.usedBytes).toBe(0)
    bench.check()
  })

  it('grows a table that splitting does not relieve', () => {
    // Mixed hashes that agree in their upper 16 bits: the mix is undone, its multiplier has an inverse modulo 2^32.
    let inverse = 1
    for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(0x9e3779b1, inverse))
    const bench = new Bench((key) => (Math.imul(0x5a5a0000 + 2 * Number(key), inverse) ^ 12345) >>> 0)
    for (let i = 0; i < 30_000; i++) bench.put(String(i))
    bench.check()
    expect(bench.pages(1000).flat()).toEqual(Array.from({ length: 30_000 }, (_, i) => String(i)))
    for (let i = 0; i < 30_000; i += 2) bench.remove(String(i))
    bench.check()
  })

  it('puts all keys of one hash on one page', () => {
    const bench = new Bench(() => 77)
    for (let i = 0; i < 1000; i++) bench.put(String(i))
    expect(bench.pages(10).map((page) => page.length)).toEqual([1000, 0])
  })

  it('fills pages exactly, in an order that does not depend on table sizes', () => {
    const bench = new Bench()
    for (let i = 0; i < 5000; i++) bench.put(String(i))
    const before = bench.pages(100).flat()
    for (const page of bench.pages(100).slice(0, -1)) expect(page.length).toBe(100)
    for (let i = 5000; i < 100_000; i++) bench.put(String(i))
    const after = bench
      .pages(1000)
      .flat()
      .filter((key) => Number(key) < 5000)
    expect(after).toEqual(before)
  })

  it('sees what stays exactly once while tables split and shrink between pages', () => {
    const bench = new Bench()
    for (let i = 0; i < 3000; i++) bench.put(`stay-${i}`)
    const seen: string[] = []
    let next = 0
    for (let from = 0; from >= 0; ) {
      from = bench.index.page(from, 37, (location) => seen.push(bench.keyAt(location)))
      for (let i = 0; i < 1000; i++) {
        if (from < 2 ** 30 && next < 20_000) bench.put(`new-${next++}`)
        else if (from > 2 ** 31 && next > 0) bench.remove(`new-${--next}`)
      }
    }
    const stayed = seen.filter((key) => key.startsWith('stay'))
    expect(stayed.length).toBe(3000)
    expect(new Set(stayed).size).toBe(3000)
  })

  it('takes at most 14 bytes an entry beyond the smallest tables', () => {
    const bench = new Bench()
    let sum = 0
    let worst = 0
    for (let i = 1; i <= 40_000; i++) {
      bench.put(String(i))
      const perEntry = bench.index.tableBytes / i
      sum += perEntry
      if (i > 100) worst = Math.max(worst, perEntry)
    }
    expect(worst).toBeLessThan(14.5)
    expect(sum / 40_000).toBeLessThan(12.5)
    for (let i = 101; i <= 40_000; i++) bench.remove(String(i))
    expect(bench.index.tableBytes).toBeLessThan(100 * 8 * 12)
  })

  it('keeps access times with their entries through growth, moves and removal', () => {
    const bench = new Bench()
    for (let i = 0; i < 100; i++) bench.put(String(i))
    bench.index.touch(bench.hash('1'), bench.model.get('1')!, 11)
    bench.index.trackAccess()
    bench.index.trackAccess()
    const stamp = (key: string): void =>
      bench.index.touch(bench.hash(key), bench.model.get(key)!, Number(key) + 1)
    for (let i = 0; i < 100; i++) stamp(String(i))
    for (let i = 100; i < 30_000; i++) {
      bench.put(String(i))
      stamp(String(i))
    }
    for (let i = 0; i < 30_000; i += 3) bench.remove(String(i))
    bench.check()
    const seen = new Set<string>()
    const random = seededRandom(4)
    bench.index.sample(random, 100_000, (location, at) => {
      const key = bench.keyAt(location)
      if (at !== Number(key) + 1 || bench.model.get(key) !== location) expect.unreachable(`${key}: ${at}`)
      seen.add(key)
    })
    expect(seen.size).toBeGreaterThan(15_000)
    const moved = bench.write('1')
    expect(bench.index.move(bench.hash('1'), bench.model.get('1')!, moved)).toBe(true)
    expect(bench.index.move(bench.hash('1'), bench.model.get('1')!, moved)).toBe(false)
    expect(bench.index.find(bench.hash('1'), Buffer.from('1'), 0, 1)).toBe(moved)
  })

  it('answers for a map that holds nothing', () => {
    const { index } = new Bench()
    expect(index.find(1, Buffer.from('a'), 0, 1)).toBe(-1)
    expect(index.remove(1, Buffer.from('a'), 0, 1)).toBe(-1)
    expect(index.move(1, 2, 3)).toBe(false)
    expect(index.page(0, 10, () => expect.unreachable())).toBe(-1)
    index.sample(seededRandom(1), 3, () => expect.unreachable())
    index.clear()
    expect(index.tableBytes).toBe(0)
  })
})
