/**
 * A member as the client sees it: where it is, and the one connection to it.
 */

import { GridError } from '../core/base/errors.ts'
import { beginMessage, endMessage, MessageType, Operation, writeCallHeader } from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'

/** How much may be appended to a link before its queue is looked at again. */
const CHECK_BYTES = 64 * 1024
/**
 * Silence on a connection after which the member is asked whether it is there, and after which it is not. A transport may
 * know sooner that the other process is gone (silence.ts); this finds one that reads and no longer answers.
 */
const PROBE_MS = 2000
const DEAD_MS = 4000

/** A connection that lasted so long was not closed for being opened. */
const LIVED_MS = 1000

/** Stands in a question in place of a call's number. */
export const NO_CALL = 0

export class Peer {
  /** The incarnation. */
  readonly id: string
  address: string
  name: string
  /** The open link, if there is one. */
  link: Link | undefined
  connecting = false
  /** The boot of the last view that came over the link. */
  boot: string | undefined
  /** Whether a view has named it. */
  listed = false
  /** When connecting may be tried again, and the pause after that. */
  nextAttemptMs = 0
  backoffMs = 0
  /** When the link was opened, and whether a view that came over it was taken. */
  openedMs = 0
  proven = false
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
    this.nextAttemptMs = 0
    this.openedMs = nowMs
    this.proven = false
    this.heardMs = nowMs
    this.probedMs = 0
    this.full = false
    this.#unchecked = 0
    this.lastError = undefined
  }

  /**
   * The link is gone. One that was closed soon after it was opened counts as a failed attempt, or connecting would go
   * on without a pause; says how much of a failure it was.
   */
  lost(error: GridError, nowMs: number, chance: number): 'lived' | 'proven' | 'failed' {
    this.link = undefined
    this.boot = undefined
    this.lastError = error
    const lived = nowMs - this.openedMs >= LIVED_MS
    if (lived || this.proven) this.backoffMs = 0
    if (lived) return 'lived'
    this.failed(error, nowMs, chance)
    return this.proven ? 'proven' : 'failed'
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

/** Asks a silent member for the view; one that does not answer that either is cut off. */
export function probe(peer: Peer, nowMs: number): void {
  if (peer.link === undefined || nowMs - peer.heardMs < PROBE_MS) return
  if (peer.probedMs <= peer.heardMs) {
    peer.probedMs = nowMs
    writeViewRequest(peer.link)
  } else if (nowMs - peer.probedMs > DEAD_MS)
    peer.link.close(new GridError('UNREACHABLE', `${peer.address}: silent for ${DEAD_MS} ms`))
}

/** Asks for the newest view. */
export function writeViewRequest(link: Link): void {
  endMessage(link.out, beginMessage(link.out, MessageType.viewRequest))
  link.wake()
}

/** Asks who owns a partition, by a call without a number, which nobody carries out. */
export function writeQuestion(link: Link, partition: number, epoch: number): void {
  const mark = beginMessage(link.out, MessageType.call)
  writeCallHeader(link.out, partition, NO_CALL, 0, epoch, Operation.size, 0, 0, 0)
  endMessage(link.out, mark)
  link.wake()
}
