/** Planted bugs: what is moved, kept or dropped when blocks are compacted, and when it takes effect. */

import { BackupLog } from '../../../src/core/replication/backup-log.ts'
import { Block } from '../../../src/core/store/block-pool.ts'
import { BlockTable } from '../../../src/core/store/block-table.ts'
import { Compaction } from '../../../src/core/store/compaction.ts'
import { MapIndex } from '../../../src/core/store/index.ts'
import { bareBytesAt } from '../../../src/core/store/record.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

/** Small histories, so that blocks become plain and are compacted. */
const busy = { settings: { historyBytes: 0 }, mix: noFaults, faultMs: 40_000 } as const

export const compactions: Readonly<Record<string, Plant>> = {
  /** A record is moved, and its index entry points to where it was. */
  moveNotIndexed: {
    expects: /failed|answer:|not linearizable/,
    options: busy,
    apply: () => patch(MapIndex.prototype, 'move', () => () => true),
  },
  /** Of the records that live in a block every other is not moved. */
  liveDropped: {
    expects: /failed|answer:|holds other entries|has \d+ entries/,
    options: busy,
    apply: () => {
      let compacting = false
      let looks = 0
      const restoreStep = patch(
        Compaction.prototype,
        'step',
        (original) =>
          function (this: Compaction, records) {
            compacting = true
            const more = original.call(this, records)
            compacting = false
            return more
          },
      )
      const restoreNext = patch(
        Block.prototype,
        'nextLive',
        (original) =>
          function (this: Block, offset) {
            const at = original.call(this, offset)
            return compacting && at >= 0 && looks++ % 2 === 0 ? original.call(this, at + 8) : at
          },
      )
      return () => {
        restoreNext()
        restoreStep()
      }
    },
  },
  /** What is superseded goes on to live in its block, though nothing counts it. */
  deadKept: {
    expects: /failed|answer:|rows end with|holds other entries|has \d+ entries/,
    options: busy,
    apply: () =>
      patch(
        BlockTable.prototype,
        'kill',
        () =>
          function (this: BlockTable, block, offset) {
            const bytes = bareBytesAt(block.bytes, offset)
            block.liveBytes -= bytes
            this.liveBytes -= bytes
            if (!block.inTail) this.plainLive -= bytes
            return bytes
          },
      ),
  },
  /** A backup lets records take effect that are not committed, so that compaction may move and drop what they supersede. */
  appliedUncommitted: {
    expects: /commits another record|never cut off|can be truncated|failed|another record is committed|LOST/,
    seed: 10,
    options: {
      members: 4,
      settings: { backups: 2, minInSync: 1 },
      mix: { ...noFaults, plot: 1, kill: 0.5, everyMs: 1500 },
    },
    apply: () =>
      patch(
        BackupLog.prototype,
        'replicate',
        (original) =>
          function (this: BackupLog, m) {
            m.commit = Number.MAX_SAFE_INTEGER
            return original.call(this, m)
          },
      ),
  },
}
