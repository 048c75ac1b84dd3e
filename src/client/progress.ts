/**
 * Asks members, now and then, how far this client has been told of what has changed.
 *
 * What an answer proves counts from the moment when its request was written, on this client's own clocks: however late
 * the answer comes, and whatever the clocks of others say, nothing acknowledged before that moment is missing.
 * (Leases of owners are measured from the sending of a beacon for the same reason.) Requests go out only while somebody
 * wants them, and no more than a few are under way on a link: a member that does not answer is not flooded.
 */

import { type Progress, writeProgressRequest } from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'
import type { EventSink, Moment } from './event-sink.ts'

/** Requests under way on one link. */
const PENDING_MAX = 8

interface Asked extends Moment {
  readonly request: number
}

export interface ProgressOptions {
  /** Every link that is open. */
  readonly links: () => Iterable<Link>
  readonly nowMs: () => number
  readonly wallMs: () => number
}

export class ProgressRequests {
  readonly #options: ProgressOptions
  /** By link, oldest first: what has not been answered, and the last that has. */
  readonly #asked = new Map<Link, Asked[]>()
  readonly #soon = new Set<Link>()
  #last = 0
  #everyMs = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  /** From now on every member is asked at least this often. */
  want(everyMs: number): void {
    if (this.#closed || everyMs >= this.#everyMs) return
    this.#everyMs = everyMs
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.#askAll(), everyMs)
    this.#timer.unref()
  }

  /** Asks once what has arrived is read: a subscription has begun, and nothing is proven of it. */
  askSoon(link: Link): void {
    if (this.#closed) return
    if (this.#soon.size === 0)
      setImmediate(() => {
        const links = [...this.#soon]
        this.#soon.clear()
        for (const one of links) this.#ask(one)
      })
    this.#soon.add(link)
  }

  onProgress(link: Link, { request, told }: Progress, sinks: ReadonlyMap<number, EventSink>): void {
    const asked = this.#asked.get(link)
    if (asked === undefined) return
    // Answers come in the order of the requests; one that was passed over will not be answered.
    while (asked.length > 0 && asked[0]!.request < request) asked.shift()
    const moment = asked[0]
    if (moment?.request !== request) return
    for (const { watch, partition } of told) sinks.get(watch)?.onTold?.(link, watch, partition, moment)
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#asked.clear()
  }

  #askAll(): void {
    for (const link of this.#asked.keys()) if (link.closed) this.#asked.delete(link)
    for (const link of this.#options.links()) this.#ask(link)
  }

  #ask(link: Link): void {
    if (this.#closed || link.closed) return
    const asked = this.#asked.get(link) ?? []
    this.#asked.set(link, asked)
    if (asked.length >= PENDING_MAX) return
    const { nowMs, wallMs } = this.#options
    const request = ++this.#last
    asked.push({ request, monoMs: nowMs(), wallMs: wallMs() })
    writeProgressRequest(link.out, request)
    link.wake()
  }
}
