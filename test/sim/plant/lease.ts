/** Planted bugs: what lets an owner answer by itself, and what keeps a backup from becoming another. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { Partition } from '../../../src/core/partition/partition.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const leases: Readonly<Record<string, Plant>> = {
  /** Reads are answered whether anybody follows this owner or not. */
  noLease: {
    expects: /two owners serve|not linearizable|after it had seen/,
    apply: () => patch(OwnerLog.prototype, 'leased', () => () => true),
  },
  /** A lease counts from when its grant arrived. */
  leaseFromReceipt: {
    expects: /two owners serve|not linearizable|after it had seen/,
    slow: true,
    options: { mix: { ...noFaults, plot: 1 } },
    apply: () =>
      patch(
        Owner.prototype,
        'onGrant',
        (original) =>
          function (this: Owner, from, _sentMonoMs, _sentWallMs, now) {
            original.call(this, from, now.monoMs, now.wallMs, now)
          },
      ),
  },
  /** A backup that has begun to take over still follows the old owner. */
  noFence: {
    expects: /two owners serve|not linearizable/,
    apply: () =>
      patch(
        Partition.prototype,
        'onBeacon',
        () =>
          function (this: Partition) {
            return this.backup !== undefined
          },
      ),
  },
}
