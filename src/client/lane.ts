/**
 * The calls of this client on one partition: their numbers, their order and their window.
 *
 * Calls get numbers from 1 up in the order in which they were made, and are sent, and sent again, in that order:
 * while one waits to be sent again, later ones queue behind it, so that one program's writes to a key stay in
 * program order. `ackUpTo` tells the owner which answers it may forget. A call that was given up counts as answered:
 * it is never sent again, and nobody waits for its reply.
 *
 * Numbered calls stand in a ring indexed by number (a Map costs three times as much at 300,000 calls a second);
 * those past the window wait in a queue with a bound.
 */

import { assert } from '../core/base/assert.ts'
import type { Limits } from '../core/base/limits.ts'
import type { Link } from '../transport/transport.ts'
import type { Peer } from './peer.ts'
import type { PendingCall } from './pending-call.ts'

/** The last number that the wire can carry. */
const NUMBER_MAX = 0xffff_ffff
const NO_BYTES = Buffer.alloc(0)

/** Whether one place in a partition's history is before another. */
export function isBefore(
  era: number,
  epoch: number,
  seq: number,
  floorEra: number,
  floorEpoch: number,
  floorSeq: number,
): boolean {
  if (era !== floorEra) return era < floorEra
  return epoch !== floorEpoch ? epoch < floorEpoch : seq < floorSeq
}

export class Lane {
  readonly partition: number
  /** The newest epoch known, and who owns the partition in it. */
  epoch = 0
  owner: Peer | undefined

  /** Every call up to here is answered or given up. */
  ackUpTo = 0
  /** The newest call that the owner has answered; later ones are under way, or were given up. */
  answered = 0
  /** The number of the next call. */
  next = 1
  /** Numbered calls that are not under way. */
  waiting = 0

  /** A write of this session here is known to have made a record. */
  remembered = false

  /** The newest place in the history that a reply has shown. */
  era = 0
  seenEpoch = 0
  seq = 0

  /** Replicas that may answer reads beside the owner, as of the newest view. */
  backups: readonly Peer[] = []
  /** The newest place that a backup has answered from. Of two epochs' ends the later may have the lower seq: not so here. */
  committed = 0
  /** Until then reads are left to the owner: a backup has just done so. */
  ownerUntilMs = 0

  /** No deadline of a call here is earlier. */
  nextDeadlineMs = Number.POSITIVE_INFINITY
  /** When to try again after a refusal; 0 while nothing stands in the way. */
  retryAtMs = 0
  backoffMs = 0
  /** Why the last attempt was refused. */
  refusal: unknown

  readonly #windowMax: number
  readonly #queueMax: number
  #ring: (PendingCall | undefined)[] = new Array(4).fill(undefined)
  #queue: PendingCall[] = []
  #queueHead = 0
  /** Calls in the queue that are settled. */
  #settled = 0

  constructor(partition: number, limits: Pick<Limits, 'callsPerPartitionMax' | 'waitingCallsMax'>) {
    this.partition = partition
    this.#windowMax = limits.callsPerPartitionMax
    this.#queueMax = limits.waitingCallsMax
  }

  /** Calls that have no number yet. */
  get queued(): number {
    return this.#queue.length - this.#queueHead - this.#settled
  }

  /** Whether there is something to send. */
  get hungry(): boolean {
    return this.waiting > 0 || this.queued > 0
  }

  get open(): boolean {
    return this.next - this.ackUpTo <= this.#windowMax && this.next < NUMBER_MAX
  }

  get exhausted(): boolean {
    return this.next >= NUMBER_MAX
  }

  /** Whether one more call can be taken at all. */
  get hasRoom(): boolean {
    return this.queued < this.#queueMax
  }

  /**
   * Whether no call of this client is on its way, not even one that was given up: what follows it on a link has been
   * answered. So a read that takes no link overtakes nothing.
   */
  get isQuiet(): boolean {
    return this.answered === this.next - 1 && this.ackUpTo === this.answered && this.queued === 0
  }

  /** The link on which a new call may leave at once, if there is one. */
  get direct(): Link | undefined {
    if (this.hungry || this.retryAtMs !== 0 || !this.open) return undefined
    const owner = this.owner
    if (owner === undefined || owner.full) return undefined
    const link = owner.link
    return link === undefined || link.closed ? undefined : link
  }

  /** Takes a call that is about to leave or has its turn, and gives it its number. */
  admit(call: PendingCall): void {
    const number = this.next++
    const ring = this.#ring
    if (number - this.ackUpTo > ring.length) this.#grow()
    call.number = number
    this.#ring[number & (this.#ring.length - 1)] = call
    if (call.link === undefined) this.waiting++
    if (call.deadlineMs < this.nextDeadlineMs) this.nextDeadlineMs = call.deadlineMs
  }

  /** Takes a call that cannot leave now. */
  enqueue(call: PendingCall): void {
    if (this.queued === 0 && this.open) this.admit(call)
    else {
      call.queued = true
      this.#queue.push(call)
      if (call.deadlineMs < this.nextDeadlineMs) this.nextDeadlineMs = call.deadlineMs
    }
  }

  find(number: number): PendingCall | undefined {
    const call = this.#ring[number & (this.#ring.length - 1)]
    return call !== undefined && call.number === number ? call : undefined
  }

