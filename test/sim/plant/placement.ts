/** Planted bugs: moves of partitions, and what many members must see alike. */

import { ConfigLog } from '../../../src/core/engine/config-log.ts'
import { decodeView, encodeView } from '../../../src/core/membership/checkpoint.ts'
import { decodeMessage, encodeMessage } from '../../../src/core/membership/item.ts'
import { Owner } from '../../../src/core/partition/owner.ts'
import { ControlHandle } from '../control-store.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const placements: Readonly<Record<string, Plant>> = {
  /** A replica is taken out before the one that is to follow it is in sync. */
  movedTooSoon: {
    expects: /a move leaves partition/,
    options: {
      members: 5,
      settings: { backups: 1, minInSync: 1, rebalanceDelayMs: 1000, chunkBytes: 64 },
      mix: { ...noFaults, leave: 1, everyMs: 8000 },
      faultMs: 40_000,
    },
    apply: () =>
      patch(
        Owner.prototype,
        'round',
        (original) =>
          function (this: Owner, now, epoch) {
            const spare = this.config.inSync.find((id) => id !== this.config.owner)
            const learns = [...this.log.peers.values()].some(({ learner }) => learner)
            if (learns && spare !== undefined && !this.unresolved) this.shrink(spare, 'moved', epoch)
            original.call(this, now, epoch)
          },
      ),
  },
  /** Every member turns the table its own way. */
  targetsDiffer: {
    expects: /two targets for roster/,
    options: { mix: { ...noFaults, leave: 1, everyMs: 4000 }, faultMs: 20_000 },
    apply: () =>
      patch(
        ConfigLog.prototype,
        'ask',
        (original) =>
          function (this: ConfigLog, key, item, now) {
            if (item.kind !== 'target') return original.call(this, key, item, now)
            const turn = Number.parseInt(this.info.id.slice(0, 4), 16)
            const table = item.table.map((_, i) => item.table[(i + turn) % item.table.length]!)
            original.call(this, key, { ...item, table }, now)
          },
      ),
  },
  /** Of a message of many items only the first few are read. */
  itemsDropped: {
    expects: /views differ|failed|is not founded/,
    options: { mix: noFaults, faultMs: 5000 },
    apply: () =>
      patch(
        ConfigLog.prototype,
        'entries',
        (original) =>
          function (this: ConfigLog, entries, caughtUp, now) {
            const short = entries.map(({ seq, bytes }) => {
              const message = decodeMessage(bytes)
              return {
                seq,
                bytes: message ? encodeMessage({ ...message, items: message.items.slice(0, 3) }) : bytes,
              }
            })
            return original.call(this, short, caughtUp, now)
          },
      ),
  },
  /** A checkpoint does not say who is silent and who is dead. */
  checkpointForgets: {
    expects: /views differ/,
    options: { loss: true, mix: { storeDown: 1, kill: 1, everyMs: 1500 } },
    apply: () =>
      patch(
        ConfigLog.prototype,
        'open',
        (original) =>
          function (this: ConfigLog, evidence, checkpoint) {
            const view = checkpoint && decodeView(checkpoint.bytes)
            const bytes = view && encodeView({ ...view, silent: new Map(), dead: new Set() })
            original.call(this, evidence, checkpoint && bytes && { ...checkpoint, bytes })
          },
      ),
  },
  /** A founder puts its founding to the log wherever that ends, and all believe the last one. */
  lastFoundingBelieved: {
    expects: /views differ|two owners|failed|is not founded/,
    seed: 6,
    options: { members: 5, settings: { expectMembers: 1, foundAfterMs: 10 }, mix: noFaults, faultMs: 5000 },
    apply: () => {
      const restoreAppend = patch(
        ControlHandle.prototype,
        'append',
        (original) =>
          function (this: ControlHandle, bytes, id) {
            original.call(this, bytes, id, undefined)
          },
      )
      const restoreEntries = patch(
        ConfigLog.prototype,
        'entries',
        (original) =>
          function (this: ConfigLog, entries, caughtUp, now) {
            const foundings = entries.filter(({ bytes }) =>
              decodeMessage(bytes)?.items.some(({ kind }) => kind === 'genesis'),
            )
            const last = foundings.at(-1)
            const read = entries.filter((entry) => entry === last || !foundings.includes(entry))
            return original.call(this, read, caughtUp, now)
          },
      )
      return () => {
        restoreEntries()
        restoreAppend()
      }
    },
  },
}
