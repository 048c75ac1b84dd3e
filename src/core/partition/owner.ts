/**
 * A partition's replica in the role of owner: it executes calls, replicates what they write, and answers when every
 * required replica has it.
 *
 * Its duties beyond calls are few and each is one proposal to the configuration log: take out a replica that is silent
 * or refuses, add a learner that is level, hand over to a backup. One proposal at a time; while its outcome is unknown
 * it keeps constraining (see owner-log.ts), and a handover keeps the owner stopped.
 */

import { assert } from '../base/assert.ts'
import { GridError } from '../base/errors.ts'
import { type MemberId, type PartitionConfig, successorOf } from '../membership/config.ts'
import { OwnerLog, Peer } from '../replication/owner-log.ts'
import { QUEUED_BYTES, sendRecords } from '../replication/send.ts'
import { Transfer } from '../replication/transfer.ts'
import { blankRecord } from '../store/record.ts'
import type { CallView } from '../wire/message.ts'
import type { Reference } from '../wire/peer-message.ts'
import { CallHandler } from './call-handler.ts'
import { Confirmations } from './confirmation.ts'
import type { Context, Now, Outlet } from './context.ts'
import { Housekeeping } from './housekeeping.ts'
import type { Ownership } from './ownership.ts'
import type { Replica } from './replica.ts'
import { ReplyQueue, sendRedirect } from './reply-queue.ts'
import { Watchers } from './watcher.ts'

/** A member that could not hold the partition is not taught it again for so long. */
const TEACH_AGAIN_MS = 10_000
/** A replica that holds less than it was sent for so long is sent it again. */
const RESEND_MS = 1000

export class Owner implements Ownership {
  readonly partition: number
  readonly context: Context
  readonly replica: Replica
  readonly log: OwnerLog
  readonly replies: ReplyQueue
  readonly watchers: Watchers
  readonly confirmations: Confirmations
  readonly housekeeping: Housekeeping
  readonly #calls: CallHandler
  config: PartitionConfig
  reference: Readonly<Reference>
  /** Everything up to here is held by every required replica. */
  commit = 0
  /** The epoch in which this ownership began. */
  readonly epochOfOwnership: number
  /** The first record of this ownership; once it is committed, so is everything from before. */
  readonly firstSeq: number
  /** The newest record that made entries absent: what a read of an absent key depends on. */
  lastRemovalSeq = 0
  /** It has found a conflict. */
  #ended = false
  /** A proposal whose outcome the log has not shown yet. */
  unresolved: PartitionConfig | undefined
  /** When a member last said that it cannot hold this partition. */
  readonly #refusedMonoMs = new Map<MemberId, number>()
  /** The newest number given to a replica; where it begins tells ownerships apart. */
  #session: number
  /** The backup to hand over to once everything is committed. */
  #successor: MemberId | undefined

  constructor(
    partition: number,
    context: Context,
    replica: Replica,
    config: PartitionConfig,
    reference: Readonly<Reference>,
    now: Now,
  ) {
    this.partition = partition
    this.context = context
    this.replica = replica
    this.config = config
    this.reference = reference
    this.log = new OwnerLog(context.self, config)
    this.#session = Math.floor(context.random.next() * 2 ** 47)
    const { store } = replica
    this.replies = new ReplyQueue(partition, store)
    // What was received and not yet known to be committed is part of this owner's history from now on.
    replica.sessions.nowMonoMs = now.monoMs
    store.applyTo(store.head, replica.applied)
    this.lastRemovalSeq = store.head
    this.firstSeq = store.head + 1
    this.epochOfOwnership = config.epoch
    for (const id of config.inSync) {
      if (id !== context.self)
        this.log.join(new Peer(id, this.newSession(), store.head + 1, now.monoMs, false))
    }
    this.confirmations = new Confirmations(this)
    this.watchers = new Watchers(this)
    this.housekeeping = new Housekeeping(this, now)
    this.#calls = new CallHandler(this, this.housekeeping, this.confirmations)
    this.#begin()
    this.advance()
    context.flushLater(partition)
    context.workLater(partition)
  }

