/** Planted bugs: secondary paths of calls: conditions, refusals, order, confirmed reads, whole maps. */

import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { CallHandler } from '../../../src/core/partition/call-handler.ts'
import { CallOrder } from '../../../src/core/partition/call-order.ts'
import { operationTable } from '../../../src/core/partition/operation.ts'
import { MapIndex } from '../../../src/core/store/index.ts'
import { StoreScan } from '../../../src/core/store/scan.ts'
import { FLAG_CONFIRMED, Operation } from '../../../src/core/wire/message.ts'
import { noFaults } from '../fault.ts'
import { any, type Plant, patch, wrongAnswer } from './plant.ts'

type Row = NonNullable<(typeof operationTable)[number]>

const calm = { mix: noFaults, faultMs: 15_000 } as const

export const calls: Readonly<Record<string, Plant>> = {
  /** A replacement under a condition does not look at it. */
  versionIgnored: {
    expects: /may not have been written|not linearizable/,
    seed: 4,
    options: calm,
    apply: () => {
      const table = operationTable as Record<number, Row>
      const row = table[Operation.replace]!
      table[Operation.replace] = {
        ...row,
        run: (call) => {
          call.argument.bytes[call.argument.offset + 6] = 0
          row.run(call)
        },
      }
      return () => {
        table[Operation.replace] = row
      }
    },
  },
  /** A confirmed read does not wait for anybody's confirmation. */
  confirmedNotAwaited: {
    expects: /not linearizable|after it had seen|answer:/,
    seed: 6,
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { deposedOwner: 20 } },
      faultMs: 40_000,
    },
    apply: () =>
      patch(
        CallHandler.prototype,
        'readBytes',
        (original) =>
          function (this: CallHandler, dependsOn, bytes, start, end) {
            const { owner, client, view, store } = this
            if ((view.flags & FLAG_CONFIRMED) === 0) return original.call(this, dependsOn, bytes, start, end)
            const { era, epoch } = owner.config
            const copy = Uint8Array.prototype.slice.call(bytes, start, end)
            owner.replies.pushBytes(dependsOn, client, view.call, { era, epoch, seq: store.head }, 0, copy)
            owner.replies.release(owner.commit)
          },
      ),
  },
  /** The answer to a read of many keys waits only for what the last of them depends on. */
  manyDependOnLast: {
    expects: any(wrongAnswer),
    seed: 11,
    options: {
      members: 4,
      settings: { backups: 2, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { splitTail: 20 } },
      faultMs: 20_000,
    },
    apply: () => {
      const table = operationTable as Record<number, Row>
      const row = table[Operation.getAll]!
      table[Operation.getAll] = {
        ...row,
        run: (call) => {
          const own = call as { read?: typeof call.read }
          const read = call.read.bind(call)
          own.read = () => read(call.dependsOn)
          try {
            row.run(call)
          } finally {
            delete own.read
          }
        },
      }
      return () => {
        table[Operation.getAll] = row
      }
    },
  },
  /** A call that came behind a refused one is carried out before it. */
  orderNotKept: {
    expects: /change places/,
    seed: 2,
    options: {
      tightness: 'queues',
      settings: { limits: { ...defaultLimits, waitingCallsMax: 2 } },
      mix: { ...noFaults, cut: 1, everyMs: 3000 },
      faultMs: 20_000,
    },
    apply: () => patch(CallOrder.prototype, 'admits', () => () => true),
  },
  /** A full member refuses a write, and carries it out. */
  refusedAndApplied: {
    expects: /not linearizable|answer:/,
    seed: 3,
    options: { tightness: 'memory', mix: noFaults, faultMs: 40_000 },
    apply: () =>
      patch(
        CallHandler.prototype,
        'put',
        (original) =>
          function (this: CallHandler, ...call) {
            const pool = this.owner.context.pool as { maxBytes: number; readonly usedBytes: number }
            const { maxBytes } = pool
            if (pool.usedBytes <= maxBytes * 0.95) return original.apply(this, call)
            const { client, view } = this
            pool.maxBytes = 2 * maxBytes
            try {
              this.fail(client, view.call, new GridError('STORE_FULL', 'planted'))
              original.apply(this, call)
            } finally {
              pool.maxBytes = maxBytes
            }
          },
      ),
  },
  /** Whole maps are read without waiting for what is in them to be committed. */
  rowsUncommitted: {
    expects: /answer:|after it had seen|not linearizable/,
    seed: 2,
    options: { mix: { ...noFaults, kill: 0.5, plot: 1, everyMs: 1500 } },
    apply: () =>
      patch(
        CallHandler.prototype,
        'read',
        (original) =>
          function (this: CallHandler) {
            original.call(this, 0)
          },
      ),
  },
  /** A page goes on a little behind where it has stopped. */
  pageSkips: {
    expects: /on no page/,
    seed: 2,
    options: { ...calm, tightness: 'memory' },
    apply: () =>
      patch(
        MapIndex.prototype,
        'page',
        (original) =>
          function (this: MapIndex, ...call) {
            const next = original.apply(this, call)
            return next < 0 ? next : Math.min(next + 2 ** 29, 2 ** 32 - 1)
          },
      ),
  },
  /** A query does not look at every entry. */
  querySkips: {
    expects: /lacks the row|first rows/,
    options: calm,
    apply: () => {
      let looked = 0
      return patch(
        StoreScan.prototype,
        'nextOf',
        (original) =>
          function (this: StoreScan, map, records, visit) {
            if (records === 1) return original.call(this, map, records, visit)
            return original.call(this, map, records, (record) => {
              if (looked++ % 5 > 0) visit(record)
            })
          },
      )
    },
  },
}
