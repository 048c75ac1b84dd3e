/**
 * Whether a figure is flat: its robust slope over the second half of a run, against a bound for each hour.
 *
 * The slope is Theil and Sen's, the median of the slopes between all pairs of samples: up to 29 % of them may be
 * anything, such as what is held while a member joins. The first half is warm-up: pools, histories and session
 * tables fill (a session is remembered for ten minutes). A short run has no second half worth an hour's bound; there only
 * gross growth is judged, by what has come within the half.
 */

export interface Point {
  readonly atMs: number
  readonly value: number
}

export type FigureName = 'rss' | 'heap' | 'external' | 'fds' | 'handles' | 'timers' | 'threads'

/** A figure of one process over a run. */
export interface Series {
  readonly process: string
  readonly figure: FigureName
  readonly points: readonly Point[]
}

export interface Verdict {
  readonly process: string
  readonly figure: FigureName
  readonly samples: number
  /** Of the second half, and so are the others. */
  readonly median: number
  readonly max: number
  readonly slopePerHour: number
  /** The growth that would be too much: in an hour, or, where only gross growth is judged, within the half. */
  readonly bound: number
  readonly growth: number
  readonly flat: boolean
}

interface Bound {
  /** Of the median. */
  readonly relative: number
  readonly absolute: number
}

const MIB = 1024 * 1024
const HOUR_MS = 3_600_000

/** A run shorter than this is judged for gross growth only. */
export const GROSS_BELOW_MS = 600_000

const PER_HOUR: Readonly<Record<FigureName, Bound>> = {
  rss: { relative: 0.1, absolute: 16 * MIB },
  heap: { relative: 0.1, absolute: 4 * MIB },
  external: { relative: 0.1, absolute: 8 * MIB },
  fds: { relative: 0, absolute: 3 },
  handles: { relative: 0, absolute: 3 },
  timers: { relative: 0, absolute: 3 },
  threads: { relative: 0, absolute: 1 },
}

const GROSS: Readonly<Record<FigureName, Bound>> = {
  rss: { relative: 0.25, absolute: 48 * MIB },
  heap: { relative: 0.4, absolute: 12 * MIB },
  external: { relative: 0.25, absolute: 48 * MIB },
  fds: { relative: 0, absolute: 10 },
  handles: { relative: 0, absolute: 10 },
  timers: { relative: 0, absolute: 10 },
  threads: { relative: 0, absolute: 3 },
}

/** Fewer samples than this in the second half say nothing, and what says nothing is not flat. */
const SAMPLES_MIN = 4

/** @throws Error where a series has too few samples to be judged */
export function judge(series: Series, runMs: number): Verdict {
  const { process, figure, points } = series
  const gross = runMs < GROSS_BELOW_MS
  const half = secondHalf(points)
  if (half.length < SAMPLES_MIN)
    throw new Error(`${process}: ${half.length} samples of ${figure} in the second half, too few to judge`)
  const values = half.map(({ value }) => value)
  const middle = median(values)
  const slopePerHour = slope(half) * HOUR_MS
  const { relative, absolute } = (gross ? GROSS : PER_HOUR)[figure]
  const bound = Math.max(relative * middle, absolute)
  const halfMs = half.at(-1)!.atMs - half[0]!.atMs
  const growth = gross ? (slopePerHour * halfMs) / HOUR_MS : slopePerHour
  return {
    process,
    figure,
    samples: half.length,
    median: middle,
    max: Math.max(...values),
    slopePerHour,
    bound,
    growth,
    flat: growth <= bound,
  }
}

function secondHalf(points: readonly Point[]): readonly Point[] {
  if (points.length === 0) return points
  const middleMs = (points[0]!.atMs + points.at(-1)!.atMs) / 2
  return points.filter(({ atMs }) => atMs >= middleMs)
}

/** Theil–Sen, per millisecond. */
export function slope(points: readonly Point[]): number {
  const slopes: number[] = []
  for (const [i, a] of points.entries())
    for (const b of points.slice(i + 1))
      if (b.atMs !== a.atMs) slopes.push((b.value - a.value) / (b.atMs - a.atMs))
  return median(slopes)
}

/** 0 of nothing. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The value at a share of the order, between two of them their mean by distance. 0 of nothing. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return 0
  const sorted = Float64Array.from(values).sort()
  const at = share * (sorted.length - 1)
  const low = sorted[Math.floor(at)]!
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at))
}
