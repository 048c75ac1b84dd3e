/**
 * The owner's side of replication: who has to hold what, and up to where everybody does.
 *
 * PacificA (Lin et al., MSR-TR-2008-25): every member of the in-sync set must hold a record before anyone hears of it.
 * `required` is the in-sync set and the learner whose addition is under way (Kafka's maximal ISR, KIP-497): it
 * constrains writes and leases alike from before the proposal leaves until the log shows its outcome. One that is being
 * removed is required until then, too.
 *
 * A lease from a peer counts from the moment the owner *sent* the beacon, on two clocks: the monotonic one stands
 * still while a machine is suspended, the wall clock may be set.
 */

import { assert } from '../base/assert.ts'
import type { MemberId, PartitionConfig } from '../membership/config.ts'
import type { Transfer } from './transfer.ts'

/** How far behind a learner may be for the owner to begin waiting for it. */
const LEVEL_RECORDS = 4096
/** A wall clock that went back by more than this since a beacon voids the lease. */
const WALL_BACK_MS = 50

export class Peer {
  readonly id: MemberId
  /** The owner's number for this (re)join, higher than those before; an answer that carries another counts for nothing. */
  readonly session: number
  /** Everything up to here is held. */
  ack = 0
  /** The next record to send. */
  next: number
  /** When the newest beacon that it answered was sent. */
  grantedMonoMs = Number.NEGATIVE_INFINITY
  grantedWallMs = Number.NEGATIVE_INFINITY
  /** When it was last heard of, for suspicion alone. */
  heardMonoMs: number
  /** The last time that `ack` rose or something was sent to an idle peer: a stall beyond a while is sent again. */
  progressMonoMs: number
  /** The state transfer under way, for a learner that does not yet hold the base. */
  transfer: Transfer | undefined
  /** A learner is sent everything and required for nothing. */
  learner: boolean
  /** Where a learner's transfer began: what it takes for committed. */
  base = 0
  /** The epoch under which it was sent all again, because it had let fall what came before it knew of that epoch. */
  untoldEpoch = 0
  /** The first record that it was to be sent: until it has acknowledged one, whether it agrees is asked there. */
  readonly first: number
  /** Where its transfer ended: from here on its state is a prefix of the log. */
  settled = Number.POSITIVE_INFINITY

  constructor(id: MemberId, session: number, next: number, monoMs: number, learner: boolean) {
    this.id = id
    this.session = session
    this.next = next
    this.first = next
    this.heardMonoMs = monoMs
    this.progressMonoMs = monoMs
    this.learner = learner
  }
}

export class OwnerLog {
  readonly self: MemberId
  readonly peers = new Map<MemberId, Peer>()
  #config: PartitionConfig
  /** The learner that writes wait for although it is not in the in-sync set yet. */
  #adding: MemberId | undefined
  #required: Peer[] = []
  #leaseMonoMs = Number.POSITIVE_INFINITY
  #leaseWallMs = Number.POSITIVE_INFINITY
  /** A beacon from before is not trusted. */
  #droppedMonoMs = Number.NEGATIVE_INFINITY

  constructor(self: MemberId, config: PartitionConfig) {
    assert(config.owner === self, 'only the owner has an owner log')
    this.self = self
    this.#config = config
  }

  get required(): readonly Peer[] {
    return this.#required
  }

  get adding(): MemberId | undefined {
    return this.#adding
  }

  /** Whether this replica alone is required: it may then serve without a lease. */
  get alone(): boolean {
    return this.#required.length === 0
  }

  /** A replica joins: as learner, or, at the beginning of an ownership, as member of the in-sync set. */
  join(peer: Peer): void {
    this.peers.set(peer.id, peer)
    this.#refresh()
  }

