/** The verdict on figures that grow, stand, swing or jump: a leak is seen, what only looks like one is not. */

import { describe, expect, test } from 'vitest'
import { randomInt, seededRandom } from '../../src/core/base/random.ts'
import { type FigureName, judge, median, type Point, quantile, slope } from './verdict.ts'

const MIB = 1024 * 1024
const HOUR_MS = 3_600_000

/** A sample each 10 s for a time. */
function points(runMs: number, value: (atMs: number, index: number) => number): Point[] {
  return Array.from({ length: runMs / 10_000 }, (_, i) => ({ atMs: i * 10_000, value: value(i * 10_000, i) }))
}

function flat(figure: FigureName, runMs: number, value: (atMs: number, index: number) => number): boolean {
  return judge({ process: 'a', figure, points: points(runMs, value) }, runMs).flat
}

describe('an hour', () => {
  test('a constant is flat, and so is what shrinks', () => {
    expect(flat('rss', HOUR_MS, () => 200 * MIB)).toBe(true)
    expect(flat('rss', HOUR_MS, (atMs) => (200 - atMs / 30_000) * MIB)).toBe(true)
  })

  test('a leak of 20 % of memory an hour is none the less a leak under noise and spikes', () => {
    const random = seededRandom(1)
    const noise = (): number => randomInt(random, 20 * MIB) + (randomInt(random, 10) === 0 ? 80 * MIB : 0)
    expect(flat('rss', HOUR_MS, () => 200 * MIB + noise())).toBe(true)
    expect(flat('rss', HOUR_MS, (atMs) => 200 * MIB + (atMs / HOUR_MS) * 50 * MIB + noise())).toBe(false)
  })

  test('warm-up in the first half is no leak', () => {
    expect(flat('heap', HOUR_MS, (atMs) => Math.min(atMs / HOUR_MS, 0.45) * 100 * MIB)).toBe(true)
  })

  test('a step within the second half is as much as it lifts most pairs', () => {
    expect(flat('fds', HOUR_MS, (atMs) => (atMs < 0.9 * HOUR_MS ? 40 : 41))).toBe(true)
    expect(flat('fds', HOUR_MS, (atMs) => 40 + Math.floor(atMs / 600_000))).toBe(false)
  })

  test('counts that swing with the number of members are flat', () => {
    for (const figure of ['fds', 'handles', 'timers'] as const)
      expect(flat(figure, HOUR_MS, (_, i) => 30 + (i % 24 < 4 ? 5 : 0))).toBe(true)
  })

  test('a timer each quarter of an hour is within the bound, one each ten minutes is not', () => {
    expect(flat('timers', 4 * HOUR_MS, (atMs) => 10 + (atMs / HOUR_MS) * 2.9)).toBe(true)
    expect(flat('timers', 4 * HOUR_MS, (atMs) => 10 + (atMs / HOUR_MS) * 6)).toBe(false)
  })
})

describe('a short run', () => {
  const RUN_MS = 240_000

  test('grows as it warms up, and only gross growth is judged', () => {
    expect(flat('rss', RUN_MS, (atMs) => 200 * MIB + (atMs / RUN_MS) * 40 * MIB)).toBe(true)
  })

  test('shows what the probe plants in it', () => {
    expect(flat('heap', RUN_MS, (_, i) => 30 * MIB + i * 4 * MIB)).toBe(false)
    expect(flat('external', RUN_MS, (_, i) => 90 * MIB + i * 8 * MIB)).toBe(false)
    expect(flat('timers', RUN_MS, (_, i) => 8 + i * 5)).toBe(false)
    expect(flat('fds', RUN_MS, (_, i) => 40 + i * 3)).toBe(false)
  })

  test('with too few samples is not judged at all', () => {
    expect(() => flat('rss', 60_000, () => 1)).toThrow('too few')
    expect(() => judge({ process: 'a', figure: 'rss', points: [] }, 0)).toThrow('too few')
  })
})

test('the slope is that of a line, and of most points where some are off it', () => {
  const line = points(200_000, (atMs) => 3 * atMs + 7)
  expect(slope(line)).toBeCloseTo(3)
  const off = line.map((point, i) => (i % 5 === 0 ? { ...point, value: 1e9 } : point))
  expect(slope(off)).toBeGreaterThan(2.5)
  expect(slope(off)).toBeLessThan(3.5)
})

test('quantiles', () => {
  expect(median([])).toBe(0)
  expect(median([3, 1, 2])).toBe(2)
  expect(quantile([4, 1, 3, 2], 0.99)).toBeCloseTo(3.97)
  expect(quantile([1, 2, 3, 4], 1)).toBe(4)
})
