/** Planted bugs: a store that has started again, and may have lost the end of the log. */

import { ConfigLog } from '../../../src/core/engine/config-log.ts'
import { LogMemory } from '../../../src/core/engine/log-memory.ts'
import { ControlHandle } from '../control-store.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const boots: Readonly<Record<string, Plant>> = {
  /** A log that shows less than before is believed, as long as its store seems to be the same. */
  noRewindCheck: {
    expects: /does not recover|are both number|LOST|two owners/,
    options: {
      rollback: true,
      mix: { ...noFaults, rollback: 1, leave: 1, kill: 1, everyMs: 2000 },
      faultMs: 40_000,
    },
    apply: () =>
      patch(
        LogMemory.prototype,
        'take',
        (original) =>
          function (this: LogMemory, view) {
            const fits = original.call(this, view)
            this.rewoundBoot = undefined
            return fits
          },
      ),
  },
  /** Whoever sees another incarnation of the store than the log names records a boot at once, without a second look. */
  bootWithoutVerify: {
    expects: /does not recover/,
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
}
