/** Planted bugs: what expires, idles away and is evicted. */

import { Housekeeping } from '../../../src/core/partition/housekeeping.ts'
import { Partition } from '../../../src/core/partition/partition.ts'
import type { Replica } from '../../../src/core/partition/replica.ts'
import { Block } from '../../../src/core/store/block-pool.ts'
import { Entries } from '../../../src/core/store/entries.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import { blankRecord, RecordKind, RecordView, writeRecord } from '../../../src/core/store/record.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

const calm = { mix: noFaults, faultMs: 20_000 } as const

/** Drops what has expired from a replica's entries, and leaves no record of it. */
function dropExpired({ store }: Replica, nowMs: number): void {
  let entries: Entries | undefined
  const restore = patch(
    Entries.prototype,
    'find',
    (original) =>
      function (this: Entries, ...call) {
        entries = this
        return original.apply(this, call)
      },
  )
  const due: { map: number; hash: number; key: Buffer }[] = []
  store.expired(nowMs, 64, ({ map, hash, bytes, keyStart, keyEnd }) =>
    due.push({ map, hash, key: Buffer.from(bytes.subarray(keyStart, keyEnd)) }),
  )
  for (const { map, hash, key } of due) {
    store.find(map, hash, key, 0, key.length)
    const scratch = new Block(1024)
    const kind = RecordKind.remove
    writeRecord(scratch.bytes, 0, 1, { ...blankRecord, kind, map, hash, keyBytes: key, keyEnd: key.length })
    entries!.apply(scratch, 0)
  }
  restore()
}

export const expiries: Readonly<Record<string, Plant>> = {
  /** A backup drops what has expired by its own clock. */
  backupExpires: {
    expects: /has \d+ entries|holds other entries/,
    options: calm,
    apply: () =>
      patch(
        Partition.prototype,
        'work',
        (original) =>
          function (this: Partition, now) {
            if (this.role === 'backup') dropExpired(this.replica!, now.wallMs)
            return original.call(this, now)
          },
      ),
  },
  /** An owner drops what has expired and leaves no record of it. */
  expiryNotLogged: {
    expects: /has \d+ entries|holds other entries|answer:/,
    options: calm,
    apply: () =>
      patch(
        Partition.prototype,
        'work',
        (original) =>
          function (this: Partition, now) {
            if (this.owner && !this.owner.stopped) dropExpired(this.owner.replica, now.wallMs)
            return original.call(this, now)
          },
      ),
  },
  /** What has expired is answered until it has been swept. */
  expiredAnswered: {
    expects: /answer: .* was not there|answer: .* that was not there/,
    options: calm,
    apply: () => {
      const restoreDue = patch(Housekeeping.prototype, 'isDue', () => () => false)
      const restoreExpired = patch(Housekeeping.prototype, 'isExpired', () => () => false)
      return () => {
        restoreExpired()
        restoreDue()
      }
    },
  },
  /** The entry to be evicted may be the one that has just been written. */
  newestEvicted: {
    expects: /evicts at \d+ what it has just stored|expires at \d+ what/,
    options: calm,
    apply: () =>
      patch(
        LogStore.prototype,
        'sample',
        (original) =>
          function (this: LogStore, map, random, count, visit) {
            original.call(this, map, random, count, (record, stamp) => {
              const newest = record.seq === this.head
              const moved = Object.assign(Object.create(RecordView.prototype), record, newest && { seq: 0 })
              visit(moved, newest ? 1 : stamp)
            })
          },
      ),
  },
  /** Entries are evicted from a map that is not full. */
  evictedFromRoom: {
    expects: /evicts at \d+ from \d+ entries/,
    seed: 2,
    options: calm,
    apply: () => {
      let storing = false
      const restoreStored = patch(
        Housekeeping.prototype,
        'stored',
        (original) =>
          function (this: Housekeeping, ...call) {
            storing = true
            original.apply(this, call)
            storing = false
          },
      )
      const restoreCount = patch(
        LogStore.prototype,
        'count',
        (original) =>
          function (this: LogStore, map) {
            return original.call(this, map) * (storing ? 2 : 1)
          },
      )
      return () => {
        restoreCount()
        restoreStored()
      }
    },
  },
  /** Only the sweep notes when an entry was used. */
  useNotNoted: {
    expects: /expires at \d+ what is to live/,
    seed: 3,
    options: { ...calm, faultMs: 40_000 },
    apply: () => patch(Housekeeping.prototype, 'touched', () => () => {}),
  },
}
