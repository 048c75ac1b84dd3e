/** Planted bugs: what a member makes of a change that it has asked for and of which the log has not shown the outcome. */

import { Engine } from '../../../src/core/engine/engine.ts'
import type { PartitionConfig } from '../../../src/core/membership/config.ts'
import { decodeMessage } from '../../../src/core/membership/item.ts'
import { Owner } from '../../../src/core/partition/owner.ts'
import { ControlStore } from '../control-store.ts'
import { noFaults } from '../fault.ts'
import { Simulation } from '../simulation.ts'
import { any, lostRecord, otherEntries, type Plant, patch, twoOwners, wrongAnswer } from './plant.ts'

const ABANDON_AFTER_MS = 500

export const proposals: Readonly<Record<string, Plant>> = {
  /** A change that does not show in the log soon is given up, although it can still land. */
  abandonProposal: {
    expects: any(lostRecord, twoOwners, wrongAnswer, otherEntries),
    seed: 5,
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, kill: 1, plot: 1, plots: { splitAddition: 5 }, everyMs: 3000 },
    },
    apply: () => {
      const sinceMs = new WeakMap<PartitionConfig, number>()
      return patch(
        Owner.prototype,
        'round',
        (original) =>
          function (this: Owner, now, epoch) {
            const { unresolved, log } = this
            if (unresolved?.owner === this.context.self) {
              if (!sinceMs.has(unresolved)) sinceMs.set(unresolved, now.monoMs)
              if (now.monoMs - sinceMs.get(unresolved)! > ABANDON_AFTER_MS) {
                this.unresolved = undefined
                const { adding } = log
                if (adding !== undefined) this.forget(adding)
              }
            }
            original.call(this, now, epoch)
          },
      )
    },
  },
  /** A backup is the owner as soon as it has asked to be. */
  activateBeforeWin: {
    expects: any(twoOwners, lostRecord, wrongAnswer),
    seed: 5,
    options: {
      settings: { backups: 2, minInSync: 1 },
      mix: { ...noFaults, kill: 1, pause: 1, cut: 1, everyMs: 1500 },
      faultMs: 15_000,
    },
    apply: () =>
      patch(
        Engine.prototype,
        'tick',
        (original) =>
          function (this: Engine, now) {
            original.call(this, now)
            for (const partition of this.partitions) {
              const { backup, unresolved } = partition
              if (backup && unresolved) partition.adopt(unresolved, now)
            }
          },
      ),
  },
  /** What the store has taken counts as decided, whatever stands before it. */
  trustAck: {
    expects: any(twoOwners, lostRecord, wrongAnswer),
    seed: 16,
    options: { mix: { ...noFaults, cut: 1, pause: 1, everyMs: 2000 } },
    apply: () => {
      const simulations = new WeakMap<ControlStore, Simulation>()
      const restoreStart = patch(
        Simulation.prototype,
        'start',
        (original) =>
          function (this: Simulation, host) {
            simulations.set(this.store, this)
            original.call(this, host)
          },
      )
      const restoreAppend = patch(
        ControlStore.prototype,
        'append',
        (original) =>
          function (this: ControlStore, bytes, id, expectedSeq, by) {
            const before = this.lastSeq
            original.call(this, bytes, id, expectedSeq, by)
            const member = simulations.get(this)?.members.find(({ host }) => host === by)
            if (this.lastSeq === before || !member) return
            this.world.after(this.delay(), () =>
              member.exec(() => {
                for (const item of decodeMessage(bytes)?.items ?? []) {
                  if (item.kind !== 'config') continue
                  const partition = member.engine.partitions[item.next.partition]
                  if (partition?.unresolved?.id === item.next.id) partition.adopt(item.next, member.clocks())
                }
              }),
            )
          },
      )
      return () => {
        restoreAppend()
        restoreStart()
      }
    },
  },
}
