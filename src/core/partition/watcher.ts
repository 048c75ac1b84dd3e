/**
 * Continuous queries: a subscription is the rows that match, each with its seq, and then the log from there on.
 *
 * The rows are gathered slice by slice while writes go on. A row is sent if its record is no newer than the commit at
 * the moment of subscribing (`base`); a key that has changed since is left to the log, which is followed from `base`.
 * The subscriber can resume only from the point at which everything that was skipped has come by the log: `snapshotEnd`
 * is sent when the committed log has been followed to where the head was when the last row was gathered. So each change
 * of a key comes in order and once, and nothing is missed, whatever fails in between.
 *
 * Only committed records are told. A position that the log no longer reaches back to, or of another era, gets a `reset`
 * and new rows: a gap is announced, never silent. What a subscriber has not asked for (credit) or not taken (bytes) is
 * not sent, and costs the writer nothing: the watcher is a position in the log, not a queue.
 */

import { ByteWriter, putU32, putU48 } from '../base/bytes.ts'
import { type ErrorCode, GridError } from '../base/errors.ts'
import { compileFilter, RowFilter } from '../query/scan.ts'
import { RecordKind, type RecordView } from '../store/record.ts'
import type { StoreScan } from '../store/scan.ts'
import {
  beginMessage,
  EVENTS_OFFSET,
  EventKind,
  endMessage,
  MessageType,
  type Watch,
  writeEventsHeader,
  writeWatchEnd,
} from '../wire/message.ts'
import { decodeValue } from '../wire/value-decode.ts'
import type { Now, Outlet } from './context.ts'
import { answersAlone, type Ownership } from './ownership.ts'

/** Events, and about as many bytes, in one message. */
const BATCH_EVENTS = 512
const BATCH_BYTES = 128 * 1024
/** Records looked at in one slice, whether they match or not. */
const SLICE_RECORDS = 2048
/** Records that did not concern a subscriber after which it is told how far it has come all the same. */
const TELL_RECORDS = 1024
/** Bytes that may wait on a subscriber's link before it is left to catch up. */
const QUEUED_BYTES = 1024 * 1024
const MESSAGE_HEADER_BYTES = 4
const EMPTY = Buffer.alloc(0)

type Phase = 'new' | 'rows' | 'settling' | 'stream'

/** One subscription to this partition. */
export class Watcher {
  readonly client: Outlet
  readonly watch: number
  readonly #owner: Ownership
  readonly #map: number
  readonly #filter: RowFilter
  /** The subscriber wants to know what has changed, not to what: no values, and no rows even after a reset. */
  readonly #keysOnly: boolean
  #initialWanted: boolean
  credit: number
  #phase: Phase = 'stream'
  #scan: StoreScan | undefined
  /** Rows are of records up to here; the log is followed from here on. */
  #base = 0
  /** The head when the last row had been gathered. */
  #settled = 0
  /** Everything up to here has been told. */
  #position = 0
  /** The position that the subscriber knows of. */
  #known = 0
  /** Keys that the subscriber was told of and holds, with a filter; undefined where they are not known. */
  #held: Set<string> | undefined
  /** Hashes of keys that it brought along. Two keys may share one, so none is ever taken out. */
  #brought: ReadonlySet<number> = new Set()
  #reset = false
  /** It tells nothing any more. */
  onClosed: (() => void) | undefined
  // the message being written
  #out = new ByteWriter(16)
  #mark = 0
  #count = 0

  constructor(owner: Ownership, client: Outlet, request: Watch) {
    const { limits } = owner.context
    const { where } = request
    this.#owner = owner
    this.client = client
    this.watch = request.watch
    this.#map = request.map
    this.#filter =
      where.length === 0 ? RowFilter.all : compileFilter(decodeValue(where, 0, where.length, limits), limits)
    this.#keysOnly = request.keysOnly
    this.#initialWanted = request.initial && !request.keysOnly
    this.credit = request.credit
    if (this.#filter !== RowFilter.all && (request.heldKnown || !request.resume)) this.#held = new Set()
    this.#brought = new Set(request.held)
    const { resume } = request
    if (!resume) this.#phase = 'new'
    else if (resume.era !== owner.config.era || resume.seq > owner.head) this.#restart()
    else {
      this.#position = resume.seq
      this.#known = resume.seq
    }
  }

  close(): void {
    this.#closeScan()
    this.onClosed?.()
  }

  #closeScan(): void {
    this.#scan?.close()
    this.#scan = undefined
  }

