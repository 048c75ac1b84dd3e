/** Planted bugs: what a read from the owner's own process may not leave out. */

import { LocalReads } from '../../../src/core/partition/local-reads.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch, wrongAnswer } from './plant.ts'

export const localReads: Readonly<Record<string, Plant>> = {
  /** What is at the head is shown, committed or not. */
  localUncommitted: {
    expects: new RegExp(wrongAnswer),
    seed: 8,
    apply: () =>
      patch(
        LocalReads.prototype,
        'readBytes',
        (original) =>
          function (this: LocalReads, _dependsOn, bytes, start, end) {
            original.call(this, 0, bytes, start, end)
          },
      ),
  },
  /** No lease is asked for: what could be wrong with a store in one's own memory? */
  localNoLease: {
    expects: new RegExp(wrongAnswer),
    seed: 5,
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { sleepingOwner: 10 } },
      faultMs: 30_000,
    },
    apply: () =>
      patch(
        LocalReads.prototype,
        'answer',
        (original) =>
          function (this: LocalReads, view, now, answer) {
            const restore = patch(OwnerLog.prototype, 'leased', () => () => true)
            try {
              return original.call(this, view, now, answer)
            } finally {
              restore()
            }
          },
      ),
  },
}
