/**
 * What a near cache hears: one subscription for each partition of its map, at the owner, for the keys of what changes.
 *
 * It keeps no position. Whenever a subscription ends, for whatever reason, everything of its partition is dropped, and a new
 * one begins with what comes. Its number is never used twice for one partition, so no event of an old one passes for new.
 * Events are granted in plenty: they are taken as they arrive, and a subscription that waits for credit proves nothing.
 */

import type { ByteReader } from '../core/base/bytes.ts'
import type { GridError } from '../core/base/errors.ts'
import {
  EventKind,
  type EventsHeader,
  readEvent,
  writeCredit,
  writeUnwatch,
  writeWatch,
} from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'
import type { EventSink, Moment } from './event-sink.ts'
import type { Lane } from './lane.ts'
import type { MapGate, MapWaiter } from './map-catalog.ts'
import type { NearCache } from './near-cache.ts'
import { toKey } from './operation.ts'
import { RetryClock } from './retry-clock.ts'
import type { Router } from './router.ts'

/** Events granted to one partition, and how many may come before they are granted anew. */
const CREDIT = 0x4000_0000
const GRANT = 0x1000_0000
const BACKOFF_FIRST_MS = 5
/** How often the proof of a partition is renewed while an entry may be served by it. */
const PROOFS = 4
const NO_BYTES = new Uint8Array(0)
/** A member refuses a subscription with one of these when no other member would take it either. */
const FATAL: ReadonlySet<string> = new Set(['BAD_OPTION', 'FORBIDDEN', 'MALFORMED'])

/** The subscription to one partition. */
interface Feed {
  readonly partition: number
  watch: number
  /** Undefined while there is no subscription. */
  link: Link | undefined
  /** Events taken that have not been granted anew. */
  owed: number
  retryAtMs: number
  backoffMs: number
}

export class NearFeeds implements EventSink, MapWaiter {
  readonly #router: Router
  readonly #gate: MapGate
  readonly #cache: NearCache
  readonly #retries: RetryClock<Feed>
  #feeds: Feed[] = []
  #started = false
  /** It has failed for good, or the client is closed: every read goes to the owner. */
  #ended = false
  /** The number of new subscriptions, and how many have each. */
  #watch = 0
  readonly #uses = new Map<number, number>()

  constructor(router: Router, gate: MapGate, cache: NearCache, nowMs: () => number) {
    this.#router = router
    this.#gate = gate
    this.#cache = cache
    this.#retries = new RetryClock(nowMs, (feed) => this.#subscribe(feed), BACKOFF_FIRST_MS)
  }

  /** Begins to subscribe, once; called with every read that the cache cannot answer. */
  start(): void {
    if (this.#started || this.#ended || this.#router.closed) return
    this.#started = true
    this.#router.awaitMap(this.#gate, this)
  }

  opened(): void {
    if (this.#ended) return
    this.#router.progress.want(this.#cache.bounds.maxStaleMs / PROOFS)
    this.#feeds = this.#router.lanes.map(({ partition }) => ({
      partition,
      watch: 0,
      link: undefined,
      owed: 0,
      retryAtMs: 0,
      backoffMs: 0,
    }))
    this.#watch = this.#router.subscribe(this)
    for (const feed of this.#feeds) this.#subscribe(feed)
  }

  /** The map could not be opened: reads say why, and the next of them tries again. */
  failed(): void {
    this.#started = false
  }

  // --- Subscribing

  #subscribe(feed: Feed): void {
    if (this.#ended || feed.link !== undefined || feed.retryAtMs !== 0) return
    const { owner, epoch } = this.#router.lanes[feed.partition]!
    const link = owner?.link
    if (owner === undefined || link === undefined || link.closed) {
      if (owner !== undefined) this.#router.roster.connect(owner)
      this.#router.requestView()
      this.#retries.backOff(feed)
      return
    }
    // All that begin anew together share a number, so that there are few.
    if (feed.watch === this.#watch) this.#watch = this.#router.subscribe(this)
    feed.watch = this.#watch
    this.#uses.set(feed.watch, (this.#uses.get(feed.watch) ?? 0) + 1)
    feed.link = link
    feed.owed = 0
    writeWatch(link.out, {
      watch: feed.watch,
      partition: feed.partition,
      epoch,
      map: this.#gate.id,
      initial: false,
      resume: undefined,
      heldKnown: false,
      keysOnly: true,
      credit: CREDIT,
      where: NO_BYTES,
      held: [],
    })
    link.wake()
  }

  /** The subscription under way is over. */
  #detach(feed: Feed): void {
    const { link, watch, partition } = feed
    if (link === undefined) return
    this.#cache.lost(partition)
    feed.link = undefined
    if (!link.closed) {
      writeUnwatch(link.out, watch, partition)
      link.wake()
    }
    const uses = this.#uses.get(watch)! - 1
    if (uses > 0) this.#uses.set(watch, uses)
    else {
      this.#uses.delete(watch)
      if (watch !== this.#watch) this.#router.unsubscribe(watch)
    }
  }

  onRoute({ partition, owner }: Lane): void {
    const feed = this.#feeds[partition]
    if (feed === undefined || (feed.link !== undefined && feed.link === owner?.link)) return
    this.#detach(feed)
    this.#retries.release(feed)
    this.#subscribe(feed)
  }

  onEnd(link: Link, watch: number, partition: number, { code }: GridError): void {
    const feed = this.#feedOf(link, watch, partition)
    if (feed === undefined) return
    if (FATAL.has(code)) {
      this.#end()
      return
    }
    this.#detach(feed)
    if (code === 'NOT_OWNER' || code === 'PARTITION_LOST') this.#router.requestView()
    this.#retries.backOff(feed)
  }

  #feedOf(link: Link, watch: number, partition: number): Feed | undefined {
    const feed = this.#feeds[partition]
    return feed?.link === link && feed.watch === watch ? feed : undefined
  }

  // --- News

  onEvents(link: Link, header: EventsHeader, reader: ByteReader): void {
    const feed = this.#feedOf(link, header.watch, header.partition)
    if (feed === undefined) return
    try {
      for (let left = header.count; left > 0; left--) this.#read(feed, link, reader)
    } catch (error) {
      // Begun again, it would meet the same bytes.
      this.#end()
      throw error
    }
    feed.owed += header.count
    if (feed.owed < GRANT) return
    writeCredit(link.out, feed.watch, feed.partition, feed.owed)
    link.wake()
    feed.owed = 0
  }

  #read(feed: Feed, link: Link, reader: ByteReader): void {
    const { kind, key } = readEvent(reader)
    switch (kind) {
      case EventKind.clear:
        this.#cache.cleared(feed.partition)
        return
      case EventKind.reset:
        this.#cache.lost(feed.partition)
        return
      case EventKind.snapshotEnd:
        feed.backoffMs = 0
        this.#cache.established(feed.partition)
        this.#router.progress.askSoon(link)
        return
      default:
        this.#cache.drop(toKey(key, 0, key.length, this.#router.limits))
    }
  }

  onTold(link: Link, watch: number, partition: number, asked: Moment): void {
    if (this.#feedOf(link, watch, partition) !== undefined) this.#cache.told(partition, asked)
  }

  // --- The end

  onClosed(): void {
    this.#end()
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#retries.close()
    for (const feed of this.#feeds) this.#detach(feed)
    this.#router.unsubscribe(this.#watch)
    this.#cache.lostAll()
  }
}
