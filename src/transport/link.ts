/**
 * The part of a link that no network has a say in: few frames a tick, a bounded queue, one end.
 *
 * `out` always begins with room for a frame's header. A flush hands `out.buffer[start, length)` to the wire and
 * moves `start` on within the same slab; a slab that is nearly full is replaced and never used again, because the
 * caller may hold slices of it until its calls are answered.
 *
 * The flush runs in `process.nextTick`: after the handler that appended and every promise that it settled, before the
 * event loop waits again. Measured over TCP, both processes on one core of Node 20 (round trip of one message of 119 B
 * at the median, beside 19.0 µs of bare sockets; messages a frame when 512 callers await through 2 to 7 promises):
 * nextTick 19.9 µs, 512 a frame; setImmediate 20.7 µs, 512 a frame; queueMicrotask 20.0 µs, 100 a frame.
 */

import { assert } from '../core/base/assert.ts'
import { ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { type Limits, outputPauseBytes } from '../core/base/limits.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'
import type { Hello, Link, LinkHandler } from './transport.ts'

export type LinkLimits = Pick<Limits, 'frameBytesMax' | 'outputBytesMax'>

/** What carries the frames of one link. */
export interface Wire {
  /** Bytes taken by `write` that have not left. */
  readonly queuedBytes: number
  /**
   * Takes the frame `bytes[start, end)`; its first 8 bytes are room for a header. `bytes` stay as they are. `onTaken`
   * is called when it has left.
   */
  write(bytes: Buffer, start: number, end: number, onTaken: () => void): void
  /** Stops reading, as far as it can: a little may still arrive. */
  pause(): void
  resume(): void
  /** Closes after what was written. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

// A link begins with a small slab and takes larger ones as it uses them up: idle links are many.
const SLAB_BYTES_MIN = 8 * 1024
const SLAB_BYTES_MAX = 128 * 1024
/**
 * More than this is not kept back until the end of the tick, the first time in a tick; then twice as much, and so on up to
 * the second. So the peer begins while this side still has work, and both of two cores have some: with all of a tick in
 * frames of 64 KiB, 512 calls in flight were with the one side or with the other. One client and one member, values of
 * 119 B, calls a second against 64 KiB: get 1.9 times with 512 in flight and 2.1 with 64, put 1.5 and 1.9. A system call
 * for each 4 KiB throughout costs what it wins with much in flight.
 */
const FLUSH_BYTES_MIN = 4 * 1024
const FLUSH_BYTES_MAX = 16 * 1024
/** Reading goes on when what is unread has fallen to this share of what stopped it. */
const RESUME_SHARE = 1 / 4

/**
 * A link over some wire. One message must be smaller than `frameBytesMax`: `wake`, called after each message, keeps
 * frames near 16 KiB, but it cannot cut a message in two.
 */
export class FramedLink implements Link {
  readonly peer: Hello
  readonly remote: string
  readonly out = new ByteWriter(SLAB_BYTES_MIN)
  closed = false
  readonly #wire: Wire
  readonly #limits: LinkLimits
  #handler: LinkHandler | undefined
  #reason: GridError | undefined
  #slabBytes = SLAB_BYTES_MIN
  #scheduled = false
  #flushBytes = FLUSH_BYTES_MIN
  /** Only a link that was accepted stops reading; see `Transport.listen`. */
  #accepted = false
  #paused = false
  /** What arrived while reading was paused, in order. At most the frames of one read, and one that was postponed. */
  #held: Buffer[] = []
  readonly #onTaken = (): void => {
    if (this.#paused && this.#wire.queuedBytes <= outputPauseBytes(this.#limits) * RESUME_SHARE)
      this.#resume()
  }
  readonly #flushTick = (): void => {
    this.#scheduled = false
    this.#flushBytes = FLUSH_BYTES_MIN
    this.#flush()
  }

  constructor(peer: Hello, remote: string, wire: Wire, limits: LinkLimits) {
    this.peer = peer
    this.remote = remote
    this.#wire = wire
    this.#limits = limits
    this.out.length = FRAME_HEADER_BYTES
  }

  /** Asks `accept` for the handler. What it throws passes through and leaves the link closed. */
  acceptedBy(accept: (link: Link) => LinkHandler): LinkHandler {
    this.#accepted = true
    try {
      return accept(this)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Gives the link its handler. Nothing leaves or arrives before; a close before takes effect now. */
  open(handler: LinkHandler): void {
    this.#handler = handler
    if (this.closed) this.#finish()
  }

  get queuedBytes(): number {
    return this.#wire.queuedBytes + this.out.length - this.out.start - FRAME_HEADER_BYTES
  }

  wake(): void {
    if (this.out.length - this.out.start > this.#flushBytes && this.#handler !== undefined) {
      this.#flushBytes = Math.min(2 * this.#flushBytes, FLUSH_BYTES_MAX)
      this.#flush()
    } else if (!this.#scheduled) {
      this.#scheduled = true
      process.nextTick(this.#flushTick)
    }
  }

  close(reason?: GridError): void {
    this.#flush()
    if (this.closed) return
    this.closed = true
    this.#reason = reason
    if (this.#handler !== undefined) this.#finish()
  }

  /** Closes at once and forgets what has not left. */
  abort(reason: GridError | undefined): void {
    if (!this.closed) {
      this.closed = true
      this.#reason = reason
      this.#finish()
    }
    this.#wire.destroy()
  }

  /** The body of a frame has arrived. */
  receive(bytes: Buffer, start: number, end: number): void {
    if (this.closed) return
    if (this.#paused) this.#held.push(Buffer.from(bytes.subarray(start, end)))
    else this.#handOver(bytes, start, end)
  }

  postpone(bytes: Buffer, start: number, end: number): void {
    if (this.closed) return
    assert(this.#accepted, 'only an accepted link can postpone')
    this.#held.unshift(Buffer.from(bytes.subarray(start, end)))
    this.#pause()
    // Nothing may be left to wait for.
    setImmediate(this.#onTaken)
  }

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#wire.pause()
  }

  /** Hands over what was held, until that stops it again, and reads on. */
  #resume(): void {
    this.#paused = false
    while (!this.#paused && !this.closed) {
      const next = this.#held.shift()
      if (next === undefined) break
      this.#handOver(next, 0, next.length)
    }
    if (!this.#paused && !this.closed) this.#wire.resume()
  }

  #handOver(bytes: Buffer, start: number, end: number): void {
    try {
      this.#handler?.onFrame(this, bytes, start, end)
    } catch (error) {
      this.close(asGridError(error))
    }
  }

  #flush(): void {
    const out = this.out
    const bodyBytes = out.length - out.start - FRAME_HEADER_BYTES
    if (bodyBytes === 0 || this.#handler === undefined) return
    if (this.closed) {
      // Whoever appends to a closed link must not fill the memory with it.
      out.length = out.start + FRAME_HEADER_BYTES
      return
    }
    const { frameBytesMax, outputBytesMax } = this.#limits
    if (bodyBytes > frameBytesMax) {
      const what = `a message of ${bodyBytes} bytes at ${this.remote}; frameBytesMax is ${frameBytesMax}`
      this.abort(new GridError('TOO_LARGE', what))
      return
    }
    this.#wire.write(out.buffer, out.start, out.length, this.#onTaken)
    this.#beginFrame()
    const queuedBytes = this.#wire.queuedBytes
    if (this.#accepted && queuedBytes > outputPauseBytes(this.#limits)) this.#pause()
    if (queuedBytes > outputBytesMax)
      this.abort(
        new GridError(
          'OVERLOADED',
          `${this.remote} leaves ${queuedBytes} bytes unread; outputBytesMax is ${outputBytesMax}`,
        ),
      )
  }

  #beginFrame(): void {
    const out = this.out
    out.start = out.length
    const capacity = out.buffer.length
    if (capacity - out.length < capacity >>> 3 || capacity > 4 * SLAB_BYTES_MAX) {
      this.#slabBytes = Math.min(2 * this.#slabBytes, SLAB_BYTES_MAX)
      out.buffer = Buffer.allocUnsafeSlow(this.#slabBytes)
      out.start = 0
    }
    out.length = out.start + FRAME_HEADER_BYTES
  }

  #finish(): void {
    this.#wire.end()
    this.#held = []
    // The end of what the peer sends must be seen, though nothing of it is wanted any more.
    if (this.#paused) this.#wire.resume()
    // In its own turn: whoever closes a link in the middle of something is not called back there.
    process.nextTick(() => {
      try {
        this.#handler?.onClose(this, this.#reason)
      } catch (error) {
        // There is no link left to close, and the others must not suffer.
        process.emitWarning(`onClose of the link to ${this.remote} threw: ${String(error)}`)
      }
    })
  }
}

/** What a handler threw, as the reason of a close. */
export function asGridError(error: unknown): GridError {
  if (error instanceof GridError) return error
  return new GridError('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error })
}

/** The reason of an attempt to connect that the caller gave up. */
export function abortedBy(signal: AbortSignal, address: string): GridError {
  return new GridError('ABORTED', `${address}: connecting was given up`, {
    applied: 'no',
    cause: signal.reason,
  })
}