  /**
   * Whether the subscriber has been sent everything that could have been acknowledged before `now`: all that is committed,
   * by an owner that could answer a read by itself, so that no other owner had acknowledged anything.
   */
  isTold(now: Now): boolean {
    const owner = this.#owner
    return this.#phase === 'stream' && this.#position >= owner.commit && answersAlone(owner, now)
  }

  /** Sends what may be sent, one slice; true when there is more to do at once. */
  pump(): boolean {
    if (this.credit <= 0 || this.client.closed || this.client.queuedBytes > QUEUED_BYTES) return false
    // A new owner does not know what is committed until its first record is.
    if (this.#owner.commit < this.#owner.firstSeq) return false
    if (this.#phase === 'new') this.#begin()
    return this.#phase === 'rows' ? this.#rows() : this.#log()
  }

  /** Tells the subscriber how far it has come, where it does not know. */
  tell(): void {
    if (this.#phase !== 'stream' || this.#position === this.#known || this.client.closed) return
    this.#open()
    this.#end(1)
  }

  /** From the beginning: all rows, or, where they are not wanted, just what comes. */
  #begin(): void {
    const { commit, replica } = this.#owner
    this.#base = commit
    this.#position = commit
    if (this.#initialWanted) {
      this.#phase = 'rows'
      this.#scan = replica.store.openScan()
    } else {
      this.#phase = 'settling'
      this.#settled = commit
    }
  }

  /** The subscriber's position cannot be continued from: it is told so, and rows follow. */
  #restart(): void {
    this.#reset = true
    this.#phase = 'new'
    this.#initialWanted = !this.#keysOnly
    if (this.#filter !== RowFilter.all) this.#held = new Set()
    this.#brought = new Set()
  }

  #rows(): boolean {
    const scan = this.#scan
    if (!scan) return false
    this.#open()
    let more = true
    let looked = 0
    while (more && looked < SLICE_RECORDS && this.#room()) {
      more = scan.nextOf(this.#map, 1, (record) => this.#row(record))
      looked++
    }
    if (!more) {
      this.#closeScan()
      this.#phase = 'settling'
      this.#settled = this.#owner.head
    }
    this.#end()
    return this.credit > 0
  }

  #row(record: RecordView): void {
    if (record.seq > this.#base || !this.#matches(record)) return
    this.#hold(record)
    this.#event(EventKind.snapshot, record, true)
  }

  #log(): boolean {
    const { replica, commit } = this.#owner
    const { store } = replica
    if (this.#position + 1 < store.tailFirst && this.#position < commit) {
      this.#closeScan()
      this.#restart()
      return true
    }
    this.#open()
    const upTo = Math.min(commit, this.#position + SLICE_RECORDS)
    if (upTo > this.#position) {
      this.#position = store.walkTail(this.#position + 1, upTo, (record) => {
        this.#change(record)
        return this.#room()
      })
    }
    if (this.#phase === 'settling' && this.#position >= this.#settled && this.#room()) {
      this.#phase = 'stream'
      this.#bare(EventKind.snapshotEnd, this.#position)
    }
    this.#end()
    return this.#position < this.#owner.commit && this.credit > 0
  }

  #change(record: RecordView): void {
    if (record.map !== this.#map) return
    if (record.kind === RecordKind.put) {
      if (this.#matches(record)) {
        this.#hold(record)
        this.#event(EventKind.put, record, !this.#keysOnly)
      } else if (this.#lets(record)) this.#event(EventKind.leave, record, false)
    } else if (record.kind === RecordKind.remove) {
      if (this.#filter === RowFilter.all || this.#lets(record)) this.#event(EventKind.remove, record, false)
    } else if (record.kind === RecordKind.clear) {
      this.#held?.clear()
      this.#bare(EventKind.clear, record.seq)
    }
  }

  #matches(record: RecordView): boolean {
    return (
      this.#filter === RowFilter.all || this.#filter.matches(record.bytes, record.valueStart, record.valueEnd)
    )
  }

  /** Notes that the subscriber holds a key. Past the bound nothing is known of any. */
  #hold(record: RecordView): void {
    if (!this.#held) return
    this.#held.add(keyOf(record))
    if (this.#held.size > this.#owner.context.limits.watchKeysMax) this.#held = undefined
  }

  /** Whether a key may be one that the subscriber holds; from now on it is not. */
  #lets(record: RecordView): boolean {
    return this.#held === undefined || this.#held.delete(keyOf(record)) || this.#brought.has(record.hash)
  }

  // ---- the message

  #open(): void {
    const w = this.client.out
    this.#out = w
    this.#count = 0
    this.#mark = beginMessage(w, MessageType.events)
    writeEventsHeader(w, this.watch, this.#owner.partition, this.#owner.config.era, 0, 0)
    if (this.#reset) {
      this.#reset = false
      this.#bare(EventKind.reset, this.#base)
    }
  }

  #room(): boolean {
    const w = this.#out
    const size = w.length - w.start - this.#mark
    return this.#count < BATCH_EVENTS && this.#count < this.credit && size < BATCH_BYTES
  }

