/**
 * Watches: the entries that match and everything that happens to them, as an async iterator.
 *
 * One subscription for each partition, at its owner. When an owner changes or a connection is lost, the feed goes on
 * at the new owner where it was (watch-feed.ts). Members send only what was granted: the watcher's own buffer is
 * bounded by the credit, about 4,096 events in all, and a watcher that does not read slows nobody down.
 */

import { type ByteReader, ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { checkFilter, type Filter } from '../core/query/filter.ts'
import type { Key } from '../core/wire/key.ts'
import {
  EventKind,
  type EventsHeader,
  readEvent,
  type WatchEvent,
  writeCredit,
  writeUnwatch,
  writeWatch,
} from '../core/wire/message.ts'
import { encodeValue } from '../core/wire/value.ts'
import { decodeValue } from '../core/wire/value-decode.ts'
import type { Link } from '../transport/transport.ts'
import { Channel } from './channel.ts'
import type { EventSink } from './event-sink.ts'
import type { Lane } from './lane.ts'
import type { MapGate, MapWaiter } from './map-catalog.ts'
import { toKey } from './operation.ts'
import { checkNames } from './options.ts'
import { RetryClock } from './retry-clock.ts'
import type { Router } from './router.ts'
import {
  type Change,
  ChangeRecord,
  type ChangeSource,
  type ChangeType,
  type RemoveCause,
} from './watch-change.ts'
import { Feed } from './watch-feed.ts'
import { decodeToken, encodeToken, Positions } from './watch-token.ts'

/** Events granted over all partitions, and to each at least. */
const CREDIT_TOTAL = 4096
const CREDIT_MIN = 8
const BACKOFF_FIRST_MS = 5

const OPTIONS = ['where', 'initial', 'resume', 'signal'] as const
const CAUSES: readonly RemoveCause[] = ['removed', 'expired', 'evicted']
const TYPES: Readonly<Record<number, ChangeType>> = {
  [EventKind.snapshot]: 'snapshot',
  [EventKind.put]: 'put',
  [EventKind.remove]: 'remove',
  [EventKind.leave]: 'leave',
  [EventKind.clear]: 'clear',
  [EventKind.reset]: 'reset',
}
/** A member ends a subscription with one of these when no other member would take it either. */
const FATAL: ReadonlySet<string> = new Set([
  'BAD_FILTER',
  'BAD_VALUE',
  'BAD_OPTION',
  'TOO_LARGE',
  'FORBIDDEN',
  'MALFORMED',
])

export interface WatchOptions<V> {
  /** Which entries. Left out: all. */
  readonly where?: Filter<V> | undefined
  /** Whether to begin with the entries as they are. Default true; without meaning where `resume` is given. */
  readonly initial?: boolean | undefined
  /** The token of a change: go on after it. Where that is too long ago, a partition begins with a `reset`. */
  readonly resume?: string | undefined
  /** Ends the watch; the iterator is then done. */
  readonly signal?: AbortSignal | undefined
}

/** A watch is iterated once. Leaving the loop, `close` or the signal end it. */
export interface Watch<K extends Key, V> extends AsyncIterable<Change<K, V>> {
  /**
   * Resolves when every partition has sent its snapshot, or has begun its stream: what happens from then on will
   * come. More rows than the buffer holds arrive only as they are read. Rejects when the watch fails before.
   */
  readonly ready: Promise<void>
  [Symbol.asyncIterator](): AsyncIterator<Change<K, V>, undefined>
  close(): void
}

/** An event in the buffer. One without a change only moves the position on. */
interface Item {
  readonly feed: Feed
  readonly change: ChangeRecord | undefined
  readonly era: number
  /** Where the feed stands once this is taken; -1: nowhere. */
  seq: number
}

/** @throws GridError `BAD_FILTER`, `BAD_OPTION` */
export function watchMap<K extends Key, V>(
  router: Router,
  gate: MapGate,
  options: WatchOptions<never>,
): Watch<K, V> {
  return new WatchStream(router, gate, options) as unknown as Watch<K, V>
}

class WatchStream implements EventSink, MapWaiter, ChangeSource {
  readonly ready: Promise<void>
  readonly #router: Router
  readonly #gate: MapGate
  readonly #options: WatchOptions<never>
  readonly #where: Uint8Array
  readonly #credit: number
  readonly #items = new Channel<Item>()
  readonly #positions: Positions
  /** The number of the first subscriptions; one that is made anew has its own, so that no old event passes for new. */
  #firstWatch = 0
  #feeds: Feed[] = []
  #unready: number
  #resolveReady!: () => void
  #rejectReady!: (error: GridError) => void
  /** A copy of the positions, renewed now and then, for tokens of changes that are not the newest any more. */
  #base: Positions
  #sinceBase = 0
  #newest: ChangeRecord | undefined
  readonly #retries = new RetryClock<Feed>(
    () => performance.now(),
    (feed) => this.#subscribe(feed),
    BACKOFF_FIRST_MS,
  )
  #closed = false
  readonly #onAbort = (): void => this.close()

  constructor(router: Router, gate: MapGate, options: WatchOptions<never>) {
    checkNames(options, OPTIONS, 'watch option')
    const { where, signal } = options
    this.#router = router
    this.#gate = gate
    this.#options = options
    const w = new ByteWriter(128)
    if (where !== undefined) {
      checkFilter(where, router.limits)
      encodeValue(w, where, router.limits)
    }
    this.#where = w.take()
    this.#unready = router.lanes.length
    this.#credit = Math.max(CREDIT_MIN, Math.floor(CREDIT_TOTAL / Math.max(1, this.#unready)))
    this.#positions = Positions.none(this.#unready)
    this.#base = this.#positions.copy()
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ready.catch(() => {}) // Not everybody waits for it.
    if (router.closed) this.failed(new GridError('CLOSED', 'the client has been closed'))
    else if (signal?.aborted) this.close()
    else {
      signal?.addEventListener('abort', this.#onAbort)
      router.awaitMap(gate, this)
    }
  }

  // --- The consumer's side

  [Symbol.asyncIterator](): AsyncIterator<ChangeRecord, undefined> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.close()
        return { value: undefined, done: true }
      },
    }
  }

  close(): void {
    this.#end(undefined)
    this.#items.clear()
  }

  async #next(): Promise<IteratorResult<ChangeRecord, undefined>> {
    for (;;) {
      const item = this.#items.shift()
      const taken = item === undefined ? await this.#items.take() : { value: item, done: false as const }
      if (taken.done) return { value: undefined, done: true }
      const { feed, change, era, seq } = taken.value
      feed.queued--
      this.#taken(feed, era, seq)
      if (change === undefined) continue
      if (++this.#sinceBase >= this.#positions.seqs.length) {
        this.#sinceBase = 0
        this.#base = this.#positions.copy()
      }
      change.handOut(this.#base, era, seq)
      this.#newest = change
      return { value: change, done: false }
    }
  }

  /** An event has been taken or dropped: the stream stands after it, and there is room for another one. */
  #taken(feed: Feed, era: number, seq: number): void {
    this.#positions.set(feed.partition, era, seq)
    feed.owed++
    if (feed.link === undefined || feed.link.closed || feed.owed * 2 < this.#credit) return
    writeCredit(feed.link.out, feed.watch, feed.partition, feed.owed)
    feed.link.wake()
    feed.owed = 0
  }

  tokenOf(change: ChangeRecord): string {
    const positions = change === this.#newest ? this.#positions : change.positions()
    return encodeToken(this.#router.view!.clusterId, this.#gate.id, positions)
  }

  covers(partition: number, key: unknown): boolean {
    return this.#router.calls.partitionOfKey(key) === partition
  }

  // --- The map is open

  opened(): void {
    if (this.#closed) return
    const { resume, initial = true } = this.#options
    const count = this.#router.lanes.length
    const filtered = this.#where.length > 0
    let from: Positions | undefined
    try {
      if (resume !== undefined) from = decodeToken(resume, this.#router.view!.clusterId, this.#gate.id, count)
    } catch (error) {
      this.failed(error as GridError)
      return
    }
    this.#firstWatch = this.#router.subscribe(this)
    for (let partition = 0; partition < count; partition++) {
      const feed = new Feed(
        partition,
        from !== undefined || initial,
        filtered,
        from === undefined,
        this.#router.limits.watchKeysMax,
      )
      this.#feeds.push(feed)
      if (from === undefined) continue
      if (from.seqs[partition]! >= 0) {
        feed.resume(from.eras[partition]!, from.seqs[partition]!)
        this.#positions.set(partition, feed.era, feed.seq)
      } else this.#startAgain(feed) // The former watch may have told of rows.
    }
    for (const feed of this.#feeds) this.#subscribe(feed)
  }

  failed(error: GridError): void {
    this.#end(error)
  }

  // --- Subscribing

  #subscribe(feed: Feed): void {
    if (this.#closed || feed.link !== undefined || feed.retryAtMs !== 0) return
    const { owner, epoch } = this.#router.lanes[feed.partition]!
    const link = owner?.link
    if (owner === undefined || link === undefined || link.closed) {
      if (owner !== undefined) this.#router.roster.connect(owner)
      this.#router.requestView()
      this.#retries.backOff(feed)
      return
    }
    feed.watch = feed.watch === 0 ? this.#firstWatch : this.#router.subscribe(this)
    feed.link = link
    feed.owed = 0
    const held = feed.positioned ? feed.heldHashes() : undefined
    writeWatch(link.out, {
      watch: feed.watch,
      partition: feed.partition,
      epoch,
      map: this.#gate.id,
      initial: !feed.positioned && feed.fromScratch,
      resume: feed.positioned ? { era: feed.era, seq: feed.seq } : undefined,
      heldKnown: held !== undefined,
      keysOnly: false,
      // What is still in the buffer is granted as it is taken.
      credit: Math.max(1, this.#credit - feed.queued),
      where: this.#where,
      held: held ?? [],
    })
    link.wake()
  }

  /** The subscription under way is over. */
  #detach(feed: Feed): void {
    if (feed.link === undefined) return
    if (!feed.link.closed) {
      writeUnwatch(feed.link.out, feed.watch, feed.partition)
      feed.link.wake()
    }
    if (feed.watch !== this.#firstWatch) this.#router.unsubscribe(feed.watch)
    feed.link = undefined
    if (!feed.positioned && feed.dirty && !this.#closed) this.#startAgain(feed)
  }

  /** Tells the watcher that what it knows of the partition is void. */
  #startAgain(feed: Feed): void {
    const { era } = feed
    feed.reset()
    this.#pass(
      feed,
      new ChangeRecord(this, 'reset', feed.partition, undefined, undefined, undefined, era, 0),
      -1,
    )
  }

  onRoute({ partition, owner }: Lane): void {
    const feed = this.#feeds[partition]
    if (feed === undefined || (feed.link !== undefined && feed.link === owner?.link)) return
    this.#detach(feed)
    this.#retries.release(feed)
    this.#subscribe(feed)
  }

  onEnd(link: Link, watch: number, partition: number, error: GridError): void {
    const feed = this.#feeds[partition]
    if (feed === undefined || feed.watch !== watch || feed.link !== link) return
    if (FATAL.has(error.code)) {
      this.failed(error)
      return
    }
    if (feed.watch !== this.#firstWatch) this.#router.unsubscribe(feed.watch)
    feed.link = undefined
    // Positions of another era mean nothing: as if no position were known.
    if (error.code === 'ERA_CHANGED') feed.positioned = false
    if (!feed.positioned && feed.dirty) this.#startAgain(feed)
    // A lost partition is asked for until somebody begins it anew: then the watcher is told `reset`.
    if (error.code === 'NOT_OWNER' || error.code === 'PARTITION_LOST') this.#router.requestView()
    this.#retries.backOff(feed)
  }

  // --- Events

  onEvents(link: Link, header: EventsHeader, reader: ByteReader): void {
    const feed = this.#feeds[header.partition]
    if (feed === undefined || feed.watch !== header.watch || feed.link !== link) return
    try {
      this.#read(feed, header, reader)
    } catch (error) {
      // Begun again, it would meet the same bytes.
      this.failed(error as GridError)
      throw error
    }
  }

  #read(feed: Feed, header: EventsHeader, reader: ByteReader): void {
    feed.era = header.era
    feed.backoffMs = 0
    // Without rows to come, whatever comes first is the beginning of the stream.
    if (!feed.fromScratch && header.position > 0) feed.positioned = true
    for (let left = header.count; left > 0; left--) {
      const event = readEvent(reader)
      if (event.kind === EventKind.snapshotEnd && event.seq === 0) event.seq = header.position
      const tell = feed.accept(event)
      this.#pass(feed, tell ? this.#change(feed, event) : undefined, feed.positioned ? feed.seq : -1)
    }
    // Past the last event there may be more that did not concern this watch.
    if (feed.positioned && header.position > feed.seq) {
      feed.seq = header.position
      if (feed.queued === 0) this.#positions.set(feed.partition, feed.era, feed.seq)
    }
    if (feed.positioned && !feed.ready) {
      feed.ready = true
      if (--this.#unready === 0) this.#resolveReady()
    }
  }

  #change(feed: Feed, { kind, cause, seq, key, value }: WatchEvent): ChangeRecord {
    const { limits } = this.#router
    const type = TYPES[kind]
    if (type === undefined) throw new GridError('MALFORMED', `an event of kind ${kind}`)
    const hasValue = kind === EventKind.snapshot || kind === EventKind.put
    return new ChangeRecord(
      this,
      type,
      feed.partition,
      key.length === 0 ? undefined : toKey(key, 0, key.length, limits),
      hasValue ? decodeValue(value, 0, value.length, limits) : undefined,
      kind === EventKind.remove ? CAUSES[cause] : undefined,
      feed.era,
      seq,
    )
  }

  #pass(feed: Feed, change: ChangeRecord | undefined, seq: number): void {
    if (change === undefined && feed.queued === 0) {
      this.#taken(feed, feed.era, seq)
      return
    }
    feed.queued++
    this.#items.push({ feed, change, era: feed.era, seq })
  }

  // --- The end

  onClosed(): void {
    this.#end(undefined)
  }

  #end(error: GridError | undefined): void {
    if (this.#closed) return
    this.#closed = true
    this.#retries.close()
    this.#router.catalog.leave(this.#gate, this)
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    for (const feed of this.#feeds) this.#detach(feed)
    this.#router.unsubscribe(this.#firstWatch)
    this.#items.end(error)
    this.#rejectReady(error ?? new GridError('CLOSED', 'the watch was closed'))
  }
}