  drop(id: MemberId): void {
    assert(!this.#config.inSync.includes(id) && this.#adding !== id, 'a required peer cannot be dropped')
    this.peers.get(id)?.transfer?.close()
    this.peers.delete(id)
    this.#refresh()
  }

  /** The in-sync set changed under the same ownership. */
  adopt(config: PartitionConfig): void {
    assert(config.owner === this.self, 'the ownership goes on')
    this.#config = config
    this.#adding = undefined
    for (const peer of this.peers.values()) if (config.inSync.includes(peer.id)) peer.learner = false
    for (const peer of [...this.peers.values()]) {
      if (!peer.learner && !config.inSync.includes(peer.id)) this.drop(peer.id)
    }
    this.#refresh()
  }

  /** Begins to wait for a learner, before its addition is proposed. */
  constrain(id: MemberId): void {
    assert(this.peers.get(id)?.learner === true, 'only a learner is added')
    this.#adding = id
    this.#refresh()
  }

  /** Gives up an addition that was never proposed. */
  release(): void {
    this.#adding = undefined
    this.#refresh()
  }

  /** The highest seq that every required replica holds; `head` is what this one holds. */
  committed(head: number, minInSync: number): number {
    if (this.#config.inSync.length < minInSync) return 0
    let commit = head
    for (const peer of this.#required) if (peer.ack < commit) commit = peer.ack
    return commit
  }

  /** The lowest seq that a replica may still ask for. */
  floor(head: number): number {
    let floor = head + 1
    for (const peer of this.peers.values()) floor = Math.min(floor, Math.max(peer.ack, peer.base) + 1)
    return floor
  }

  granted(peer: Peer, sentMonoMs: number, sentWallMs: number): void {
    if (sentMonoMs <= peer.grantedMonoMs || sentMonoMs < this.#droppedMonoMs) return
    peer.grantedMonoMs = sentMonoMs
    peer.grantedWallMs = sentWallMs
    this.#refreshLease()
  }

  /** Whether every required replica has promised to follow nobody else just now. */
  leased(monoMs: number, wallMs: number, leaseMs: number): boolean {
    if (this.#required.length === 0) return true
    return (
      monoMs < this.#leaseMonoMs + leaseMs &&
      wallMs < this.#leaseWallMs + leaseMs &&
      wallMs >= this.#leaseWallMs - WALL_BACK_MS
    )
  }

  /** Forgets all leases, and those on their way: the clocks disagree, or this process stood still. */
  dropLeases(monoMs: number): void {
    this.#droppedMonoMs = monoMs
    for (const peer of this.peers.values()) {
      peer.grantedMonoMs = Number.NEGATIVE_INFINITY
      peer.grantedWallMs = Number.NEGATIVE_INFINITY
    }
    this.#refreshLease()
  }

  /**
   * Whether what a peer has indexed, once that is everything up to `commit`, is the log's state there: it is required, is
   * known to hold that much, and what it was sent of later records in a transfer is not ahead of the rest.
   */
  isWhole(peer: Peer, commit: number): boolean {
    const taught = peer.settled !== Number.POSITIVE_INFINITY
    return this.#config.inSync.includes(peer.id) && peer.ack >= commit && (!taught || commit >= peer.settled)
  }

  /** A learner near enough to the head to begin waiting for it. */
  levelLearner(head: number): Peer | undefined {
    for (const peer of this.peers.values()) {
      if (peer.learner && peer.ack >= peer.settled && head - peer.ack <= LEVEL_RECORDS) return peer
    }
    return undefined
  }

  close(): void {
    for (const peer of this.peers.values()) peer.transfer?.close()
    this.peers.clear()
    this.#required = []
  }

  #refresh(): void {
    this.#required = []
    for (const peer of this.peers.values()) {
      if (this.#config.inSync.includes(peer.id) || peer.id === this.#adding) this.#required.push(peer)
    }
    this.#refreshLease()
  }

  #refreshLease(): void {
    this.#leaseMonoMs = Number.POSITIVE_INFINITY
    this.#leaseWallMs = Number.POSITIVE_INFINITY
    for (const peer of this.#required) {
      if (peer.grantedMonoMs < this.#leaseMonoMs) this.#leaseMonoMs = peer.grantedMonoMs
      if (peer.grantedWallMs < this.#leaseWallMs) this.#leaseWallMs = peer.grantedWallMs
    }
  }
}
