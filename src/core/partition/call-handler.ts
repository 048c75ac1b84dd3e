/**
 * How the owner carries out a call: bounds and repetition first, then the operation, then the answer in its time.
 *
 * Every operation ends in one of two ways. A *write* appends one record, which carries the answer, and is answered when
 * the commit has passed it. A *read*, and a conditional write whose condition fails, answers with what is at the head of
 * the log: when the commit has passed the record that it depends on, and when leases or a round of confirmations have
 * shown that nobody else can have become the owner.
 *
 * The operations themselves are in operation.ts, one function each; this file is what they stand on.
 */

import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { hashBytes, partitionOf } from '../ring/hash.ts'
import type { LogStore } from '../store/log-store.ts'
import { blankRecord, RecordKind, RemoveCause } from '../store/record.ts'
import { checkKey } from '../wire/key-check.ts'
import {
  CallView,
  FLAG_ANY,
  FLAG_CONFIRMED,
  FLAG_RETRY,
  FLAG_SESSION,
  ReplyStatus,
  readFreshness,
  writeError,
} from '../wire/message.ts'
import { decodeValue } from '../wire/value-decode.ts'
import type { Call } from './call.ts'
import type { Confirmations } from './confirmation.ts'
import type { Context, Now, Outlet } from './context.ts'
import type { Housekeeping } from './housekeeping.ts'
import { operationTable } from './operation.ts'
import type { Ownership } from './ownership.ts'
import { Query } from './query-run.ts'
import { type Position, sendReply } from './reply-queue.ts'
import { type Session, writeSessionOpen } from './session-table.ts'
import { workspace } from './workspace.ts'

/** Part of the memory that user writes leave to removals, expiry and the protocol itself. */
const RESERVE = 0.05
const PAYLOAD_KEPT_BYTES = 256 * 1024
const EMPTY = Buffer.alloc(0)

const { envelope } = workspace

/** A query that waits for its turn as background work. */
interface QueuedQuery {
  readonly client: Outlet
  readonly view: CallView
  readonly query: Query
}

export class CallHandler implements Call {
  readonly owner: Ownership
  readonly housekeeping: Housekeeping
  readonly #confirmations: Confirmations
  readonly store: LogStore
  readonly limits: Limits
  #queries: QueuedQuery[] = []
  /** The call at hand, valid during one turn. */
  view!: CallView
  client!: Outlet
  now!: Now
  #hash = 0
  #session: Session | undefined
  /** The answer, as the operation writes it. */
  readonly payload = workspace.payload
  /** A new value, as the operation encodes it. */
  readonly value = workspace.value
  /** Reads the argument of the call. */
  readonly argument = workspace.argument
  /** The entry found by `lookup`. */
  readonly found = workspace.found
  /** The record that the outcome of `lookup` depends on. */
  dependsOn = 0

  constructor(owner: Ownership, housekeeping: Housekeeping, confirmations: Confirmations) {
    this.owner = owner
    this.housekeeping = housekeeping
    this.#confirmations = confirmations
    this.store = owner.replica.store
    this.limits = owner.context.limits
  }

  /** Carries out a call. Returns whether it was refused for the moment, with the client to send it again. */
  handle(view: CallView, client: Outlet, now: Now): boolean {
    this.view = view
    this.client = client
    this.now = now
    this.payload.reuse(PAYLOAD_KEPT_BYTES)
    try {
      const operation = operationTable[view.operation]
      if (!operation) throw new GridError('MALFORMED', `operation ${view.operation} is unknown`)
      this.#admit()
      if (operation.keyed) this.setKey(view.keyStart, view.keyEnd)
      if (operation.writes && this.#repeated()) return false
      this.argument.reset(view.bytes, view.argumentStart, view.argumentEnd)
      operation.run(this)
      return false
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      this.fail(client, view.call, error)
      return error.code === 'OVERLOADED' || error.code === 'NOT_READY'
    }
  }

  #admit(): void {
    const { replies, context } = this.owner
    if (!context.mapConfig(this.view.map)) {
      throw new GridError('NOT_READY', `map ${this.view.map} is not yet known to this member`)
    }
    const waiting = replies.size + this.#confirmations.size + this.#queries.length
    const bytes = replies.bytes + this.#confirmations.bytes
    if (waiting < this.limits.waitingCallsMax && bytes < this.limits.waitingBytesMax) return
    const what = `${waiting} calls, ${bytes} bytes wait on partition ${this.owner.partition}`
    throw new GridError('OVERLOADED', `${what} (waitingCallsMax, waitingBytesMax)`)
  }

