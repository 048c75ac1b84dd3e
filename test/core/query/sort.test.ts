import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Row } from '../../../src/core/query/sort.ts'
import { compileOrder, TopRows } from '../../../src/core/query/sort.ts'
import { compare, decode, object, path, stored, value, valueAt } from './support.ts'

function ordered(a: unknown, b: unknown, orderBy: unknown): number {
  const [x, y] = [stored(a), stored(b)]
  return Math.sign(compileOrder(orderBy).compare(x.bytes, x.start, x.end, y.bytes, y.start, y.end))
}

describe('the total order', () => {
  test('across kinds', () => {
    const rising = [
      {},
      { v: null },
      { v: false },
      { v: true },
      { v: Number.NaN },
      { v: Number.NEGATIVE_INFINITY },
      { v: -(2n ** 80n) },
      { v: -1.5 },
      { v: -1n },
      { v: 0 },
      { v: 1e-320 },
      { v: 2 ** 53 },
      { v: 2n ** 53n + 1n },
      { v: 2 ** 53 + 2 },
      { v: 2n ** 80n },
      { v: Number.POSITIVE_INFINITY },
      { v: '' },
      { v: 'a' },
      { v: 'ab' },
      { v: '\uffff' },
      { v: '\u{10000}' },
      { v: new Uint8Array() },
      { v: Uint8Array.of(0) },
      { v: new Date(-1) },
      { v: new Date(0) },
      { v: new Date(1) },
      { v: { a: 1 } },
      { v: [1] },
    ]
    for (const [i, a] of rising.entries())
      for (const [j, b] of rising.entries()) {
        expect(ordered(a, b, 'v')).toBe(Math.sign(i - j))
        expect(ordered(a, b, [['v', 'desc']])).toBe(Math.sign(j - i) + 0)
      }
  })

  test('agrees with the naive one, and is transitive', () => {
    fc.assert(
      fc.property(value, value, value, (a, b, c) => {
        const [x, y, z] = [{ v: a }, { v: b }, { v: c }]
        expect(ordered(x, y, 'v')).toBe(Math.sign(compare(a, b)))
        if (ordered(x, y, 'v') <= 0 && ordered(y, z, 'v') <= 0)
          expect(ordered(x, z, 'v')).toBeLessThanOrEqual(0)
      }),
      { numRuns: 5000 },
    )
  })

  test('the first term that differs decides', () => {
    const orderBy = [
      ['site', 'asc'],
      ['at.temp', 'desc'],
    ]
    expect(ordered({ site: 'a', at: { temp: 1 } }, { site: 'b', at: { temp: 9 } }, orderBy)).toBe(-1)
    expect(ordered({ site: 'a', at: { temp: 1 } }, { site: 'a', at: { temp: 9 } }, orderBy)).toBe(1)
    expect(ordered({ site: 'a' }, { site: 'a', at: 5 }, orderBy)).toBe(0)
    expect(compileOrder(orderBy).paths).toEqual(['site', 'at.temp'])
  })
})

describe('TopRows', () => {
  const order = (
    a: { key: Buffer; value: unknown },
    b: { key: Buffer; value: unknown },
    by: [string, string][],
  ): number => {
    for (const [p, direction] of by) {
      const result = compare(valueAt(a.value, p), valueAt(b.value, p))
      if (result !== 0) return direction === 'asc' ? result : -result
    }
    return Buffer.compare(a.key, b.key)
  }
  const by = fc.array(fc.tuple(path, fc.constantFrom('asc', 'desc')), { maxLength: 2 })
  const rows = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 255 }), object), {
    maxLength: 40,
    selector: ([key]) => key,
  })

  test('keeps the first rows of any input, whatever the order in which it comes and however it is split', () => {
    fc.assert(
      fc.property(rows, by, fc.nat(12), fc.integer({ min: 1, max: 4 }), (input, orderBy, limit, members) => {
        const compiled = compileOrder(orderBy)
        const runs = Array.from({ length: members }, () => new TopRows(compiled, limit))
        const all = input.map(([key, document]) => ({ key: Buffer.of(key), value: document }))
        for (const [i, row] of all.entries()) {
          const { bytes, start, end } = stored(row.value)
          runs[i % members]!.offer(row.key, 0, 1, bytes, start, end)
          bytes.fill(0)
        }
        const merged = new TopRows(compiled, limit)
        for (const run of runs)
          for (const row of run.rows()) merged.offer(row.key, 0, 1, row.value, 0, row.value.length)
        const got = merged
          .rows()
          .map((row) => ({ key: row.key, value: decode(row.value, 0, row.value.length) }))
        const expected = all.sort((a, b) => order(a, b, orderBy)).slice(0, limit)
        expect(got.map((row) => row.key)).toEqual(expected.map((row) => row.key))
        expect(merged.length).toBe(expected.length)
        expect(merged.sizeBytes).toBe(
          merged.rows().reduce((sum, row) => sum + row.key.length + row.value.length, 0),
        )
      }),
      { numRuns: 1000 },
    )
  })

  test('thousands of rows leave no trace but the first ones, and what was handed out stays', () => {
    const top = new TopRows(compileOrder([['v', 'desc']]), 100)
    const offer = (n: number): boolean => {
      const { bytes, start, end } = stored({ pad: 'x'.repeat(n % 90), v: n })
      return top.offer(Buffer.from(`key-${n}`), 0, 5 + Math.floor(Math.log10(n || 1)), bytes, start, end)
    }
    const valuesOf = (rows: readonly Row[]): unknown[] =>
      rows.map((row) => `${row.key} ${(decode(row.value, 0, row.value.length) as { v: number }).v}`)
    const expected = (last: number): unknown[] =>
      Array.from({ length: 100 }, (_, i) => `key-${last - i} ${last - i}`)
    for (let n = 0; n < 4000; n++) expect(offer(n)).toBe(true)
    const early = top.rows()
    expect(valuesOf(early)).toEqual(expected(3999))
    for (let n = 4000; n < 8000; n++) offer(n)
    expect(offer(7000)).toBe(false)
    expect(valuesOf(early)).toEqual(expected(3999))
    expect(valuesOf(top.rows())).toEqual(expected(7999))
  })

  test('says whether a row was kept', () => {
    const top = new TopRows(compileOrder('v'), 1)
    const offer = (key: number, v: unknown): boolean => {
      const { bytes, start, end } = stored({ v })
      return top.offer(Buffer.of(9, key), 1, 2, bytes, start, end)
    }
    expect([offer(5, 2), offer(4, 3), offer(6, 2), offer(4, 2), offer(9, 1)]).toEqual([
      true,
      false,
      false,
      true,
      true,
    ])
    expect(top.rows().map((row) => [...row.key])).toEqual([[9]])
  })
})
