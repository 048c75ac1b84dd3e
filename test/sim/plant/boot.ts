/** Planted bugs: a store that has started again, and may have lost the end of the log. */

import { ConfigLog } from '../../../src/core/engine/config-log.ts'
import { LogMemory } from '../../../src/core/engine/log-memory.ts'
import { ControlHandle } from '../control-store.ts'
import { noFaults } from '../fault.ts'
import type { RunOptions } from '../simulation.ts'
import { any, lostRecord, type Plant, patch, stuck, twoOwners, wrongAnswer } from './plant.ts'

const diverged = any(lostRecord, twoOwners, wrongAnswer, stuck, 'both number')

/** An owner alone knows that it needs its backups no longer; the log forgets it, and the owner sleeps. */
const forgottenShrinks: Omit<RunOptions, 'seed'> = {
  rollback: true,
  settings: { minInSync: 1 },
  mix: { ...noFaults, rollback: 0.01, plot: 1, plots: { forgottenShrink: 50 }, everyMs: 1e9 },
  faultMs: 20_000,
}

export const boots: Readonly<Record<string, Plant>> = {
  /** A log that shows less than before is believed, as long as its store seems to be the same. */
  noRewindCheck: {
    expects: /does not recover|are both number|is number \d+, and was|LOST|two owners/,
    seed: 17,
    slow: true,
    options: {
      rollback: true,
      mix: { ...noFaults, rollback: 1, leave: 1, kill: 1, everyMs: 2000 },
      faultMs: 40_000,
    },
    apply: believed,
  },
  /** Whoever sees another incarnation of the store than the log names records a boot at once, without a second look. */
  bootWithoutVerify: {
    expects: /does not recover/,
    seed: 4,
    slow: true,
    options: { mix: { ...noFaults, storeDown: 1, everyMs: 4000 } },
    apply: () => {
      const seen = new WeakMap<ConfigLog, string>()
      let boots = 0
      const restoreOpen = patch(
        ConfigLog.prototype,
        'open',
        (original) =>
          function (this: ConfigLog, evidence, checkpoint) {
            seen.set(this, evidence)
            original.call(this, evidence, checkpoint)
          },
      )
      const restoreTick = patch(
        ConfigLog.prototype,
        'tick',
        (original) =>
          function (this: ConfigLog, now) {
            const { boot } = this.view
            const evidence = seen.get(this) ?? boot.evidence
            if (this.ready && this.founded && boot.evidence !== evidence) {
              const id = (++boots).toString(16).padStart(32, '0')
              this.ask(`boot ${boot.id}`, { kind: 'boot', id, prev: boot.id, evidence }, now)
            }
            original.call(this, now)
          },
      )
      const restoreVerify = patch(ControlHandle.prototype, 'verify', () => () => {})
      return () => {
        restoreVerify()
        restoreOpen()
        restoreTick()
      }
    },
  },
  /** Nobody notices that the store has started again, and that the log has lost its end. */
  noRollbackGuard: {
    expects: diverged,
    seed: 2,
    options: forgottenShrinks,
    apply: () => {
      const restoreOpen = patch(
        ConfigLog.prototype,
        'open',
        (original) =>
          function (this: ConfigLog, _evidence, checkpoint) {
            original.call(this, 'store 1', checkpoint)
          },
      )
      const restoreTake = believed()
      return () => {
        restoreTake()
        restoreOpen()
      }
    },
  },
  /** A log that has lost its end is used again at once, though some who know more have not been heard. */
  noRollCall: {
    expects: diverged,
    seed: 2,
    options: forgottenShrinks,
    apply: () =>
      patch(
        ConfigLog.prototype,
        'tick',
        (original) =>
          function (this: ConfigLog, now) {
            const { boot } = this.view
            if (this.ready && boot.frozen) this.ask(`thaw ${boot.id}`, { kind: 'thaw', boot: boot.id }, now)
            original.call(this, now)
          },
      ),
  },
}

/** A log is taken for what it shows, though it has shown more. */
function believed(): () => void {
  return patch(
    LogMemory.prototype,
    'take',
    (original) =>
      function (this: LogMemory, view) {
        const fits = original.call(this, view)
        this.rewoundBoot = undefined
        return fits
      },
  )
}
