/**
 * The seam between the grid and a network: links that carry messages in order, many to a frame.
 *
 * A link is opened with a hello, a small fixed layout that is checked before anything else is parsed: protocol
 * version, cluster, role and id. The peer's identity belongs to the link from then on; no message carries one.
 * Messages are appended to `out` whole; everything appended within one tick leaves as one frame. Delivery is in
 * order and at most once: when a link closes, what was under way may or may not have arrived.
 *
 * Implementations: `tcp` (members and clients), `loopback` (embedded clusters and tests; it encodes like any
 * other). A path over NATS subjects, for clients that cannot reach the members, is to become the third: it has the
 * same face and must pass the same conformance tests.
 */

import type { ByteWriter } from '../core/base/bytes.ts'
import type { GridError } from '../core/base/errors.ts'

/** 1 until the first release: until then it may change without a word. */
export const PROTOCOL_VERSION = 1

export type Role = 'member' | 'client'

/** What each side says of itself before anything else. */
export interface Hello {
  readonly role: Role
  /** Name of the cluster; both sides must say the same. */
  readonly cluster: string
  /** Incarnation of a member or session of a client: 32 hexadecimal digits. */
  readonly id: string
}

export interface Link {
  /** What the peer said of itself. */
  readonly peer: Hello
  /** Where the peer is, for people to read. */
  readonly remote: string
  /** Append whole messages here, then call `wake`. */
  readonly out: ByteWriter
  /** Bytes that the peer has not taken yet. Past `outputBytesMax` the link closes itself with `OVERLOADED`. */
  readonly queuedBytes: number
  readonly closed: boolean
  /**
   * For a handler that stops in the middle of a frame because the peer leaves too much unread: keeps `bytes[start, end)`
   * and hands it over again, before anything else, when the peer has taken most of it. Only on a link that was accepted.
   */
  postpone(bytes: Buffer, start: number, end: number): void
  /** Makes sure that `out` leaves at the end of this tick. Cheap to call many times. */
  wake(): void
  /** Closes after what was appended has been handed to the network. `onClose` follows, once. */
  close(reason?: GridError): void
}

export interface LinkHandler {
  /**
   * The body of one frame: whole messages, `bytes[start, end)`. The memory is used again after the call returns.
   * A throw closes the link with that error and harms no other.
   */
  onFrame(link: Link, bytes: Buffer, start: number, end: number): void
  /** The link is gone; nothing more arrives from it. */
  onClose(link: Link, reason: GridError | undefined): void
}

export interface Listener {
  /** `host:port` that peers can connect to. */
  readonly address: string
  close(): Promise<void>
}

export interface Transport {
  /**
   * Accepts links at `address` (`host:port`; port 0 takes any free one). `accept` is called once the peer's hello
   * is good; it returns the handler of that link. A link accepted here is not read while its peer leaves more than
   * `outputPauseBytes` unread, so that what answers cost is bounded; the side that dials always reads, or both could
   * wait for each other for ever.
   * @throws GridError `PORT_IN_USE`, `BAD_OPTION`
   */
  listen(address: string, hello: Hello, accept: (link: Link) => LinkHandler): Promise<Listener>
  /**
   * Opens a link to a listener. An abort of `signal` before it is open ends the attempt at once and leaves nothing
   * behind; afterwards it means nothing.
   * @throws GridError `UNREACHABLE`, `PROTOCOL_VERSION`, `WRONG_CLUSTER`, `ABORTED`
   */
  connect(address: string, hello: Hello, handler: LinkHandler, signal?: AbortSignal): Promise<Link>
}
