/**
 * Reads that trust no clock: an answer is held back until every required replica has said, after the read, that it still
 * follows this owner (the read-index round of Raft, §6.4 of Ongaro's dissertation).
 *
 * Asked for by name (`consistency: 'confirmed'`), and used by itself whenever leases do not cover a read: just after a
 * takeover, after a suspension, while a replica is silent. One round serves all reads that wait when it begins.
 */

import type { MemberId } from '../membership/config.ts'
import { MessageType } from '../wire/message.ts'
import { writeBeacon } from '../wire/peer-message.ts'
import type { Outlet } from './context.ts'
import type { Ownership } from './ownership.ts'
import type { Position } from './reply-queue.ts'

interface HeldRead {
  readonly dependsOn: number
  readonly client: Outlet
  readonly call: number
  readonly position: Position
  readonly payload: Uint8Array
}

export class Confirmations {
  readonly #owner: Ownership
  #round = 0
  /** Who has yet to answer the round under way. */
  #missing = new Set<MemberId>()
  /** Reads that the round under way covers, and those that came after it began. */
  #covered: HeldRead[] = []
  #next: HeldRead[] = []
  /** Reads that are held, and bytes of their answers. Asked for by every call: kept, not added up. */
  size = 0
  bytes = 0

  constructor(owner: Ownership) {
    this.#owner = owner
  }

  add(read: HeldRead): void {
    this.#next.push(read)
    this.size++
    this.bytes += read.payload.length
    if (this.#missing.size === 0) this.#begin()
  }

  /** The in-sync set changed, or a link is new: the round is asked again. */
  restart(): void {
    if (this.size === 0) return
    this.#next = [...this.#covered, ...this.#next]
    this.#covered = []
    this.#missing.clear()
    this.#begin()
  }

  /** Asks those again who are silent: one that had yet to hear of this configuration let the question fall. */
  askAgain(): void {
    for (const id of this.#missing) this.#ask(id)
  }

  /** A replica follows this owner still, as of a moment after the round began. */
  confirmed(from: MemberId, round: number): void {
    if (round !== this.#round || !this.#missing.delete(from) || this.#missing.size > 0) return
    this.#release()
    if (this.#next.length > 0) this.#begin()
  }

  abandon(visit: (client: Outlet, call: number) => void): void {
    for (const { client, call } of [...this.#covered, ...this.#next]) visit(client, call)
    this.#covered = []
    this.#next = []
    this.#missing.clear()
    this.size = 0
    this.bytes = 0
  }

  #begin(): void {
    const { log } = this.#owner
    this.#covered = this.#next
    this.#next = []
    this.#round++
    for (const peer of log.required) {
      this.#missing.add(peer.id)
      this.#ask(peer.id)
    }
    if (this.#missing.size === 0) this.#release()
  }

  #ask(id: MemberId): void {
    const { context, reference, commit } = this.#owner
    const outlet = context.peer(id)
    if (!outlet) return
    const entries = [{ ...reference, commit, vouched: false }]
    writeBeacon(outlet.out, MessageType.confirm, {
      sentMono: this.#round,
      sentWall: 0,
      backupMono: 0,
      backupWall: 0,
      entries,
    })
    outlet.wake()
  }

  #release(): void {
    const { replies, commit } = this.#owner
    for (const { dependsOn, client, call, position, payload } of this.#covered) {
      this.size--
      this.bytes -= payload.length
      replies.pushBytes(dependsOn, client, call, position, 0, payload)
    }
    this.#covered = []
    replies.release(commit)
  }
}
