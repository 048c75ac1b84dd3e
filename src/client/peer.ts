/**
 * A member as the client sees it: where it is, and the one connection to it.
 */

import type { GridError } from '../core/base/errors.ts'
import type { Link } from '../transport/transport.ts'

/** How much may be appended to a link before its queue is looked at again. */
const CHECK_BYTES = 64 * 1024

export class Peer {
  /** The incarnation. */
  readonly id: string
  address: string
  name: string
  /** The open link, if there is one. */
  link: Link | undefined
  connecting = false
  /** Whether a view has named it. */
  listed = false
  /** When connecting may be tried again, and the pause after that. */
  nextAttemptMs = 0
  backoffMs = 0
  lastError: GridError | undefined
  /** Whether too much is queued for it; calls wait until it has taken some. */
  full = false
  /** When something was heard last, and when it was last asked whether it is there. */
  heardMs = 0
  probedMs = 0

  readonly #queueBytesMax: number
  #unchecked = 0

  constructor(id: string, address: string, name: string, queueBytesMax: number) {
    this.id = id
    this.address = address
    this.name = name
    this.#queueBytesMax = queueBytesMax
  }

  opened(link: Link, nowMs: number): void {
    this.link = link
    this.connecting = false
    this.backoffMs = 0
    this.nextAttemptMs = 0
    this.heardMs = nowMs
    this.probedMs = 0
    this.full = false
    this.#unchecked = 0
    this.lastError = undefined
  }

  failed(error: GridError, nowMs: number, chance: number): void {
    this.connecting = false
    this.lastError = error
    this.backoffMs = Math.min(1000, Math.max(10, this.backoffMs * 2))
    this.nextAttemptMs = nowMs + this.backoffMs * (0.5 + chance / 2)
  }

  /** Notes that `sizeBytes` were appended to the link. */
  wrote(sizeBytes: number): void {
    this.#unchecked += sizeBytes
    if (this.#unchecked > CHECK_BYTES) this.measure()
  }

  /** Looks at the link's queue. */
  measure(): void {
    this.#unchecked = 0
    this.full = this.link !== undefined && this.link.queuedBytes > this.#queueBytesMax
  }
}
