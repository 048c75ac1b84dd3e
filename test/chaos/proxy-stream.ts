/**
 * One direction of a connection through the proxy: takes what arrives, and hands it on when the conditions say.
 *
 * Chances are drawn for spans of bytes, in the order of the stream, so that they do not hang on how the kernel cuts it
 * into reads. Bytes keep their order, and none is left out of a stream that goes on.
 */

import type { Socket } from 'node:net'
import { randomInt, seededRandom } from '../../src/core/base/random.ts'

/** What a link does to the bytes of both directions; the default is a perfect link. */
export interface Conditions {
  /** Every byte comes so much later, … */
  readonly delayMs: number
  /** … and up to so much more; what is behind it waits too. */
  readonly jitterMs: number
  readonly bytesPerSecond: number
  /** Share of the spans (about 4 KiB) before which the stream stands still for `stallMs`. */
  readonly stallShare: number
  readonly stallMs: number
  /** Share of the spans before which the connection is reset. */
  readonly resetShare: number
}

export const PERFECT: Conditions = {
  delayMs: 0,
  jitterMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  stallShare: 0,
  stallMs: 0,
  resetShare: 0,
}

/** Who sends: the one that connected, or the address behind the proxy. */
export type Sender = 'client' | 'target'

const SPAN_BYTES_MAX = 8192
export const HELD_BYTES_MAX = 256 * 1024

export interface Span {
  bytes: number
  /** Each in [0, 1), to be weighed against the conditions of the moment. */
  readonly jitter: number
  readonly stall: number
  readonly reset: number
}

/** The chances of one direction of one connection, span after span. */
export function spansOf(seed: number, connection: number, sender: Sender): () => Span {
  const random = seededRandom(seed * 1_000_003 + connection * 2 + (sender === 'client' ? 0 : 1))
  return () => ({
    bytes: 1 + randomInt(random, SPAN_BYTES_MAX),
    jitter: random.next(),
    stall: random.next(),
    reset: random.next(),
  })
}

export interface Surroundings {
  conditions(): Conditions
  swallows(sender: Sender): boolean
  holds(sender: Sender): boolean
  gone(): void
}

interface Piece {
  readonly bytes: Buffer
  readonly dueMs: number
}

/** One direction of a connection. */
export class Stream {
  /** Whether something has been thrown away: bytes, or the end. */
  lost = false
  lostBytes = 0
  heldBytes = 0
  readonly sender: Sender
  readonly #from: Socket
  readonly #to: Socket
  readonly #spans: () => Span
  readonly #around: Surroundings
  readonly #reset: () => void
  #span: Span
  #queue: Piece[] = []
  #ended = false
  #swallowing = false
  #stopped = false
  /** When the last piece is due. */
  #lastDueMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    sender: Sender,
    from: Socket,
    to: Socket,
    spans: () => Span,
    around: Surroundings,
    reset: () => void,
  ) {
    this.sender = sender
    this.#from = from
    this.#to = to
    this.#spans = spans
    this.#around = around
    this.#reset = reset
    this.#span = { bytes: 0, jitter: 0, stall: 0, reset: 0 }
    from.on('data', (chunk: Buffer) => this.#take(chunk))
    from.on('end', () => this.#end())
    to.on('drain', () => this.pump())
    to.on('connect', () => this.pump())
  }

  #end(): void {
    if (this.#swallowing) this.#from.destroy()
    else if (this.#around.swallows(this.sender)) this.lost = true
    else {
      this.#ended = true
      this.pump()
    }
  }

  /** From now on everything is thrown away, and nobody is told of the end. */
  swallow(): void {
    this.#swallowing = true
    this.#from.resume()
  }

  stop(): void {
    this.#stopped = true
    this.#queue = []
    clearTimeout(this.#timer)
  }

  #take(chunk: Buffer): void {
    if (this.#stopped) return
    if (this.#swallowing || this.#around.swallows(this.sender)) {
      this.lost = true
      this.lostBytes += chunk.length
      return
    }
    for (let at = 0; at < chunk.length && !this.#stopped; ) {
      if (this.#span.bytes === 0) this.#beginSpan()
      const bytes = chunk.subarray(at, at + this.#span.bytes)
      at += bytes.length
      this.#span.bytes -= bytes.length
      this.#append(bytes)
    }
    if (this.heldBytes > HELD_BYTES_MAX) this.#from.pause()
    this.pump()
  }

  #beginSpan(): void {
    this.#span = this.#spans()
    const { resetShare, stallShare, stallMs } = this.#around.conditions()
    if (this.#span.reset < resetShare) this.#reset()
    else if (this.#span.stall < stallShare)
      this.#lastDueMs = Math.max(performance.now(), this.#lastDueMs) + stallMs
  }

  #append(bytes: Buffer): void {
    const { delayMs, jitterMs, bytesPerSecond } = this.#around.conditions()
    const early = performance.now() + delayMs + jitterMs * this.#span.jitter
    const dueMs = Math.max(early, this.#lastDueMs) + (bytes.length * 1000) / bytesPerSecond
    this.#lastDueMs = dueMs
    this.#queue.push({ bytes, dueMs })
    this.heldBytes += bytes.length
  }

  /** Hands on what is due. */
  pump(): void {
    if (this.#stopped || this.#to.destroyed || this.#to.connecting || this.#swallowing) return
    if (this.#around.holds(this.sender)) return
    clearTimeout(this.#timer)
    for (;;) {
      const next = this.#queue[0]
      if (next === undefined) break
      const waitMs = next.dueMs - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), Math.ceil(waitMs))
        return
      }
      if (this.#to.writableNeedDrain) return
      this.#queue.shift()
      this.heldBytes -= next.bytes.length
      this.#to.write(next.bytes)
    }
    if (this.#ended) this.#to.end()
    else if (this.heldBytes < HELD_BYTES_MAX / 2) this.#from.resume()
  }
}
