/** What the benchmarks say of many samples. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { median, percentile, percentilesOf, spreadOf } from '../../bench/statistics.ts'

test('percentiles are samples, by nearest rank', () => {
  const hundred = Float64Array.from({ length: 100 }, (_, i) => i + 1)
  expect([50, 99, 99.9, 100].map((percent) => percentile(hundred, percent))).toEqual([50, 99, 100, 100])
  expect(percentile(Float64Array.of(7), 1)).toBe(7)
  expect(percentile(new Float64Array(0), 50)).toBeNaN()
})

test('percentiles of rounds are those of all their samples, not of the rounds', () => {
  const quiet = new Float64Array(990).fill(1)
  const stalled = new Float64Array(10).fill(100)
  expect(percentilesOf([quiet, stalled])).toEqual({ p50: 1, p99: 1, p999: 100 })
})

test('no more than the rest lies above a percentile', () => {
  const samples = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 })
  fc.assert(
    fc.property(samples, fc.double({ min: 0.1, max: 100, noNaN: true }), (list, percent) => {
      const sorted = Float64Array.from(list).sort()
      const value = percentile(sorted, percent)
      const notAbove = sorted.filter((sample) => sample <= value).length
      const below = sorted.filter((sample) => sample < value).length
      expect(notAbove / sorted.length).toBeGreaterThanOrEqual(percent / 100 - 1e-9)
      expect(below / sorted.length).toBeLessThan(percent / 100)
    }),
  )
})

test('median and spread of rounds', () => {
  expect(median([5, 1, 9])).toBe(5)
  expect(median([4, 1, 9, 5])).toBe(5)
  expect(median([])).toBeNaN()
  expect(spreadOf([5, 1, 9])).toEqual([1, 9])
})
