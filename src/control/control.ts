/**
 * The seam between the grid and the service that orders its configuration: an append-only log, and announcements.
 *
 * The log is the truth: entries come in `seq` order, without gaps, and an append is decided by reading it back, never
 * by its acknowledgement (ARCHITECTURE.md, "Configuration log"). Announcements are hints that may be lost.
 *
 * Implementations: `nats` (a JetStream stream with one subject for entries and one for checkpoints) and `local` (a
 * log shared by the members of one process, for embedded clusters and tests).
 */

/** One message of the log as stored; `seq` is its place in the stream. */
export interface LogEntry {
  readonly seq: number
  readonly bytes: Uint8Array
}

export interface ControlHandler {
  /**
   * A connection is up and reading starts afresh. `evidence` names the incarnation of the store as far as it can be
   * seen (a server restart or a change of stream leader changes it). Everything folded before is to be dropped;
   * `checkpoint` is the newest checkpoint's bytes (entries follow from `seq` on) or undefined (from the oldest on).
   */
  onOpen(evidence: string, checkpoint: LogEntry | undefined): void
  /** Entries that follow the ones before, in order. `caughtUp` is true when the log's end was seen after them. */
  onEntries(entries: readonly LogEntry[], caughtUp: boolean): void
  /** The service cannot be reached; `onOpen` comes again when it can. */
  onDown(reason: string): void
  /** Something a member announced to all, itself included. May be lost or repeated. */
  onAnnouncement(bytes: Uint8Array): void
}

export interface Control {
  /**
   * Connects, creates the log if there is none, and starts to read. Resolves after the first `onOpen`.
   * @throws GridError `CONTROL_UNAVAILABLE`, `BAD_OPTION`
   */
  open(handler: ControlHandler): Promise<void>
  /**
   * Appends an entry. With `expectedSeq`, only if the log still ends there: a filter that saves noise, not a promise, and
   * wrong for what is independent of other entries, since it would make them wait for each other. `id` makes a resend
   * harmless. Never reports back: whoever must know reads the log. A failed or lost append is silent; a
   * refused one triggers a read, so that `onEntries` shows what came between.
   */
  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): void
  /** Stores a checkpoint: the fold of everything up to and including entry `seq`. */
  checkpoint(bytes: Uint8Array, seq: number): void
  /** Asks for the entries after the last one seen, as a hint that there are some. */
  read(): void
  /**
   * Asks anew what can be seen of the store's incarnation; `onOpen` follows where it is another. To be called when another
   * member has seen something else.
   */
  verify(): void
  /** Tells all members and clients something, at most once. */
  announce(bytes: Uint8Array): void
  close(): Promise<void>
}

/** The announcements alone, for clients that know only the control plane's address. */
export interface Announcements {
  /** @throws GridError `CONTROL_UNAVAILABLE` */
  open(onAnnouncement: (bytes: Uint8Array) => void): Promise<void>
  announce(bytes: Uint8Array): void
  close(): Promise<void>
}
