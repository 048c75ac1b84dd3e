/**
 * Bugs planted on purpose, so that it shows whether the checkers would see them. Each replaces one step of the protocol by
 * what somebody might have written instead, and returns what puts it right again.
 */

import type { RunOptions } from '../simulation.ts'

export interface Plant {
  /** What a checker should find. */
  readonly expects: RegExp
  readonly apply: () => () => void
  /** Under which runs it shows soon. */
  readonly options?: Omit<RunOptions, 'seed'>
  /** A seed that has shown it, which is tried before all others. */
  readonly seed?: number
  /** It takes many seeds to show: not for the regular tests. */
  readonly slow?: boolean
}

// What the checkers say, by what has gone wrong.
export const wrongAnswer = 'not linearizable|after it had seen|answer: |has expired after'
export const lostRecord = 'LOST|commits another record|another record is committed|never cut off'
export const twoOwners = 'two owners serve|two configurations of one epoch'
export const otherEntries = 'holds other entries|rows end with|has \\d+ entries of map'
export const stuck = 'does not recover|do not settle|calls stay open'

/** Any of these. */
export const any = (...what: readonly string[]): RegExp => new RegExp(what.join('|'))

/** Replaces a method; the replacement is given the original. */
export function patch<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = target[name]
  target[name] = make(original)
  return () => {
    target[name] = original
  }
}