  /** Once this record is committed, so is all from before. It takes an owner to empty a partition: full memory is no obstacle. */
  #begin(): void {
    const { store, epochs } = this.replica
    epochs.begin(this.config.epoch, store.head + 1)
    store.applyHead(store.append(blankRecord, true))
  }

  get head(): number {
    return this.replica.store.head
  }

  // ---- configuration

  /** A change under the same ownership. */
  adopt(config: PartitionConfig, reference: Readonly<Reference>, now: Now): void {
    const { store } = this.replica
    this.config = config
    this.reference = reference
    this.unresolved = undefined
    this.#successor = undefined
    this.log.adopt(config)
    for (const id of config.inSync) {
      if (id === this.context.self || this.log.peers.has(id)) continue
      // In the set without having been added here: the log was healed. From the newest record on it says what it lacks.
      this.log.join(new Peer(id, this.newSession(), store.head, now.monoMs, false))
    }
    // Who heard of this before its owner did has refused what was under way.
    for (const peer of this.log.peers.values()) this.#rewind(peer)
    this.confirmations.restart()
    this.advance()
    this.context.flushLater(this.partition)
  }

  /** Calls that have been taken and not answered. */
  get #waiting(): number {
    return this.replies.size + this.confirmations.size + this.#calls.queued
  }

  /** Another owner has been chosen; `refused` hears of each call that goes to it. Whether nothing was left uncommitted. */
  retire(config: PartitionConfig, refused: (client: Outlet, call: number) => void): boolean {
    const clean = this.stopped && this.commit >= this.head && this.replies.size === 0
    const position = { era: config.era, epoch: config.epoch, seq: 0 }
    const redirect = (maybeApplied: boolean) => (client: Outlet, call: number) => {
      sendRedirect(client, this.partition, call, position, config.owner, maybeApplied)
      refused(client, call)
    }
    this.replies.abandon(redirect(true))
    this.confirmations.abandon(redirect(false))
    this.#calls.abandon(redirect(false))
    this.watchers.end('NOT_OWNER', 'the partition has moved')
    this.close()
    return clean
  }

  /** Takes no calls: it hands over, has found a conflict, or its member may count as dead at any moment. */
  get stopped(): boolean {
    return this.handsOver || this.#ended || this.context.halted
  }

  get handsOver(): boolean {
    return this.#successor !== undefined
  }

  /** For good. */
  stop(): void {
    this.#ended = true
  }

  close(): void {
    this.log.close()
    this.watchers.close()
  }

  /** The number of a replica's (re)join: of one that begins anew, a higher one than before. */
  newSession(): number {
    return ++this.#session
  }

  #propose(change: { owner?: MemberId; inSync?: readonly MemberId[]; reason: string }, epoch: number): void {
    assert(this.unresolved === undefined, 'one proposal at a time')
    this.watchers.tell()
    const { config, context } = this
    this.unresolved = successorOf(config, { ...change, epoch, id: context.newId(), by: context.self })
    assert(this.unresolved.inSync.includes(this.unresolved.owner), 'an owner is in sync')
    context.propose(this.unresolved)
  }

  /** Takes a replica out of the in-sync set; where too few would be left to commit anything, a learner takes its place. */
  shrink(id: MemberId, reason: string, epoch: number): void {
    if (this.unresolved || !this.config.inSync.includes(id)) return
    const inSync = this.config.inSync.filter((member) => member !== id)
    if (inSync.length < this.context.minInSync) {
      this.#add(inSync, reason, epoch)
      return
    }
    if (this.log.adding) this.#giveUpAdding()
    this.context.note({ kind: 'shrink', partition: this.partition, detail: `${id}: ${reason}` })
    this.#propose({ inSync, reason }, epoch)
  }

  /** Begins to send everything to a member that is to become a backup. */
  teach(id: MemberId, now: Now): void {
    const refused = this.#refusedMonoMs.get(id)
    if (this.handsOver || this.#ended || this.log.peers.has(id)) return
    if (refused !== undefined && now.monoMs - refused < TEACH_AGAIN_MS) return
    const outlet = this.context.peer(id)
    if (!outlet) return
    const { store } = this.replica
    const session = this.newSession()
    const peer = new Peer(id, session, store.head + 1, now.monoMs, true)
    peer.transfer = new Transfer(store, session, this.replica.encodeState(now), this.context.chunkBytes)
    peer.base = peer.transfer.base
    this.log.join(peer)
    peer.transfer.begin(outlet.out, this.reference)
    outlet.wake()
    this.context.workLater(this.partition)
  }

  /** A learner that is no longer wanted, or no longer there. */
  forget(id: MemberId): void {
    if (this.unresolved?.inSync.includes(id)) return
    if (this.log.adding === id) this.#giveUpAdding()
    this.log.drop(id)
  }

  /** Commit and confirmations may have waited for that learner alone, and no answer may be left to come. */
  #giveUpAdding(): void {
    this.log.release()
    this.confirmations.restart()
    this.advance()
  }

  /** Stops serving and, once everything is committed, hands over to a backup. */
  handOver(to: MemberId): void {
    if (this.unresolved || !this.config.inSync.includes(to) || to === this.context.self) return
    if (this.log.adding) this.#giveUpAdding()
    this.#successor = to
  }

  /**
   * The owner's regular round: what is due is proposed. `epoch` is the one that a proposal would get.
   */
  round(now: Now, epoch: number): void {
    this.#resend(now)
    if (this.unresolved) return
    const { timing } = this.context
    for (const peer of this.log.peers.values()) {
      // One that waits for this owner's next chunk is not silent of its own accord, if there is a way to it.
      const waits = peer.transfer?.ready && this.context.peer(peer.id)
      if (now.monoMs - peer.heardMonoMs <= timing.suspectMs || waits) continue
      if (peer.learner) this.forget(peer.id)
      else {
        // A drain cannot end while it is silent: this owner serves on and takes it out first.
        this.#successor = undefined
        this.shrink(peer.id, 'silent', epoch)
        // Where it cannot be done without, whoever else is silent still has to be seen to.
        if (this.unresolved) return
      }
    }
    if (this.#successor !== undefined) this.#handOver(this.#successor, epoch)
    else this.#add(this.config.inSync, 'level', epoch)
  }

  #handOver(to: MemberId, epoch: number): void {
    if (!this.config.inSync.includes(to)) {
      this.#successor = undefined
    } else if (Math.min(this.commit, this.log.peers.get(to)?.ack ?? 0) === this.head && this.#waiting === 0) {
      this.#propose({ owner: to, reason: 'handover' }, epoch)
    }
  }

  /**
   * Proposes the in-sync set of `keep` and the learner that is level: constrain first, then wait until it holds everything
   * that is committed, and until it and everyone kept hold the end of its transfer, so that whoever becomes the owner of
   * this set has what completes the learner's state. The commit itself may be unable to get there, for want of replicas
   * or because of the one that is to go.
   */
  #add(keep: readonly MemberId[], reason: string, epoch: number): void {
    const { log } = this
    const { adding } = log
    if (adding === undefined) {
      const level = log.levelLearner(this.head)
      if (level) log.constrain(level.id)
      return
    }
    const peer = log.peers.get(adding)
    if (!peer || peer.ack < Math.max(this.commit, peer.settled)) return
    const holds = (id: MemberId): boolean =>
      id === this.context.self || (log.peers.get(id)?.ack ?? 0) >= peer.settled
    if (keep.every(holds)) this.#propose({ inSync: [...keep, adding], reason }, epoch)
  }

  // ---- calls

  /** Carries out a call. Returns whether it was refused for the moment. */
  onCall(view: CallView, client: Outlet, now: Now): boolean {
    return this.#calls.handle(view, client, now)
  }

  /** Refuses a call because an earlier one of its client has been. */
  refuse(view: CallView, client: Outlet): void {
    const reason = 'an earlier call of this client was refused and has not come again'
    this.#calls.fail(client, view.call, new GridError('OVERLOADED', reason))
  }

  /** Records have been appended and indexed: they leave at the end of the turn. */
  appended(): void {
    if (this.log.peers.size > 0) this.context.flushLater(this.partition)
    if (this.log.alone) this.advance()
  }

  // ---- replication

  /** Sends every replica what it lacks. */
  flush(): void {
    for (const peer of this.log.peers.values()) if (!peer.transfer) this.#send(peer)
    this.watchers.pump()
  }

  #send(peer: Peer): void {
    const { store, epochs } = this.replica
    if (peer.next > store.head) return
    const outlet = this.context.peer(peer.id)
    if (!outlet) return
    // It lacks what this log no longer has: it must start from a transfer.
    if (peer.next < store.tailFirst) this.onRefuse(peer.id, peer.session)
    else sendRecords(peer, outlet, store, epochs, this.reference, this.commit)
  }

  /** What was sent and not acknowledged for a while is sent again: the link may have broken under it. */
  #resend(now: Now): void {
    for (const peer of this.log.peers.values()) {
      if (peer.transfer || peer.ack >= this.head) peer.progressMonoMs = now.monoMs
      else if (now.monoMs - peer.progressMonoMs > RESEND_MS) {
        peer.progressMonoMs = now.monoMs
        this.#rewind(peer)
      }
    }
  }

  #rewind(peer: Peer | undefined): void {
    if (peer === undefined || peer.transfer) return
    peer.next = Math.max(peer.ack || peer.first - 1, peer.base, this.replica.store.tailFirst - 1) + 1
    this.context.flushLater(this.partition)
  }

  /** A link to a replica is new: what was under way on the old one may be lost, and a transfer begins anew. */
  linked(id: MemberId): void {
    const peer = this.log.peers.get(id)
    if (peer?.transfer && this.log.adding !== id) this.log.drop(id)
    this.#rewind(peer)
  }

  /** A replica has yet to hear of this configuration: it is sent again, once, what it has let fall under it. */
  untold(id: MemberId): void {
    const peer = this.log.peers.get(id)
    if (!peer || peer.untoldEpoch === this.reference.epoch) return
    peer.untoldEpoch = this.reference.epoch
    this.#rewind(peer)
  }

  /** A replica that answers under its present session; anything else counts for nothing. */
  #peer(from: MemberId, session: number): Peer | undefined {
    const peer = this.log.peers.get(from)
    return peer && peer.session === session ? peer : undefined
  }

  onAck(from: MemberId, session: number, seq: number, now: Now): void {
    const peer = this.#peer(from, session)
    if (!peer || peer.transfer || seq > this.head) return
    peer.heardMonoMs = now.monoMs
    if (seq <= peer.ack) return
    peer.ack = seq
    peer.progressMonoMs = now.monoMs
    this.advance()
  }

  onNack(from: MemberId, session: number, seq: number, now: Now): void {
    const peer = this.#peer(from, session)
    if (!peer || peer.transfer) return
    peer.heardMonoMs = now.monoMs
    peer.next = Math.min(peer.next, Math.max(peer.ack, seq) + 1)
    this.context.flushLater(this.partition)
  }

  onSnapshotAck(from: MemberId, session: number, index: number, now: Now): void {
    const peer = this.#peer(from, session)
    if (!peer?.transfer) return
    peer.heardMonoMs = now.monoMs
    peer.transfer.taken(index)
    if (peer.transfer.done) {
      peer.ack = peer.transfer.base
      peer.settled = peer.transfer.end
      peer.next = peer.ack + 1
      peer.transfer = undefined
      this.context.flushLater(this.partition)
    } else {
      this.context.workLater(this.partition)
    }
  }

  onRefuse(from: MemberId, session: number, now?: Now): void {
    const peer = this.#peer(from, session)
    if (!peer) return
    if (now) this.#refusedMonoMs.set(from, now.monoMs)
    if (peer.learner && this.log.adding !== from) this.log.drop(from)
    else peer.heardMonoMs = Number.NEGATIVE_INFINITY
  }

  /** A beacon was answered: a lease from when it was sent. */
  onGrant(from: MemberId, sentMonoMs: number, sentWallMs: number, now: Now): void {
    const peer = this.log.peers.get(from)
    if (!peer) return
    peer.heardMonoMs = Math.max(peer.heardMonoMs, now.monoMs)
    this.log.granted(peer, sentMonoMs, sentWallMs)
  }

  /** Recomputes the commit and lets everything go that waited for it. */
  advance(): void {
    const { store } = this.replica
    const commit = this.log.committed(store.head, this.context.minInSync)
    if (commit <= this.commit) return
    this.commit = commit
    this.replies.release(commit)
    store.release(Math.min(commit + 1, this.log.floor(store.head)))
    if (this.watchers.size > 0) this.context.flushLater(this.partition)
  }

  // ---- background

  /** One slice of long work; true when there is more. */
  work(now: Now): boolean {
    let more = false
    for (const peer of this.log.peers.values()) {
      const { transfer } = peer
      const outlet = transfer?.ready ? this.context.peer(peer.id) : undefined
      if (!transfer || !outlet || outlet.queuedBytes > QUEUED_BYTES) continue
      transfer.sendChunk(outlet.out, this.reference)
      peer.heardMonoMs = now.monoMs
      outlet.wake()
      more ||= transfer.ready
    }
    if (this.#calls.work(now)) more = true
    if (this.watchers.work()) more = true
    // What is stopped must come to rest: a record appended now could be one that the next owner never sees.
    if (!this.stopped && this.housekeeping.work(now)) more = true
    return more
  }
}
