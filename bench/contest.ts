/**
 * Sides against each other. In every round each side has its turn, and each round begins with another side, so that
 * what drifts on the machine meets all alike. A turn begins with a full collection: nobody pays for another's garbage.
 * The first round warms up and does not count.
 */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Load, Measured, Side } from './side.ts'
import { median, type Percentiles, percentilesOf, type Spread, spreadOf } from './statistics.ts'

export interface Result {
  readonly name: string
  readonly version: string
  /** The median of the rounds. */
  readonly value: number
  readonly rounds: readonly number[]
  readonly spread: Spread
  /** Of all samples of all rounds, where calls were timed. */
  readonly percentiles: Percentiles | null
}

/** Whose turn it is when, in round `round` of `count` sides. */
export function orderOf(count: number, round: number): number[] {
  return Array.from({ length: count }, (_, i) => (i + round) % count)
}

/** Longer than any call may take that ends at all. */
const HANG_MS = 30_000

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/**
 * The sides' results, in their order. A rival that fails is left out from there on and told to `onFailure`; that ours
 * fails, the first side, is a failure of the benchmark.
 */
export async function hold(
  sides: readonly Side[],
  load: Load,
  settings: { readonly rounds: number; readonly durationMs: number },
  onFailure: (side: Side, error: unknown) => void,
): Promise<Result[]> {
  const measured: Measured[][] = sides.map(() => [])
  const failed = new Set<Side>()
  for (let round = 0; round <= settings.rounds; round++)
    for (const index of orderOf(sides.length, round)) {
      const side = sides[index]!
      if (failed.has(side)) continue
      collect()
      try {
        const turn = await measureWithin(side, load, settings.durationMs)
        if (round > 0) measured[index]!.push(turn)
      } catch (error) {
        if (index === 0) throw error
        failed.add(side)
        onFailure(side, error)
      }
    }
  return sides.flatMap((side, index) =>
    failed.has(side) ? [] : [resultOf(side.name, side.version, measured[index]!)],
  )
}

/** A client that has lost a call without saying so must not hold up the rest. */
export async function measureWithin(side: Side, load: Load, durationMs: number): Promise<Measured> {
  const limitMs = durationMs + HANG_MS
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`calls did not end within ${limitMs} ms`)), limitMs)
  })
  try {
    return await Promise.race([side.measure(load, durationMs), limit])
  } finally {
    clearTimeout(timer)
  }
}

export function resultOf(name: string, version: string, measured: readonly Measured[]): Result {
  const rounds = measured.map(({ value }) => value)
  const times = measured.flatMap(({ timesMs }) => (timesMs === undefined ? [] : [timesMs]))
  return {
    name,
    version,
    value: median(rounds),
    rounds,
    spread: spreadOf(rounds),
    percentiles: times.length === 0 ? null : percentilesOf(times),
  }
}
