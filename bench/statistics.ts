/**
 * What is said of many samples: the median of rounds, their spread, and percentiles. Percentiles are read from all
 * samples, sorted, by nearest rank: no histogram, no mean of percentiles, nothing interpolated.
 */

export type Spread = readonly [min: number, max: number]

/** Of all samples of a side, in milliseconds. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** The upper of the two in the middle where the number is even; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

export function spreadOf(values: readonly number[]): Spread {
  return [Math.min(...values), Math.max(...values)]
}

/** The smallest sample that at least `percent` of all are not above; `sorted` ascends. NaN of nothing. */
export function percentile(sorted: Float64Array, percent: number): number {
  const rank = Math.ceil((percent / 100) * sorted.length)
  return sorted[Math.max(0, rank - 1)] ?? Number.NaN
}

export function percentilesOf(rounds: readonly Float64Array[]): Percentiles {
  const all = new Float64Array(rounds.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const samples of rounds) {
    all.set(samples, at)
    at += samples.length
  }
  all.sort()
  return { p50: percentile(all, 50), p99: percentile(all, 99), p999: percentile(all, 99.9) }
}
