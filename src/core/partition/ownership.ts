/**
 * What the parts of an owner share: where its log stands, and who it answers to.
 *
 * Confirmations, watchers, housekeeping and calls each see this face of the owner and none of the others, so that each
 * can be read by itself.
 */

import type { PartitionConfig } from '../membership/config.ts'
import type { OwnerLog } from '../replication/owner-log.ts'
import type { Reference } from '../wire/peer-message.ts'
import type { Context, Now } from './context.ts'
import type { Replica } from './replica.ts'
import type { ReplyQueue } from './reply-queue.ts'

export interface Ownership {
  readonly partition: number
  readonly context: Context
  readonly replica: Replica
  readonly log: OwnerLog
  readonly replies: ReplyQueue
  readonly config: PartitionConfig
  readonly reference: Readonly<Reference>
  /** Everything up to here is held by every required replica. */
  readonly commit: number
  /** The first record of this ownership; once it is committed, so is everything from before. */
  readonly firstSeq: number
  /** Takes no calls: it hands over, has found a conflict, or its member has left. */
  readonly stopped: boolean
  /** The newest record that made entries absent: what a read of an absent key depends on. */
  lastRemovalSeq: number
  /** The newest record. */
  readonly head: number
  /** Records have been appended and indexed: they leave at the end of the turn. */
  appended(): void
}

/**
 * Whether an owner can answer reads by itself: it takes calls, knows what is committed, and its leases cover `now`. Then
 * whatever was acknowledged before `now`, by anybody, is at or below its commit.
 */
export function answersAlone(owner: Ownership, now: Now): boolean {
  const { commit, firstSeq, stopped, log, context } = owner
  return commit >= firstSeq && !stopped && log.leased(now.monoMs, now.wallMs, context.timing.leaseMs)
}
