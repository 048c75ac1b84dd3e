/** Planted bugs: what a backup keeps of its log, and how it tells whether that is the owner's. */

import { Partition } from '../../../src/core/partition/partition.ts'
import { BackupLog } from '../../../src/core/replication/backup-log.ts'
import { EpochTable } from '../../../src/core/replication/epoch-table.ts'
import { noFaults } from '../fault.ts'
import type { RunOptions } from '../simulation.ts'
import { any, lostRecord, type Plant, patch, wrongAnswer } from './plant.ts'

/** Owners die whose last records have reached only some of their backups. */
const splitTails: Omit<RunOptions, 'seed'> = {
  members: 4,
  settings: { backups: 2, minInSync: 1 },
  mix: { ...noFaults, plot: 1, plots: { splitTail: 20 } },
  faultMs: 20_000,
}

export const logMatching: Readonly<Record<string, Plant>> = {
  /** Logs are matched by seq alone. */
  seqOnlyMatch: {
    expects: any(lostRecord, wrongAnswer, 'holds other entries'),
    seed: 5,
    options: splitTails,
    apply: () => patch(EpochTable.prototype, 'at', () => () => 1),
  },
  /** Whoever takes over writes on under the epoch of the first owner. */
  epochNotBegun: {
    expects: any(lostRecord, wrongAnswer, 'holds other entries'),
    seed: 5,
    options: splitTails,
    apply: () =>
      patch(
        EpochTable.prototype,
        'begin',
        (original) =>
          function (this: EpochTable, epoch, firstSeq) {
            if (this.newest === 0) original.call(this, epoch, firstSeq)
          },
      ),
  },
  /** A backup keeps what another epoch has written where the owner has something else, and goes on behind it. */
  noTruncate: {
    expects: any(lostRecord, wrongAnswer, 'holds other entries'),
    seed: 5,
    options: splitTails,
    apply: () => {
      let blindAbove = Number.POSITIVE_INFINITY
      let epoch = 0
      const restoreAt = patch(
        EpochTable.prototype,
        'at',
        (original) =>
          function (this: EpochTable, seq) {
            return seq > blindAbove ? epoch : original.call(this, seq)
          },
      )
      const restoreReplicate = patch(
        BackupLog.prototype,
        'replicate',
        (original) =>
          function (this: BackupLog, m) {
            blindAbove = m.prevSeq
            epoch = m.recordsEpoch
            try {
              return original.call(this, m)
            } finally {
              blindAbove = Number.POSITIVE_INFINITY
            }
          },
      )
      return () => {
        restoreReplicate()
        restoreAt()
      }
    },
  },
  /** A backup that becomes the owner cuts off what it does not yet know to be committed. */
  truncateToCommit: {
    expects: any(lostRecord),
    seed: 5,
    options: { mix: { ...noFaults, kill: 1, everyMs: 1500 }, faultMs: 15_000 },
    apply: () =>
      patch(
        Partition.prototype,
        'adopt',
        (original) =>
          function (this: Partition, config, now) {
            const { backup, replica, unresolved } = this
            if (backup && replica && unresolved?.id === config.id) {
              replica.store.truncate(backup.commit)
              replica.epochs.truncate(backup.commit)
            }
            original.call(this, config, now)
          },
      ),
  },
}
