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

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** The sides' results, in their order. */
export async function hold(
  sides: readonly Side[],
  load: Load,
  settings: { readonly rounds: number; readonly durationMs: number },
): Promise<Result[]> {
  const measured: Measured[][] = sides.map(() => [])
  for (let round = 0; round <= settings.rounds; round++)
    for (const index of orderOf(sides.length, round)) {
      collect()
      const turn = await sides[index]!.measure(load, settings.durationMs)
      if (round > 0) measured[index]!.push(turn)
    }
  return sides.map(({ name, version }, index) => resultOf(name, version, measured[index]!))
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
