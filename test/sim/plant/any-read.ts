/** Planted bugs: what a backup that answers reads may not leave out, and what its owner may not vouch for. */

import { Pulse } from '../../../src/core/engine/pulse.ts'
import { BackupLog } from '../../../src/core/replication/backup-log.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import type { RunOptions } from '../simulation.ts'
import { any, type Plant, patch } from './plant.ts'

const options: Omit<RunOptions, 'seed'> = { anyReads: true }
const stale = any('any read: .* not ')
const goneBack = any('any read: .* after', 'after it had seen')

export const anyReads: Readonly<Record<string, Plant>> = {
  /** A backup answers however old its state may be. */
  ageNotProven: {
    expects: stale,
    seed: 12,
    options,
    apply: () => patch(BackupLog.prototype, 'isFresh', () => () => true),
  },
  /** A backup answers whatever the client has seen before. */
  seenNotHeeded: {
    expects: goneBack,
    seed: 4,
    options,
    apply: () => patch(BackupLog.prototype, 'reaches', () => () => true),
  },
  /** An owner vouches for its commit though another one may have acknowledged more. */
  vouchedWithoutLease: {
    expects: any('any read: ', 'after it had seen'),
    seed: 109,
    options,
    apply: () =>
      patch(
        Pulse.prototype,
        'beat',
        (original) =>
          function (this: Pulse, now) {
            const restore = patch(OwnerLog.prototype, 'leased', () => () => true)
            try {
              original.call(this, now)
            } finally {
              restore()
            }
          },
      ),
  },
  /** Of two replicas that speak of one epoch, each may know of another commit. */
  seenByEpochAlone: {
    expects: goneBack,
    seed: 4,
    options,
    apply: () =>
      patch(
        BackupLog.prototype,
        'reaches',
        () =>
          function (this: BackupLog, epoch) {
            return this.toldEpoch >= epoch
          },
      ),
  },
  /** What was seen may have stood at the end of a log of which a later epoch kept less. */
  seenBySeqAlone: {
    expects: goneBack,
    seed: 76,
    options,
    apply: () =>
      patch(
        BackupLog.prototype,
        'reaches',
        () =>
          function (this: BackupLog, _epoch, seq) {
            return this.commit >= seq
          },
      ),
  },
}
