/**
 * Which replica is asked, where a read may be answered by any of them.
 *
 * The replicas take turns. A read that must see a write of this client that has not been answered goes to the owner, behind
 * the write; and so do, for a moment, all those of a partition whose backup has just left one to the owner: after a
 * write it takes a beacon or the next write until a backup knows that it is committed.
 */

import type { ByteWriter } from '../core/base/bytes.ts'
import { writeFreshness } from '../core/wire/message.ts'
import type { Lane } from './lane.ts'
import type { Peer } from './peer.ts'

/** How long the owner is asked after a backup has not answered: less than the time between two beacons. */
const OWNER_MS = 100

export class Spread {
  readonly #connect: (peer: Peer) => void
  #turn = 0

  /** `connect` opens the link to a member. */
  constructor(connect: (peer: Peer) => void) {
    this.#connect = connect
  }

  /** The backup whose turn it is; undefined where it is the owner's. */
  next(lane: Lane, nowMs: number): Peer | undefined {
    const { backups, owner } = lane
    if (backups.length === 0 || nowMs < lane.ownerUntilMs) return undefined
    if (!lane.open || lane.queued > 0 || lane.isWriting) return undefined
    const ready = backups.filter((peer) => peer !== owner && this.#isReady(peer))
    const turns = lane.direct === undefined ? ready.length : ready.length + 1
    return turns === 0 ? undefined : ready[this.#turn++ % turns]
  }

  /** A backup has left a read to the owner. */
  refused(lane: Lane, nowMs: number): void {
    lane.ownerUntilMs = nowMs + OWNER_MS
  }

  #isReady(peer: Peer): boolean {
    const isOpen = peer.link !== undefined && !peer.link.closed
    if (!isOpen) this.#connect(peer)
    else if (peer.full) peer.measure()
    return isOpen && !peer.full
  }
}

/** Says how new the answer has to be: everything that this client has seen of the partition, and no older than `maxStaleMs`. */
export function writeFreshnessOf(w: ByteWriter, lane: Lane, maxStaleMs: number): void {
  const { era, seenEpoch, seq, committed } = lane
  writeFreshness(w, { maxStaleMs, era, epoch: seenEpoch, seq: Math.max(seq, committed) })
}