  #event(kind: EventKind, record: RecordView, withValue: boolean): void {
    const w = this.#out
    w.u8(kind)
    w.u8(record.cause)
    w.u48(record.seq)
    w.u16(record.keyEnd - record.keyStart)
    w.bytes(record.bytes, record.keyStart, record.keyEnd)
    w.u32(withValue ? record.valueEnd - record.valueStart : 0)
    if (withValue) w.bytes(record.bytes, record.valueStart, record.valueEnd)
    this.#count++
  }

  #bare(kind: EventKind, seq: number): void {
    const w = this.#out
    w.u8(kind)
    w.u8(0)
    w.u48(seq)
    w.u16(0)
    w.u32(0)
    w.bytes(EMPTY)
    this.#count++
  }

  #end(unknownMax = TELL_RECORDS): void {
    const w = this.#out
    const at = w.start + this.#mark
    const position = this.#phase === 'stream' ? this.#position : 0
    if (this.#count === 0 && position - this.#known < unknownMax) {
      // Nothing to tell: the message is taken back.
      w.length = at
      return
    }
    this.#known = position
    const payload = at + MESSAGE_HEADER_BYTES
    putU48(w.buffer, payload + EVENTS_OFFSET.position, position)
    putU32(w.buffer, payload + EVENTS_OFFSET.count, this.#count)
    endMessage(w, this.#mark)
    this.credit -= this.#count
    this.client.wake()
  }
}

/** A key's bytes as a text of one character a byte: exact, and fit for a set. */
function keyOf(record: RecordView): string {
  return record.bytes.toString('latin1', record.keyStart, record.keyEnd)
}

/** All subscriptions to one partition, at its owner. */
export class Watchers {
  readonly #owner: Ownership
  #watchers: Watcher[] = []

  constructor(owner: Ownership) {
    this.#owner = owner
  }

  get size(): number {
    return this.#watchers.length
  }

  /** @throws GridError `BAD_FILTER`, `OVERLOADED` */
  add(client: Outlet, request: Watch): Watcher {
    const { context, partition } = this.#owner
    this.remove(client, request.watch)
    if (this.#watchers.length >= context.limits.watchersMax) {
      throw new GridError(
        'OVERLOADED',
        `partition ${partition} has ${this.#watchers.length} watchers (watchersMax)`,
      )
    }
    const watcher = new Watcher(this.#owner, client, request)
    this.#watchers.push(watcher)
    context.workLater(partition)
    return watcher
  }

  remove(client: Outlet, watch: number): void {
    this.#drop((watcher) => watcher.client === client && watcher.watch === watch)
  }

  /** A client's link is gone, and its subscriptions with it. */
  removeAll(client: Outlet): void {
    this.#drop((watcher) => watcher.client === client)
  }

  credit(client: Outlet, watch: number, events: number): void {
    const watcher = this.#watchers.find((w) => w.client === client && w.watch === watch)
    if (!watcher) return
    watcher.credit += events
    this.#owner.context.workLater(this.#owner.partition)
  }

  /** The commit has moved: the first slice for each; the rest is background work. */
  pump(): void {
    if (this.work()) this.#owner.context.workLater(this.#owner.partition)
  }

  work(): boolean {
    let more = false
    for (const watcher of this.#watchers) if (watcher.pump()) more = true
    return more
  }

  /**
   * The replicas are about to be others, whose logs may begin later than this one: a subscriber that nothing has
   * happened to for long must know that it has missed nothing, or it could not go on there.
   */
  tell(): void {
    this.pump()
    for (const watcher of this.#watchers) watcher.tell()
  }

  /** The member serves this partition no longer. */
  end(code: ErrorCode, reason: string): void {
    const error = new GridError(code, reason)
    this.tell()
    for (const { client, watch } of this.#watchers) {
      if (client.closed) continue
      writeWatchEnd(client.out, watch, this.#owner.partition, error)
      client.wake()
    }
    this.close()
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers = []
  }

  #drop(which: (watcher: Watcher) => boolean): void {
    if (this.#watchers.length === 0) return
    for (const watcher of this.#watchers) if (which(watcher)) watcher.close()
    this.#watchers = this.#watchers.filter((watcher) => !which(watcher))
  }
}
