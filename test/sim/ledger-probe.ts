/**
 * Lets the ledger see what leaves a log in the turn in which it is committed.
 *
 * A block of the tail goes as soon as nobody needs it, perhaps before the turn ends; with a short history that is most of
 * them. So every store of a simulated member is looked at once more before its oldest block leaves.
 */

import type { Partition } from '../../src/core/partition/partition.ts'
import { LogStore } from '../../src/core/store/log-store.ts'

export type CommittedVisit = (partition: Partition, store: LogStore, fromSeq: number) => void

const watched = new WeakMap<LogStore, { readonly partition: Partition; readonly visit: CommittedVisit }>()

/** From now on `visit` is told before the oldest block of this partition's log leaves it, all of it committed. */
export function watchStore(partition: Partition, visit: CommittedVisit): void {
  const { replica } = partition
  if (replica && !watched.has(replica.store)) watched.set(replica.store, { partition, visit })
}

const leave = LogStore.prototype.leaveOldest

LogStore.prototype.leaveOldest = function (this: LogStore): number {
  const known = watched.get(this)
  const { role, replica } = known?.partition ?? {}
  if (known && replica?.store === this && (role === 'owner' || role === 'backup'))
    known.visit(known.partition, this, this.tailFirst)
  return leave.call(this)
}
