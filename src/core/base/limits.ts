/**
 * Every bound of the system, with its name and its default. Past one of them a caller gets a typed error that
 * names the limit; nothing grows without one.
 */

export interface Limits {
  /** Encoded key, in bytes. */
  readonly keyBytesMax: number
  /** Encoded value or processor argument, in bytes. */
  readonly valueBytesMax: number
  /** Containers inside each other in a value, filter or update. */
  readonly depthMax: number
  /** Array elements and object members in one value, in all. */
  readonly elementsMax: number
  /** One frame on a connection, in bytes; a larger one closes the connection. */
  readonly frameBytesMax: number
  /** Bytes waiting to be written to one connection; past it the peer is too slow and is cut. */
  readonly outputBytesMax: number
  /** Calls of one client session awaiting an answer, for each partition. */
  readonly callsPerPartitionMax: number
  /** Calls that one partition holds while they wait for their commit. */
  readonly waitingCallsMax: number
  /** Bytes of answers that one partition holds while they wait for their commit. */
  readonly waitingBytesMax: number
  /** Result of a processor or update, in bytes; it is kept until the client has seen it. */
  readonly replyBytesMax: number
  /** Rows and bytes of one query result. */
  readonly queryRowsMax: number
  readonly queryBytesMax: number
  /** Rows in one page of `entries()` and `keys()`. */
  readonly pageRowsMax: number
  /** Watchers on one partition. */
  readonly watchersMax: number
  /** Sessions that one partition remembers. */
  readonly sessionsMax: number
  /** Bytes of answers that one partition keeps for clients that have not acknowledged them. */
  readonly sessionBytesMax: number
  /** Keys that owner and client each remember for one filtered watch of a partition; past it, too many leaves are told. */
  readonly watchKeysMax: number
  /** Maps in one cluster. */
  readonly mapsMax: number
}

/**
 * A member takes no further message from a client that leaves more than this unread: an eighth of `outputBytesMax`,
 * 8 MiB by default. What it has taken already may still be answered, and so may watchers.
 */
export function outputPauseBytes(limits: Pick<Limits, 'outputBytesMax'>): number {
  return limits.outputBytesMax >>> 3
}

/** How long a partition remembers an idle session, and with it which of its calls have taken effect. */
export const SESSION_IDLE_MS = 10 * 60_000
/** The longest deadline of a call, so that a session outlives every call that may still be sent again. */
export const TIMEOUT_MAX_MS = SESSION_IDLE_MS / 4

export const defaultLimits: Limits = {
  keyBytesMax: 1024,
  valueBytesMax: 1024 * 1024,
  depthMax: 32,
  elementsMax: 100_000,
  frameBytesMax: 8 * 1024 * 1024,
  outputBytesMax: 64 * 1024 * 1024,
  callsPerPartitionMax: 1024,
  waitingCallsMax: 16_384,
  waitingBytesMax: 32 * 1024 * 1024,
  replyBytesMax: 64 * 1024,
  queryRowsMax: 100_000,
  queryBytesMax: 32 * 1024 * 1024,
  pageRowsMax: 1000,
  watchersMax: 1024,
  sessionsMax: 10_000,
  sessionBytesMax: 16 * 1024 * 1024,
  watchKeysMax: 100_000,
  mapsMax: 1000,
}
