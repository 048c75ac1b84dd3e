/**
 * Sends each call to the owner of its partition, and sees it through.
 *
 * It knows the newest view, keeps a lane of calls for each partition, and tries a call again, in order and with the
 * same number, until it is answered or its deadline passes: after `NOT_OWNER` (the reply names the new owner), a lost
 * connection, an overloaded or unready owner. Making and ending calls is the business of calls.ts, connections that of
 * roster.ts; here they meet what members say.
 */

import { assert } from '../core/base/assert.ts'
import { ByteReader, getU24 } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import type { Limits } from '../core/base/limits.ts'
import {
  type ClientView,
  MessageType,
  ReplyStatus,
  ReplyView,
  readError,
  readEventsHeader,
  readId,
  readMapOpened,
  readProgress,
  readView,
} from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'
import { Calls, type CallsHandler, type CallsOptions } from './calls.ts'
import { type ClientMetrics, zeroMetrics } from './client-metrics.ts'
import type { EventSink } from './event-sink.ts'
import { isBefore, Lane } from './lane.ts'
import { MapCatalog, type MapGate, type MapWaiter } from './map-catalog.ts'
import { NO_CALL, type Peer, probe, writeQuestion, writeViewRequest } from './peer.ts'
import { closedError, leavesTrace, type PendingCall, restated } from './pending-call.ts'
import { ProgressRequests } from './progress.ts'
import { RetryClock } from './retry-clock.ts'
import { Roster, type RosterHandler, type RosterOptions } from './roster.ts'
import { ViewOrder } from './view-order.ts'

/** A member that has not taken what was sent is looked at again after this time. */
const FULL_RETRY_MS = 2
const VIEW_REQUEST_MS = 100

/** Refusals after which the same call is sent again. */
const RETRIED: ReadonlySet<string> = new Set([
  'NOT_OWNER',
  'OVERLOADED',
  'NO_LEASE',
  'NOT_READY',
  'NOT_ENOUGH_REPLICAS',
])

export interface RouterHandler {
  onView(view: ClientView, before: ClientView | undefined): void
  onConnection(event: 'lost' | 'restored', peer: Peer, reason: GridError | undefined): void
}

export interface RouterOptions extends Omit<RosterOptions, 'queueBytesMax'>, CallsOptions {}

export class Router implements RosterHandler, CallsHandler {
  readonly limits: Limits
  readonly metrics: ClientMetrics = zeroMetrics()
  readonly roster: Roster
  readonly catalog: MapCatalog
  readonly calls: Calls
  readonly progress: ProgressRequests
  /** By partition; empty until the first view. */
  lanes: readonly Lane[] = []
  view: ClientView | undefined
  closed = false

  readonly #handler: RouterHandler
  readonly #nowMs: () => number
  readonly #retries: RetryClock<Lane>
  readonly #reader = new ByteReader(Buffer.alloc(0))
  readonly #reply = new ReplyView()
  readonly #sinks = new Map<number, EventSink>()
  readonly #order = new ViewOrder()
  #lastWatch = 0
  #viewRequestedMs = Number.NEGATIVE_INFINITY
  #wasConnected = false

  constructor(options: RouterOptions, handler: RouterHandler) {
    this.limits = options.limits
    this.#nowMs = options.nowMs
    this.#handler = handler
    this.#retries = new RetryClock(options.nowMs, (lane) => this.pump(lane))
    this.roster = new Roster({ ...options, queueBytesMax: options.limits.outputBytesMax >>> 3 }, this)
    this.calls = new Calls(options, this.metrics, this)
    this.progress = new ProgressRequests({ ...options, links: () => this.roster.links })
    this.catalog = new MapCatalog({
      anyLink: () => this.roster.anyPeer()?.link,
      nowMs: this.#nowMs,
      release: (call) => this.calls.enqueue(this.lanes[call.partition]!, call),
      giveUp: (call, error) => this.calls.giveUp(call, error),
    })
  }

  // --- Sending what waits

  hold(gate: MapGate, call: PendingCall): void {
    this.catalog.hold(gate, call)
  }

  connect(peer: Peer): void {
    this.roster.connect(peer)
  }