  /** The call is answered or given up. */
  remove(call: PendingCall): void {
    if (call.number === 0) {
      this.#leaveQueue(call)
      return
    }
    const ring = this.#ring
    const mask = ring.length - 1
    assert(ring[call.number & mask] === call, 'a call stands at its number')
    ring[call.number & mask] = undefined
    if (call.link === undefined) this.waiting--
    while (this.ackUpTo + 1 < this.next && ring[(this.ackUpTo + 1) & mask] === undefined) this.ackUpTo++
  }

  /**
   * A call that has not had its turn will not have one. It lets go of its bytes at once, and the queue of such calls
   * when they are half of it: while nobody owns the partition, no turn comes in which they would be passed over.
   */
  #leaveQueue(call: PendingCall): void {
    call.bytes = NO_BYTES
    if (!call.queued) return // It was at its map's gate.
    const { length } = this.#queue
    this.#settled++
    if (this.#settled * 2 < length - this.#queueHead) return
    const left: PendingCall[] = []
    for (let i = this.#queueHead; i < length; i++) if (!this.#queue[i]!.done) left.push(this.#queue[i]!)
    this.#queue = left
    this.#queueHead = 0
    this.#settled = 0
  }

  /** The owner has refused this attempt; the call waits for its next one. */
  refused(call: PendingCall): void {
    call.link = undefined
    this.waiting++
  }

  /** Attempts under way on any link but `kept` are lost; their calls wait for the next one. */
  detach(kept: Link | undefined): void {
    this.#each((call) => {
      if (call.link === undefined || call.link === kept) return
      call.lose()
      this.waiting++
    })
  }

  /** Attempts under way on `link` are lost. */
  lose(link: Link): void {
    this.#each((call) => {
      if (call.link !== link) return
      call.lose()
      this.waiting++
    })
  }

  /** Sends what waits, oldest first, until the window or the link is full. */
  flush(peer: Peer, link: Link): void {
    if (this.waiting > 0) {
      for (let number = this.ackUpTo + 1; number < this.next && !peer.full; number++) {
        const call = this.find(number)
        if (call === undefined || call.link !== undefined) continue
        call.send(link, this.ackUpTo, this.epoch, this.remembered)
        this.waiting--
        peer.wrote(call.sizeBytes)
      }
    }
    while (this.waiting === 0 && !peer.full && this.open) {
      const call = this.#dequeue()
      if (call === undefined) break
      this.admit(call)
      this.waiting--
      call.send(link, this.ackUpTo, this.epoch, this.remembered)
      peer.wrote(call.sizeBytes)
    }
  }

  /** A member has answered. What a backup says tells nothing of what is on its way to the owner. */
  heard(call: PendingCall): void {
    if (!call.away && call.number > this.answered) this.answered = call.number
  }

  /** A reply has shown a place in the history. */
  saw(era: number, epoch: number, seq: number): void {
    if (!isBefore(this.era, this.seenEpoch, this.seq, era, epoch, seq)) return
    // After a declared loss nothing of this session is remembered any more.
    if (era > this.era) {
      this.remembered = false
      this.committed = 0
    }
    this.era = era
    this.seenEpoch = epoch
    this.seq = seq
  }

  /** A backup has answered from there. */
  sawCommitted(era: number, seq: number): void {
    if (era === this.era && seq > this.committed) this.committed = seq
  }

  /** Whether a write has not been answered. Only walked for reads that a backup may answer. */
  get isWriting(): boolean {
    for (let number = this.next - 1; number > this.ackUpTo; number--)
      if (this.find(number)?.isWrite === true) return true
    return false
  }

  /** Visits every call whose deadline has passed, and finds the next deadline. */
  expire(nowMs: number, expired: (call: PendingCall) => void): void {
    const late: PendingCall[] = []
    let next = Number.POSITIVE_INFINITY
    this.#each((call) => {
      if (call.deadlineMs <= nowMs) late.push(call)
      else if (call.deadlineMs < next) next = call.deadlineMs
    })
    for (let i = this.#queueHead; i < this.#queue.length; i++) {
      const call = this.#queue[i]!
      if (call.done) continue
      if (call.deadlineMs <= nowMs) late.push(call)
      else if (call.deadlineMs < next) next = call.deadlineMs
    }
    this.nextDeadlineMs = next
    for (const call of late) expired(call)
  }

  /** Every call here, in order. */
  calls(): PendingCall[] {
    const calls: PendingCall[] = []
    this.#each((call) => calls.push(call))
    for (let i = this.#queueHead; i < this.#queue.length; i++)
      if (!this.#queue[i]!.done) calls.push(this.#queue[i]!)
    return calls
  }

  #each(visit: (call: PendingCall) => void): void {
    for (let number = this.ackUpTo + 1; number < this.next; number++) {
      const call = this.find(number)
      if (call !== undefined) visit(call)
    }
  }

  #dequeue(): PendingCall | undefined {
    while (this.#queueHead < this.#queue.length) {
      const call = this.#queue[this.#queueHead]!
      this.#queueHead++
      if (this.#queueHead > 32 && this.#queueHead * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#queueHead)
        this.#queueHead = 0
      }
      if (!call.done) return call
      this.#settled--
    }
    this.#queue = []
    this.#queueHead = 0
    return undefined
  }

  #grow(): void {
    const old = this.#ring
    const ring: (PendingCall | undefined)[] = new Array(old.length * 2).fill(undefined)
    for (const call of old) if (call !== undefined) ring[call.number & (ring.length - 1)] = call
    this.#ring = ring
  }
}
