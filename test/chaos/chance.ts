/** What is drawn in chaos runs, from a seeded generator. */

import { type Random, randomInt } from '../../src/core/base/random.ts'

/** A whole number from `min` to `max`. */
export function between(random: Random, min: number, max: number): number {
  return min + randomInt(random, max - min + 1)
}

export function pick<T>(random: Random, from: readonly T[]): T {
  if (from.length === 0) throw new Error('there is nothing to pick from')
  return from[randomInt(random, from.length)]!
}

/** All of them, in a drawn order. */
export function shuffled<T>(random: Random, from: readonly T[]): T[] {
  const rest = [...from]
  const drawn: T[] = []
  while (rest.length > 0) drawn.push(...rest.splice(randomInt(random, rest.length), 1))
  return drawn
}
