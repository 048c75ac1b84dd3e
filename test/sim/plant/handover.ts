/** Planted bugs: what an owner does on while it hands over. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const handovers: Readonly<Record<string, Plant>> = {
  /** Calls are served while the partition is handed over. */
  serveDuringHandover: {
    expects: /in name only/,
    apply: () =>
      patch(
        Owner.prototype,
        'handOver',
        (original) =>
          function (this: Owner, to) {
            original.call(this, to)
            Object.defineProperty(this, 'stopped', { value: false })
          },
      ),
  },
  /** Expiry and eviction go on while the partition is handed over. */
  housekeepingWhenStopped: {
    expects: /in name only/,
    seed: 6,
    slow: true,
    options: {
      members: 4,
      settings: { rebalanceDelayMs: 100 },
      mix: { ...noFaults, leave: 1, everyMs: 2000 },
    },
    apply: () =>
      patch(
        Owner.prototype,
        'work',
        (original) =>
          function (this: Owner, now) {
            const more = original.call(this, now)
            return (this.stopped && this.housekeeping.work(now)) || more
          },
      ),
  },
}
