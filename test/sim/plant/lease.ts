/** Planted bugs: what lets an owner answer by itself, and what keeps a backup from becoming another. */

import { Engine } from '../../../src/core/engine/engine.ts'
import { nextEpoch } from '../../../src/core/membership/config.ts'
import type { Now } from '../../../src/core/partition/context.ts'
import { Owner } from '../../../src/core/partition/owner.ts'
import { Partition } from '../../../src/core/partition/partition.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { noFaults } from '../fault.ts'
import type { RunOptions } from '../simulation.ts'
import { any, type Plant, patch, twoOwners, wrongAnswer } from './plant.ts'

const doubled = any(twoOwners, wrongAnswer)

/** Promises that reach their owner late, and nothing from it that reaches its backups meanwhile. */
const staleGrants: Omit<RunOptions, 'seed'> = {
  settings: { backups: 1, minInSync: 1 },
  mix: { ...noFaults, plot: 1, plots: { staleGrant: 5 } },
  faultMs: 20_000,
}

export const leases: Readonly<Record<string, Plant>> = {
  /** Reads are answered whether anybody follows this owner or not. */
  noLease: {
    expects: doubled,
    seed: 6,
    apply: () => patch(OwnerLog.prototype, 'leased', () => () => true),
  },
  /** A lease counts from when its grant arrived. */
  leaseFromReceipt: {
    expects: doubled,
    seed: 11,
    options: staleGrants,
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
  /** A backup takes over while its promise still holds. */
  shortGrace: {
    expects: doubled,
    seed: 4,
    options: staleGrants,
    apply: () =>
      patch(
        Engine.prototype,
        'tick',
        (original) =>
          function (this: Engine, now) {
            for (const partition of this.partitions) {
              const { backup, config } = partition
              const silentMs = now.monoMs - (backup?.promisedMonoMs ?? now.monoMs)
              if (config && silentMs > SHORT_GRACE_MS)
                partition.takeOver('silent owner', nextEpoch(config.epoch, this.view.gen))
            }
            original.call(this, now)
          },
      ),
  },
  /** Calls are judged by the time of the last tick, however long ago that was. */
  cachedNow: {
    expects: any(twoOwners, wrongAnswer, 'expires at .* what is to live', 'closes session .* after'),
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { sleepingOwner: 10 } },
      faultMs: 30_000,
    },
    apply: () => {
      const ticks = new WeakMap<Engine, Now>()
      const restoreTick = patch(
        Engine.prototype,
        'tick',
        (original) =>
          function (this: Engine, now) {
            ticks.set(this, now)
            original.call(this, now)
          },
      )
      const restoreFrame = patch(
        Engine.prototype,
        'clientFrame',
        (original) =>
          function (this: Engine, client, bytes, start, end, now) {
            return original.call(this, client, bytes, start, end, ticks.get(this) ?? now)
          },
      )
      return () => {
        restoreFrame()
        restoreTick()
      }
    },
  },
  /** A backup that has begun to take over still follows the old owner. */
  noFence: {
    expects: doubled,
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

const SHORT_GRACE_MS = 800
