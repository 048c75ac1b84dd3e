/** Planted bugs: how a learner becomes a backup. */

import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { Transfer } from '../../../src/core/replication/transfer.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const additions: Readonly<Record<string, Plant>> = {
  /** A learner is not waited for before it is added. */
  noUnion: {
    expects: /LOST|commits another record|never cut off/,
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, breakLink: 1, plot: 1, everyMs: 1000 },
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
  /** A learner counts as level at the base of its transfer. */
  learnerAtBase: {
    expects: /holds other entries|not linearizable|commits another record|rows end with|LOST/,
    slow: true,
    options: {
      members: 4,
      settings: { backups: 2, minInSync: 1, chunkBytes: 64 },
      mix: { ...noFaults, breakLink: 1, leave: 0.5, plot: 1, everyMs: 1000 },
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
