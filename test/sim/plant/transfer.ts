/** Planted bugs: what a learner is taught. */

import { assert } from '../../../src/core/base/assert.ts'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { Partition } from '../../../src/core/partition/partition.ts'
import { Replica } from '../../../src/core/partition/replica.ts'
import { SessionTable } from '../../../src/core/partition/session-table.ts'
import { noFaults } from '../fault.ts'
import { any, lostRecord, otherEntries, type Plant, patch, stuck, wrongAnswer } from './plant.ts'

export const transfers: Readonly<Record<string, Plant>> = {
  /** A learner is not told of the sessions. */
  stateNotSent: {
    expects: any('holds other entries|has expired after', wrongAnswer),
    apply: () =>
      patch(
        Replica.prototype,
        'encodeState',
        () =>
          function (this: Replica) {
            const w = new ByteWriter()
            this.epochs.encode(w)
            new SessionTable().encode(w)
            return w.take()
          },
      ),
  },
  /** An earlier transfer, come late on an older link, replaces what was taught since. */
  olderTransferTaken: {
    expects: any(lostRecord, stuck, otherEntries, wrongAnswer, 'in name only'),
    seed: 5,
    options: {
      settings: {
        backups: 1,
        minInSync: 1,
        chunkBytes: 64 * 1024,
        rebalanceDelayMs: 100,
        silentRemoveMs: 15_000,
      },
      mix: { ...noFaults, leave: 1, kill: 1, plot: 1, plots: { lateTransfer: 20 }, everyMs: 2000 },
      faultMs: 20_000,
    },
    apply: () =>
      patch(
        Partition.prototype,
        'onSnapshotBegin',
        (original) =>
          function (this: Partition, from, m) {
            // It is read to be compared, to be remembered, and to be used, if at all.
            const sessions = [Number.POSITIVE_INFINITY, 0]
            let reads = 0
            original.call(this, from, {
              ...m,
              get session() {
                reads++
                return sessions.shift() ?? m.session
              },
            })
            assert(reads === 0 || reads === 3, 'the plant knows how often the session is read')
          },
      ),
  },
}
