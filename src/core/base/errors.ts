/**
 * The one error class, and the one table that every error comes from.
 *
 * A row says what a program may do next: `retryable` (the same call may succeed later without any change) and
 * `applied`, what became of the write: `no`, `yes`, or `unknown`. A thrower may narrow `applied` where it knows
 * more than the row does. ARCHITECTURE.md has a line for each code, and a test ties the two together.
 */

export type Applied = 'no' | 'yes' | 'unknown'

interface Row {
  /** The number on the wire. Never reused. */
  readonly wire: number
  readonly retryable: boolean
  readonly applied: Applied
  /** What happened and what to do, in one sentence. */
  readonly help: string
}

const TABLE = {
  // The caller's input
  BAD_VALUE: row(
    1,
    false,
    'no',
    'The value or key holds something that has no stored form; change it at the path given.',
  ),
  BAD_KEY: row(2, false, 'no', 'The key is of a kind that cannot be a key, or is too long; see the limits.'),
  TOO_LARGE: row(
    3,
    false,
    'no',
    'A key, value, argument or call is over the limit that the message names; split it, for members keep to the defaults.',
  ),
  BAD_FILTER: row(
    4,
    false,
    'no',
    'A filter names an unknown operator or path, or has an operand of the wrong kind.',
  ),
  BAD_UPDATE: row(5, false, 'no', 'An update names an unknown operator or does not fit the stored value.'),
  BAD_OPTION: row(
    6,
    false,
    'no',
    'An option or configuration key is unknown or out of bounds; the message names the nearest known one.',
  ),
  BAD_TOKEN: row(7, false, 'no', 'A resume token or version was not made by this cluster.'),
  MAP_CONFLICT: row(
    8,
    false,
    'no',
    'The map exists with another configuration; the message names the difference.',
  ),
  UNKNOWN_PROCESSOR: row(
    9,
    false,
    'no',
    'No processor of that name is loaded; start the members with its module.',
  ),
  PROCESSOR_FAILED: row(10, false, 'no', 'The entry processor threw; nothing was changed.'),
  RESULT_TOO_LARGE: row(11, false, 'no', 'The result is over its limit; ask for fewer rows or fields.'),
  // The cluster's state
  NOT_OWNER: row(
    20,
    true,
    'no',
    'The member does not own the partition now; the client routes anew by itself.',
  ),
  OVERLOADED: row(21, true, 'no', 'A bounded queue is full; slow down and try again.'),
  NO_LEASE: row(
    22,
    true,
    'no',
    'The owner cannot be sure that it still is the owner; the client retries by itself.',
  ),
  STORE_FULL: row(
    23,
    true,
    'no',
    'The member has reached its memory limit; remove data, add members or raise maxMemoryBytes.',
  ),
  PARTITION_LOST: row(
    24,
    true,
    'no',
    'Every in-sync replica of the partition is gone; reconnect one, or begin anew with "actorgrid partitions reset".',
  ),
  NOT_READY: row(
    25,
    true,
    'no',
    'The cluster is still forming or the member is catching up with the configuration.',
  ),
  NOT_ENOUGH_REPLICAS: row(
    26,
    true,
    'unknown',
    'Fewer in-sync replicas than minInSync; the write waits for them.',
  ),
  // What is not known
  TIMEOUT: row(
    30,
    false,
    'unknown',
    'No answer before the deadline; read the entry before writing it again.',
  ),
  ABORTED: row(
    31,
    false,
    'unknown',
    'The caller gave up; after sending, nobody knows whether it took effect.',
  ),
  SESSION_EXPIRED: row(
    32,
    false,
    'unknown',
    'A retry came after the record of its first attempt was dropped; read before writing again.',
  ),
  ERA_CHANGED: row(
    33,
    false,
    'unknown',
    'Data of the partition was declared lost; tokens and versions from before mean nothing now.',
  ),
  // Connection and peers
  MALFORMED: row(
    40,
    false,
    'no',
    'Bytes that are no valid frame, message or value; the connection is closed.',
  ),
  PROTOCOL_VERSION: row(41, false, 'no', 'The peer speaks another protocol version; upgrade the older one.'),
  WRONG_CLUSTER: row(
    42,
    false,
    'no',
    'The peer belongs to another cluster; check the cluster name and the NATS address.',
  ),
  UNREACHABLE: row(43, true, 'no', 'No member can be reached; check addresses and that members are running.'),
  CONTROL_UNAVAILABLE: row(
    44,
    true,
    'no',
    'NATS cannot be reached, or has no JetStream; start it with -js and check the address.',
  ),
  CONFLICT: row(
    45,
    false,
    'no',
    'Two histories of one partition or cluster exist; it is stopped until an operator decides.',
  ),
  CLOSED: row(46, false, 'no', 'The client or member has been closed.'),
  PORT_IN_USE: row(
    47,
    false,
    'no',
    'The listening address is taken; choose another port, or 0 for any free one.',
  ),
  FORBIDDEN: row(48, false, 'no', 'This kind of connection may not send that message.'),
  INTERNAL: row(60, false, 'unknown', 'A bug in actorgrid; please report it with the message.'),
} as const satisfies Record<string, Row>

function row(wire: number, retryable: boolean, applied: Applied, help: string): Row {
  return { wire, retryable, applied, help }
}

export type ErrorCode = keyof typeof TABLE

export const errorTable: Readonly<Record<ErrorCode, Row>> = TABLE

const BY_WIRE = new Map<number, ErrorCode>(
  (Object.keys(TABLE) as ErrorCode[]).map((code) => [TABLE[code].wire, code]),
)

export function errorCodeOfWire(wire: number): ErrorCode {
  return BY_WIRE.get(wire) ?? 'INTERNAL'
}

/**
 * Every failure that a caller of actorgrid can see.
 *
 * `code` is stable and documented, `retryable` says whether the same call may succeed later, `applied` says what
 * became of the write, and `cause` holds the underlying error where there was one.
 */
export class GridError extends Error {
  override readonly name = 'GridError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly applied: Applied

  constructor(code: ErrorCode, message: string, options?: { applied?: Applied; cause?: unknown }) {
    super(`${code}: ${message}`, options?.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = TABLE[code].retryable
    this.applied = options?.applied ?? TABLE[code].applied
  }
}
