/**
 * A call that has not been answered, with everything that it takes to send it again.
 *
 * It keeps its whole message as a slice of the buffer that it was written into. Those buffers are never written
 * twice, so the slice needs no copy and no call needs a timer or a closure: one object and one promise.
 */

import { getU48, putU32, putU48 } from '../core/base/bytes.ts'
import { type Applied, GridError } from '../core/base/errors.ts'
import type { Limits } from '../core/base/limits.ts'
import { CALL_OFFSET, FLAG_RETRY, FLAG_SESSION, Operation, type ReplyView } from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'

/** What of a call its result may depend on. */
export interface Asked {
  readonly partition: number
  /** The caller's key, for results that name it; or what {@link Settling} knows the call by. */
  readonly key: unknown
  /** Of the whole message. */
  readonly sizeBytes: number
}

/** Who is told how a call ends: a promise's two functions, or what counts the calls of a bulk operation. */
export interface Settling {
  readonly resolve: (result: unknown, call: Asked) => void
  readonly reject: (error: unknown, call: Asked) => void
}

/** Makes the caller's result from an `ok` reply. Throws `MALFORMED`. */
export type Decoder = (reply: ReplyView, call: Asked, limits: Limits) => unknown

const WRITES: ReadonlySet<number> = new Set([
  Operation.put,
  Operation.putIfAbsent,
  Operation.replace,
  Operation.remove,
  Operation.update,
  Operation.invoke,
  Operation.clear,
])

export function isWrite(operation: Operation): boolean {
  return WRITES.has(operation)
}

export class PendingCall implements Asked {
  readonly partition: number
  readonly operation: Operation
  readonly decode: Decoder
  readonly key: unknown
  readonly deadlineMs: number
  readonly timeoutMs: number
  resolve!: Settling['resolve']
  reject!: Settling['reject']

  bytes: Buffer
  at: number
  readonly sizeBytes: number

  /** Its number on its partition; 0 until it has a place in the window. */
  number = 0
  /** The link on which an attempt awaits its answer; undefined while it waits to be sent. */
  link: Link | undefined
  /** Whether an attempt was lost on the way, so that it may have taken effect. */
  doubtful = false
  done = false
  /** Whether the attempt under way is with a backup. */
  away = false
  /** Whether it has stood in its lane's queue. */
  queued = false

  /** The newest place in the partition's history that the client had seen when the call was made. */
  floorEra: number
  floorEpoch: number
  floorSeq: number

  signal: AbortSignal | undefined
  onAbort: (() => void) | undefined

  constructor(
    partition: number,
    operation: Operation,
    decode: Decoder,
    key: unknown,
    deadlineMs: number,
    timeoutMs: number,
    bytes: Buffer,
    at: number,
    sizeBytes: number,
    seen: { readonly era: number; readonly seenEpoch: number; readonly seq: number },
  ) {
    this.partition = partition
    this.operation = operation
    this.decode = decode
    this.key = key
    this.deadlineMs = deadlineMs
    this.timeoutMs = timeoutMs
    this.bytes = bytes
    this.at = at
    this.sizeBytes = sizeBytes
    this.floorEra = seen.era
    this.floorEpoch = seen.seenEpoch
    this.floorSeq = seen.seq
  }

  get isWrite(): boolean {
    return isWrite(this.operation)
  }

  /** What is known of a call that is given up now. */
  get applied(): Applied {
    return this.isWrite && (this.doubtful || this.link !== undefined) ? 'unknown' : 'no'
  }

  /** Fills in the map's number, which was not known when the call was written. */
  setMap(map: number): void {
    this.bytes[this.at + CALL_OFFSET.map] = map
    this.bytes[this.at + CALL_OFFSET.map + 1] = map >>> 8
  }

  /** Copies the message to the end of a link's output, as the newest attempt. */
  send(link: Link, ackUpTo: number, epoch: number, remembered: boolean): void {
    const out = link.out
    out.bytes(this.bytes, this.at, this.at + this.sizeBytes)
    this.bytes = out.buffer
    this.at = out.length - this.sizeBytes
    this.link = link
    this.away = false
    const { bytes, at } = this
    putU32(bytes, at + CALL_OFFSET.call, this.number)
    putU32(bytes, at + CALL_OFFSET.ackUpTo, ackUpTo)
    putU48(bytes, at + CALL_OFFSET.epoch, epoch)
    // Only where an earlier attempt may have taken effect: an owner may treat a retry of a session that it does not
    // know as expired, and a call that was refused is none.
    if (this.doubtful && this.isWrite)
      bytes[at + CALL_OFFSET.flags]! |= remembered ? FLAG_RETRY | FLAG_SESSION : FLAG_RETRY
    link.wake()
  }

  /** The attempt under way will not be answered. */
  lose(): void {
    if (this.link === undefined) return
    this.link = undefined
    this.doubtful = true
  }
}

/** Whether an answer shows that the call has made a record, which makes the partition remember the session. */
export function leavesTrace(operation: number, { bytes, payloadStart, payloadEnd }: ReplyView): boolean {
  switch (operation) {
    case Operation.put:
    case Operation.update:
      return true
    case Operation.putIfAbsent:
    case Operation.replace:
    case Operation.remove:
      return payloadEnd > payloadStart && bytes[payloadStart] === 1
    case Operation.clear:
      return payloadEnd - payloadStart >= 6 && getU48(bytes, payloadStart) > 0
    default:
      return false
  }
}

export function restated(error: GridError, applied: Applied): GridError {
  return new GridError(error.code, error.message.replace(`${error.code}: `, ''), { applied, cause: error })
}

export function closedError(call: PendingCall): GridError {
  return new GridError('CLOSED', 'the client was closed before the answer came', { applied: call.applied })
}
