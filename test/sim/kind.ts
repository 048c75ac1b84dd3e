/**
 * The kinds of runs: which faults a run may have beyond the usual ones. Where a campaign takes all of them, the seed
 * says which one it is, so that a number is all it takes to go the same way again.
 */

import { seededRandom } from '../../src/core/base/random.ts'
import type { RunOptions } from './simulation.ts'

/** `rollback`: the configuration log loses its end. `loss`: all replicas of a partition may die, with proof. */
export type RunKind = (typeof runKinds)[number]

export const runKinds = ['default', 'rollback', 'loss'] as const

export const kindOptions: Readonly<Record<RunKind, Omit<RunOptions, 'seed'>>> = {
  default: {},
  rollback: { rollback: true },
  loss: { loss: true },
}

/** Keeps this draw apart from the first one of the run itself, which is of the same seed. */
const KIND_SALT = 0x6b_69_6e_64

/** The kind that a seed is of, where all are wanted: 60, 25 and 15 of a hundred. */
export function kindOf(seed: number): RunKind {
  const x = seededRandom(seed ^ KIND_SALT).next()
  return x < 0.6 ? 'default' : x < 0.85 ? 'rollback' : 'loss'
}

const ANY_SALT = 0x61_6e_79

/** One in four has clients that read from backups. Drawn beside the run itself, so that the others draw what they drew without it. */
export function readsAny(seed: number): boolean {
  return seededRandom(seed ^ ANY_SALT).next() < 0.25
}
