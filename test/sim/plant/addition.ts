/** Planted bugs: how a learner becomes a backup. */

import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { Transfer } from '../../../src/core/replication/transfer.ts'
import { noFaults } from '../fault.ts'
import type { RunOptions } from '../simulation.ts'
import { any, lostRecord, otherEntries, type Plant, patch, twoOwners, wrongAnswer } from './plant.ts'

/** Learners that have been added while their owner cannot see it. */
const splitAdditions: Omit<RunOptions, 'seed'> = {
  settings: { backups: 1, minInSync: 1 },
  mix: { ...noFaults, kill: 1, plot: 1, plots: { splitAddition: 10 }, everyMs: 3000 },
  faultMs: 20_000,
}

export const additions: Readonly<Record<string, Plant>> = {
  /** A learner is not waited for before it is added. */
  noUnion: {
    expects: any(lostRecord),
    seed: 6,
    options: {
      ...splitAdditions,
      members: 4,
      settings: { backups: 2, minInSync: 1 },
    },
    apply: () =>
      patch(
        OwnerLog.prototype,
        'committed',
        () =>
          function (this: OwnerLog, head: number) {
            let commit = head
            for (const peer of this.required) if (!peer.learner && peer.ack < commit) commit = peer.ack
            return commit
          },
      ),
  },
  /** A learner that is being added is waited for by writes alone: reads do without its promise. */
  unionWritesOnly: {
    expects: any(twoOwners, wrongAnswer),
    seed: 3,
    options: splitAdditions,
    apply: () =>
      patch(
        OwnerLog.prototype,
        'leased',
        () =>
          function (this: OwnerLog, monoMs: number, wallMs: number, leaseMs: number) {
            return this.required.every(
              ({ learner, grantedMonoMs, grantedWallMs }) =>
                learner || (monoMs < grantedMonoMs + leaseMs && wallMs < grantedWallMs + leaseMs),
            )
          },
      ),
  },
  /** A learner counts as level as soon as somebody has begun to teach it. */
  expandEarly: {
    expects: any('in name only', 'a required peer cannot be dropped', lostRecord),
    apply: () =>
      patch(
        OwnerLog.prototype,
        'levelLearner',
        () =>
          function (this: OwnerLog, head: number) {
            for (const peer of this.peers.values()) {
              if (!peer.learner) continue
              peer.ack = head
              peer.settled = head
              return peer
            }
            return undefined
          },
      ),
  },
  /** A learner counts as level at the base of its transfer. */
  learnerAtBase: {
    expects: any(otherEntries, wrongAnswer, lostRecord),
    seed: 2,
    slow: true,
    options: {
      members: 4,
      tightness: 'roomy',
      settings: { backups: 2, minInSync: 1, chunkBytes: 64 },
      mix: { ...noFaults, kill: 1, leave: 1, plot: 1, plots: { unfinishedTransfer: 10 }, everyMs: 2000 },
      faultMs: 25_000,
    },
    apply: () =>
      patch(
        Transfer.prototype,
        'sendChunk',
        (original) =>
          function (this: Transfer, ...call) {
            original.apply(this, call)
            if (this.end !== Number.POSITIVE_INFINITY) this.end = this.base
          },
      ),
  },
}
