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
  /** It takes many seeds to show: not for the regular tests. */
  readonly slow?: boolean
}

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