  /** Sends what waits in a lane, or sees to it that somebody comes back to it. */
  pump(lane: Lane): void {
    if (!lane.hungry || lane.retryAtMs !== 0 || this.closed) return
    const owner = lane.owner
    if (owner?.link === undefined || owner.link.closed) {
      if (owner !== undefined) this.roster.connect(owner)
      else this.#ask(lane)
      this.requestView()
      this.#retries.backOff(lane)
      return
    }
    if (lane.waiting > 0) {
      this.calls.heedSleep()
      if (!lane.hungry) return
    }
    if (owner.full) owner.measure()
    if (!owner.full) lane.flush(owner, owner.link)
    if (lane.hungry && owner.full) this.#retries.after(lane, FULL_RETRY_MS)
  }

  /**
   * Asks some member who owns the partition, or whether it is lost, by a call without a number: nobody carries it out.
   * The calls themselves wait. One that had been with a member that might yet become the owner would be in doubt.
   */
  #ask(lane: Lane): void {
    const link = this.roster.anyPeer()?.link
    if (link !== undefined) writeQuestion(link, lane.partition, lane.epoch)
  }

  get isWatching(): boolean {
    return this.#sinks.size > 0 || this.catalog.hasWaiters
  }

  sweep(nowMs: number): void {
    this.catalog.tick(nowMs, (call, gate) => {
      const why = gate.refusal ?? new GridError('UNREACHABLE', `no member has opened map ${gate.name}`)
      this.calls.timedOut(call, why)
    })
    for (const peer of this.roster.peers.values()) probe(peer, nowMs)
  }

  // --- Connections

  onOpen(peer: Peer): void {
    if (!this.#wasConnected) {
      this.#wasConnected = true
      this.#handler.onConnection('restored', peer, undefined)
    }
    for (const lane of this.lanes) if (lane.owner === peer) this.#routed(lane)
    this.catalog.askAll()
  }

  onLost(peer: Peer, link: Link, reason: GridError | undefined): void {
    if (this.closed) return
    this.metrics.connectionsLost++
    for (const lane of this.lanes) {
      lane.lose(link)
      this.pump(lane)
      if (lane.owner === peer) this.#tellSinks(lane)
    }
    this.catalog.lost(link)
    if (!this.roster.connected) {
      this.#wasConnected = false
      this.#handler.onConnection('lost', peer, reason)
    } else this.requestView()
  }

  /** A lane has a new owner, or a new connection to it. */
  #routed(lane: Lane): void {
    lane.backoffMs = 0
    this.#retries.release(lane)
    this.pump(lane)
    this.#tellSinks(lane)
  }

  #route(lane: Lane, owner: Peer | undefined): void {
    if (lane.owner === owner) return
    lane.owner = owner
    lane.detach(owner?.link)
    this.#routed(lane)
  }

  #tellSinks(lane: Lane): void {
    if (this.#sinks.size > 0) for (const sink of new Set(this.#sinks.values())) sink.onRoute(lane)
  }

  /** Asks some member for the newest view; not more often than every 100 ms. */
  requestView(): void {
    const nowMs = this.#nowMs()
    if (nowMs - this.#viewRequestedMs < VIEW_REQUEST_MS) return
    const link = this.roster.anyPeer()?.link
    if (link === undefined) return
    this.#viewRequestedMs = nowMs
    writeViewRequest(link)
  }

  // --- What members say

  onFrame(peer: Peer, link: Link, bytes: Buffer, start: number, end: number): void {
    if (this.closed) return
    const reader = this.#reader
    let at = start
    while (at < end) {
      if (end - at < 4) throw new GridError('MALFORMED', 'a frame ends in the middle of a message')
      const from = at + 4
      at = from + getU24(bytes, at + 1)
      if (at > end) throw new GridError('MALFORMED', 'a message is longer than its frame')
      reader.reset(bytes, from, at)
      const type = bytes[from - 4]!
      if (type === MessageType.reply) this.#onReply(link, reader)
      else this.#onMessage(peer, link, type, reader)
    }
    this.calls.pumpStirred()
  }

  #onMessage(peer: Peer, link: Link, type: number, reader: ByteReader): void {
    switch (type) {
      case MessageType.events: {
        const header = readEventsHeader(reader)
        this.#sinks.get(header.watch)?.onEvents(link, header, reader)
        return
      }
      case MessageType.progress:
        this.progress.onProgress(link, readProgress(reader), this.#sinks)
        return
      case MessageType.watchEnd: {
        const watch = reader.u32()
        const partition = reader.u16()
        this.#sinks.get(watch)?.onEnd(link, watch, partition, readError(reader))
        return
      }
      case MessageType.view:
        this.#onView(peer, readView(reader))
        return
      case MessageType.mapOpened: {
        const { request, outcome } = readMapOpened(reader)
        this.catalog.opened(request, outcome)
        return
      }
      default:
        throw new GridError('FORBIDDEN', `${peer.address} sent a client a message of type ${type}`)
    }
  }

  #onReply(link: Link, reader: ByteReader): void {
    const reply = this.#reply.read(reader)
    const lane = this.lanes[reply.partition]
    if (lane !== undefined && reply.call === NO_CALL) {
      this.#onAsked(lane, reply, reader)
      return
    }
    const call = lane?.find(reply.call)
    if (lane === undefined || call === undefined) {
      this.metrics.lateReplies++
      return
    }
    // Of an attempt that another one has replaced: that one's answer counts. A condition that failed in the first may
    // hold in the second, and then the caller must not have been told that it failed.
    if (call.link !== link) {
      this.metrics.lateReplies++
      return
    }
    if (reply.status === ReplyStatus.ok) this.#onResult(lane, call, reply)
    else if (reply.status === ReplyStatus.notOwner || reply.status === ReplyStatus.moved) {
      // The old owner had taken it: it may take effect yet, and the new owner knows.
      if (reply.status === ReplyStatus.moved) call.doubtful = true
      this.#onNotOwner(lane, call, reply.epoch, readId(reader))
    } else this.#onError(lane, call, readError(reader))
  }

  /** What a member says of a partition without a known owner. */
  #onAsked(lane: Lane, { status, epoch }: ReplyView, reader: ByteReader): void {
    if (lane.owner !== undefined) return
    if (status === ReplyStatus.notOwner) this.#follow(lane, epoch, readId(reader))
    else if (status === ReplyStatus.error && epoch >= lane.epoch) {
      const error = readError(reader)
      if (error.code !== 'PARTITION_LOST') return
      for (const call of lane.calls()) this.#reject(lane, call, error)
      // The next call is to hear at once how things are then.
      lane.backoffMs = 0
      this.#retries.release(lane)
    }
  }

  #onResult(lane: Lane, call: PendingCall, reply: ReplyView): void {
    const { era, epoch, seq } = reply
    lane.heard(call)
    this.calls.settle(lane, call)
    lane.backoffMs = 0
    lane.refusal = undefined
    if (isBefore(era, epoch, seq, call.floorEra, call.floorEpoch, call.floorSeq)) {
      this.metrics.staleReplies++
      const seen = `(${call.floorEra}, ${call.floorEpoch}, ${call.floorSeq})`
      const what = `partition ${lane.partition} answered from (${era}, ${epoch}, ${seq}), before ${seen}`
      call.reject(new GridError('INTERNAL', what), call)
      return
    }
    lane.saw(era, epoch, seq)
    if (call.away) this.calls.answeredAway(lane, era, seq)
    if (!lane.remembered && leavesTrace(call.operation, reply)) lane.remembered = true
    let result: unknown
    try {
      result = call.decode(reply, call, this.limits)
    } catch (error) {
      call.reject(call.isWrite && error instanceof GridError ? restated(error, 'unknown') : error, call)
      return
    }
    call.resolve(result, call)
  }

  #onError(lane: Lane, call: PendingCall, error: GridError): void {
    if (!RETRIED.has(error.code)) {
      lane.heard(call)
      this.#reject(lane, call, error)
      return
    }
    if (error.applied !== 'no') call.doubtful = true
    this.#refused(lane, call, error)
    this.#retries.backOff(lane)
  }

  #reject(lane: Lane, call: PendingCall, error: GridError): void {
    // An earlier attempt may have done what this one was refused.
    const applied = call.doubtful && call.isWrite && error.applied === 'no' ? 'unknown' : error.applied
    this.calls.settle(lane, call)
    call.reject(applied === error.applied ? error : restated(error, applied), call)
  }

  #onNotOwner(lane: Lane, call: PendingCall, epoch: number, ownerId: string): void {
    if (call.away) this.calls.sentBack(lane, call)
    else this.#refused(lane, call, new GridError('NOT_OWNER', `partition ${lane.partition} has moved`))
    this.#follow(lane, epoch, ownerId)
    if (!this.calls.isStirred(lane)) this.#retries.backOff(lane)
  }

  /** A member has said who owns the partition as far as it knows. */
  #follow(lane: Lane, epoch: number, ownerId: string): void {
    const owner = ownerId === '' ? undefined : this.roster.get(ownerId)
    if (owner === undefined) this.requestView()
    if (epoch > lane.epoch || (epoch === lane.epoch && lane.owner === undefined)) {
      lane.epoch = epoch
      lane.owner = owner
      lane.detach(owner?.link)
      if (owner !== undefined) {
        // Sent once the whole frame has been read, so that all its refusals go out in one go and in order.
        this.#retries.release(lane)
        this.calls.stir(lane)
      }
      this.#tellSinks(lane)
    }
  }

  #refused(lane: Lane, call: PendingCall, why: GridError): void {
    this.metrics.retries++
    lane.refused(call)
    lane.refusal = why
  }

  // --- The view

  #onView(peer: Peer, view: ClientView): void {
    const before = this.view
    if (view.epochs.length === 0) return // The cluster is still forming; another view will come.
    if (before === undefined) this.lanes = view.epochs.map((_, partition) => new Lane(partition, this.limits))
    else if (before.clusterId !== view.clusterId || before.epochs.length !== view.epochs.length)
      throw this.#foreign(peer)
    const newer = this.#order.supersedes(view, before, peer.boot, this.roster.bootsBut(peer))
    peer.boot = view.boot
    this.roster.proven(peer)
    if (newer) {
      this.view = view
      this.roster.adopt(view.members)
      for (const lane of this.lanes)
        if (lane.owner !== undefined) this.#route(lane, this.roster.get(lane.owner.id))
    }
    for (const lane of this.lanes) {
      if (newer)
        lane.backups = view.backups[lane.partition]!.flatMap(
          (m) => this.roster.get(view.members[m]!.id) ?? [],
        )
      const epoch = view.epochs[lane.partition]!
      if (epoch < lane.epoch || (epoch === lane.epoch && !newer && lane.owner !== undefined)) continue
      const member = view.members[view.owners[lane.partition]!]
      // Configurations are ordered by their epochs whatever became of the log: a later one is followed in any case.
      const owner = member && this.roster.find(member, epoch > lane.epoch)
      if (!newer && owner === undefined) continue
      lane.epoch = epoch
      this.#route(lane, owner)
    }
    if (newer) this.#handler.onView(view, before)
  }

  /** The member is of another cluster. Where it is the only one to be found, no call can be answered. */
  #foreign(peer: Peer): GridError {
    const text = `${peer.address} belongs to another cluster of the same name`
    if (!this.roster.hasOther(peer)) {
      const because = (call: PendingCall): GridError =>
        new GridError('WRONG_CLUSTER', text, { applied: call.applied })
      for (const lane of this.lanes) for (const call of lane.calls()) this.calls.giveUp(call, because(call))
      this.catalog.endCalls(new GridError('WRONG_CLUSTER', text))
    }
    return new GridError('WRONG_CLUSTER', text)
  }

  // --- Subscriptions

  /** Tells `waiter` once the map is open, or cannot be; until then it is asked for. */
  awaitMap(gate: MapGate, waiter: MapWaiter): void {
    this.catalog.await(gate, waiter)
    this.calls.startSweeping()
  }

  /** Registers a subscription under a new number. */
  subscribe(sink: EventSink): number {
    const watch = ++this.#lastWatch
    this.#sinks.set(watch, sink)
    this.calls.startSweeping()
    return watch
  }

  unsubscribe(watch: number): void {
    this.#sinks.delete(watch)
  }

  // --- The end

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.#retries.close()
    this.calls.stopSweeping()
    this.progress.close()
    for (const lane of this.lanes) for (const call of lane.calls()) this.calls.giveUp(call, closedError(call))
    this.catalog.close(new GridError('CLOSED', 'the client has been closed'))
    for (const sink of new Set(this.#sinks.values())) sink.onClosed()
    this.#sinks.clear()
    await this.roster.close()
    assert(this.calls.pending === 0, 'every call of a closed client is settled')
  }
}