  /** Whether this call has taken effect before: then its answer is given again, and nothing else happens. */
  #repeated(): boolean {
    const { view, client, owner } = this
    const session = owner.replica.sessions.find(client.peer.id)
    this.#session = session
    if (!session) {
      const known = FLAG_RETRY | FLAG_SESSION
      if ((view.flags & known) === known) {
        throw new GridError('SESSION_EXPIRED', 'the session was closed for idleness')
      }
      return false
    }
    // A late copy of a call that the client has long had its answer to.
    if (view.call <= session.ackUpTo) return true
    session.acknowledge(view.ackUpTo)
    const { length } = session.completions
    if (length >= this.limits.callsPerPartitionMax) {
      throw new GridError(
        'OVERLOADED',
        `${length} answers are not acknowledged by this client (callsPerPartitionMax)`,
      )
    }
    if (view.call > session.lastCall) return false
    const completion = session.completion(view.call)
    if (!completion) return false
    const { seq, status, reply } = completion
    this.#answer(seq, this.#position(seq), status, reply, 0, reply.length)
    return true
  }

  /**
   * Whether the session is in use and has left no record for long. Only records tell the other replicas that it is: one
   * that took over would close it, and the call that comes again from the death of this owner would not be known.
   */
  get #fading(): boolean {
    const session = this.#session
    return (
      session !== undefined &&
      this.now.monoMs - session.usedMonoMs > this.owner.context.timing.sessionIdleMs / 2
    )
  }

  #position(seq: number): Position {
    const { era, epoch } = this.owner.config
    return { era, epoch, seq }
  }

  #answer(
    dependsOn: number,
    position: Position,
    status: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const { owner, client, view } = this
    if (dependsOn <= owner.commit) {
      sendReply(client, owner.partition, view.call, status, position, bytes, start, end)
    } else {
      const copy = Uint8Array.prototype.slice.call(bytes, start, end)
      owner.replies.pushBytes(dependsOn, client, view.call, position, status, copy)
    }
  }

  // ---- what operations use (call.ts says what each does)

  setKey(start: number, end: number): void {
    this.view.keyStart = start
    this.view.keyEnd = end
    this.#hash = hashOfKey(this.view, this.owner.context)
  }

  lookup(): boolean {
    const { view, store, owner } = this
    const location = store.find(view.map, this.#hash, view.bytes, view.keyStart, view.keyEnd)
    if (location < 0) {
      this.dependsOn = owner.lastRemovalSeq
      return false
    }
    const record = store.view(location, this.found)
    if (this.housekeeping.isDue(record, location, this.now)) {
      this.#append(RecordKind.remove, RemoveCause.expired, EMPTY, 0, 0, 0, false)
      owner.lastRemovalSeq = store.head
      this.dependsOn = store.head
      owner.appended()
      return false
    }
    this.housekeeping.touched(view.map, location, this.now)
    this.dependsOn = record.seq
    return true
  }

  read(dependsOn: number): void {
    const { payload } = this
    this.readBytes(dependsOn, payload.buffer, payload.start, payload.length)
  }

  readBytes(dependsOn: number, bytes: Uint8Array, start: number, end: number): void {
    const { owner, view, now, client } = this
    const isAny = (view.flags & FLAG_ANY) !== 0
    const position = this.#position(isAny ? this.#shown(dependsOn) : this.store.head)
    const { leaseMs } = owner.context.timing
    const trusted = (view.flags & FLAG_CONFIRMED) === 0 && owner.log.leased(now.monoMs, now.wallMs, leaseMs)
    if (trusted) {
      this.#answer(dependsOn, position, ReplyStatus.ok, bytes, start, end)
    } else {
      const payload = Uint8Array.prototype.slice.call(bytes, start, end)
      this.#confirmations.add({ dependsOn, client, call: view.call, position, payload })
    }
  }

  /**
   * A place at which the answer holds, as it does at all from what it depends on up to the head. For reads that backups
   * answer as well it is the earliest that goes on from what the client has seen: they know less of the log's end.
   */
  #shown(dependsOn: number): number {
    return Math.min(this.store.head, Math.max(dependsOn, readFreshness(this.argument).seq))
  }

  unchanged(dependsOn: number): void {
    if ((this.view.flags & FLAG_RETRY) === 0 && !this.#fading) this.read(dependsOn)
    else this.#write(RecordKind.noop, EMPTY, 0, 0, 0)
  }

  put(bytes: Uint8Array, start: number, end: number, expiresAt: number): void {
    const { pool } = this.owner.context
    if (pool.usedBytes > pool.maxBytes * (1 - RESERVE)) {
      throw new GridError(
        'STORE_FULL',
        `${pool.usedBytes} of ${pool.maxBytes} bytes are in use (maxMemoryBytes)`,
      )
    }
    const location = this.#write(RecordKind.put, bytes, start, end, expiresAt)
    this.#evict(location)
  }

  remove(): void {
    this.#write(RecordKind.remove, EMPTY, 0, 0, 0)
    this.owner.lastRemovalSeq = this.store.head
  }

  clear(): void {
    this.#write(RecordKind.clear, EMPTY, 0, 0, 0)
    this.owner.lastRemovalSeq = this.store.head
  }

  query(): void {
    const { view, client, argument, limits, owner } = this
    const query = new Query(decodeValue(argument.bytes, argument.offset, argument.end, limits), limits)
    // The frame's memory is used again after this turn; of the call only these fields are needed later.
    const kept = new CallView()
    Object.assign(kept, { partition: view.partition, call: view.call, flags: view.flags, map: view.map })
    this.#queries.push({ client, view: kept, query })
    owner.context.workLater(owner.partition)
  }

  #write(kind: RecordKind, bytes: Uint8Array, start: number, end: number, expiresAt: number): number {
    const { owner, store, view, client, payload } = this
    if (payload.length - payload.start > this.limits.replyBytesMax) {
      throw new GridError(
        'RESULT_TOO_LARGE',
        `the result is over ${this.limits.replyBytesMax} bytes (replyBytesMax)`,
      )
    }
    if (owner.replica.sessions.bytes > this.limits.sessionBytesMax) {
      const { bytes } = owner.replica.sessions
      throw new GridError('OVERLOADED', `${bytes} bytes of answers are kept for clients (sessionBytesMax)`)
    }
    const session = this.#session ?? this.#openSession()
    envelope.session = session.number
    const location = this.#append(kind, RemoveCause.removed, bytes, start, end, expiresAt, true)
    const seq = store.head
    const size = payload.length - payload.start
    const reply = size === 0 ? EMPTY : payload.take()
    session.usedMonoMs = this.now.monoMs
    session.complete({ call: view.call, seq, status: ReplyStatus.ok, reply }, view.ackUpTo)
    owner.appended()
    const position = this.#position(seq)
    if (seq <= owner.commit)
      sendReply(client, owner.partition, view.call, ReplyStatus.ok, position, reply, 0, size)
    else owner.replies.pushRecord(client, view.call, position, location)
    return location
  }

  #append(
    kind: RecordKind,
    cause: RemoveCause,
    bytes: Uint8Array,
    start: number,
    end: number,
    expiresAt: number,
    answered: boolean,
  ): number {
    const { view, payload } = this
    const input = workspace.record
    const keyed = kind === RecordKind.put || kind === RecordKind.remove
    input.kind = kind
    input.cause = cause
    input.map = view.map
    input.hash = keyed ? this.#hash : 0
    input.keyBytes = view.bytes
    input.keyStart = view.keyStart
    input.keyEnd = keyed ? view.keyEnd : view.keyStart
    input.valueBytes = bytes
    input.valueStart = start
    input.valueEnd = end
    input.expiresAt = expiresAt
    input.envelope = answered ? envelope : undefined
    if (answered) {
      envelope.call = view.call
      envelope.ackUpTo = view.ackUpTo
      envelope.replyBytes = payload.buffer
      envelope.replyStart = payload.start
      envelope.replyEnd = payload.length
    }
    const location = this.store.append(input)
    this.store.applyHead(location)
    return location
  }

  /** The first write of a session here: a record gives it its number in this partition. */
  #openSession(): Session {
    const { owner, store, client, now } = this
    const { sessions } = owner.replica
    if (sessions.size >= this.limits.sessionsMax) {
      throw new GridError(
        'OVERLOADED',
        `partition ${owner.partition} remembers ${sessions.size} sessions (sessionsMax)`,
      )
    }
    const w = new ByteWriter(32)
    const number = sessions.nextNumber
    writeSessionOpen(w, number, client.peer.id)
    const value = w.take()
    store.applyHead(
      store.append({
        ...blankRecord,
        kind: RecordKind.sessionOpen,
        valueBytes: value,
        valueEnd: value.length,
      }),
    )
    sessions.nowMonoMs = now.monoMs
    const session = sessions.open(number, client.peer.id)
    owner.appended()
    return session
  }

  /** The write is done whatever comes of this; for want of memory the next one tries again. */
  #evict(location: number): void {
    try {
      this.housekeeping.stored(this.view.map, location, this.now)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
    }
  }

  // ---- answers out of turn

  /** Answers with an error. Nothing was changed unless the error says so. */
  fail(client: Outlet, call: number, error: GridError): void {
    const w = new ByteWriter(256)
    writeError(w, error)
    const position = this.#position(this.store.head)
    sendReply(client, this.owner.partition, call, ReplyStatus.error, position, w.buffer, 0, w.length)
  }

  /** Queries that wait for their turn. */
  get queued(): number {
    return this.#queries.length
  }

  /** The ownership is over: calls that have not been carried out go to the new owner. */
  abandon(visit: (client: Outlet, call: number) => void): void {
    for (const { client, view } of this.#queries) visit(client, view.call)
    this.#queries = []
  }

  /** Runs the oldest query; true when there are more. */
  work(now: Now): boolean {
    const queued = this.#queries.shift()
    if (queued && !queued.client.closed) this.#runQuery(queued, now)
    return this.#queries.length > 0
  }

  #runQuery({ client, view, query }: QueuedQuery, now: Now): void {
    this.view = view
    this.client = client
    this.now = now
    this.payload.reuse(PAYLOAD_KEPT_BYTES)
    try {
      query.run(this.store, view.map, (record) => this.housekeeping.isExpired(record, now), this.payload)
      this.read(this.store.head)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      this.fail(client, view.call, error)
    }
  }
}

/** The hash of a call's key. @throws GridError where it is no key, or one of another partition */
export function hashOfKey({ bytes, keyStart, keyEnd, partition }: CallView, context: Context): number {
  checkKey(bytes, keyStart, keyEnd, context.limits)
  const hash = hashBytes(bytes, keyStart, keyEnd)
  if (partitionOf(hash, context.partitionCount) === partition) return hash
  throw new GridError('MALFORMED', `the key does not belong to partition ${partition}`)
}
