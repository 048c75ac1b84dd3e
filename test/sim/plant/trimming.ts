/** Planted bugs: what leaves the tail of a log while somebody still needs it. */

import { Watcher } from '../../../src/core/partition/watcher.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const trimmings: Readonly<Record<string, Plant>> = {
  /** The tail is kept for nobody. */
  trimmedUnderReplica: {
    expects: /the log of .* begins at/,
    options: {
      tightness: 'memory',
      settings: { historyBytes: 0, backups: 2, chunkBytes: 64, memoryBytesMax: 2 ** 26 },
      mix: { ...noFaults, leave: 1, cut: 1, everyMs: 1500 },
      faultMs: 40_000,
    },
    apply: () => patch(OwnerLog.prototype, 'floor', () => (head: number) => head + 1),
  },
  /** A watcher whose position has left the log goes on at what is left of it. */
  watcherSkipsGap: {
    expects: /was left out/,
    options: {
      settings: { historyBytes: 0 },
      mix: { ...noFaults, breakLink: 1, everyMs: 500 },
      faultMs: 40_000,
    },
    apply: () => {
      let pumping = false
      const tailFirst = Object.getOwnPropertyDescriptor(LogStore.prototype, 'tailFirst')!
      const first = (store: LogStore): number => tailFirst.get!.call(store) as number
      Object.defineProperty(LogStore.prototype, 'tailFirst', {
        configurable: true,
        get(this: LogStore) {
          return pumping ? 0 : first(this)
        },
      })
      const restoreWalk = patch(
        LogStore.prototype,
        'walkTail',
        (original) =>
          function (this: LogStore, fromSeq, toSeq, visit) {
            return Math.max(original.call(this, Math.max(fromSeq, first(this)), toSeq, visit), fromSeq - 1)
          },
      )
      const restorePump = patch(
        Watcher.prototype,
        'pump',
        (original) =>
          function (this: Watcher) {
            pumping = true
            const more = original.call(this)
            pumping = false
            return more
          },
      )
      return () => {
        restorePump()
        restoreWalk()
        Object.defineProperty(LogStore.prototype, 'tailFirst', tailFirst)
      }
    },
  },
}
