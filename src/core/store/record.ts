/**
 * The stored record: one format in bytes for memory, backups, watchers and migration.
 *
 *     u24 size · u8 flags · u32 hash · u48 seq · u16 map · u16 keyLength            18 bytes
 *     [u48 expiresAt] · key · value · [envelope] · zeros up to a multiple of 8
 *
 * `size` leaves out the padding. The envelope (session, call and reply of the write that made the record) stands last,
 * so that compaction can cut it off; its own length is its last field, so that it is found from the end:
 *
 *     u32 session · u32 call · u32 ackUpTo · u8 status · reply · u24 envelopeLength
 *
 * Padding is always zero: replicas hold equal bytes, and no stray memory leaves the process.
 */

import { assert } from '../base/assert.ts'
import {
  asBuffer,
  type ByteWriter,
  getU16,
  getU24,
  getU32,
  getU48,
  putU16,
  putU24,
  putU32,
  putU48,
} from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'

export const RecordKind = { put: 1, remove: 2, clear: 3, sessionOpen: 4, sessionClose: 5, noop: 6 } as const
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind]

/** Why a `remove` record was written; 0 in every other kind. */
export const RemoveCause = { removed: 0, expired: 1, evicted: 2 } as const
export type RemoveCause = (typeof RemoveCause)[keyof typeof RemoveCause]

const KIND = 0x07
const HAS_EXPIRY = 0x08
const HAS_ENVELOPE = 0x10
const CAUSE_SHIFT = 5
const RESERVED = 0x80

const HEADER = 18
const EXPIRY = 6
const ENVELOPE = 16

/** What records of sessions carry (partition/session-table.ts). Refused here, for once taken they must take effect. */
const SESSION_OPEN_BYTES = 20
const SESSION_CLOSE_BYTES = 4

/** The largest record, padding included: what a u24 can say, rounded down to a multiple of 8. */
export const recordBytesMax = 0xfffff8

/** The call that made a record, and what it was answered. */
export interface RecordEnvelope {
  session: number
  call: number
  ackUpTo: number
  status: number
  replyBytes: Uint8Array
  replyStart: number
  replyEnd: number
}

/** What `append` writes. Meant to be one object, filled in anew for every record. */
export interface RecordInput {
  kind: RecordKind
  cause: RemoveCause
  map: number
  /** Hash of the key, u32. */
  hash: number
  keyBytes: Uint8Array
  keyStart: number
  keyEnd: number
  valueBytes: Uint8Array
  valueStart: number
  valueEnd: number
  /** Milliseconds since 1970; 0 for never. */
  expiresAt: number
  envelope: RecordEnvelope | undefined
}

/** A record of nothing, to be spread and filled in. */
export const blankRecord: RecordInput = {
  kind: RecordKind.noop,
  cause: RemoveCause.removed,
  map: 0,
  hash: 0,
  keyBytes: Buffer.alloc(0),
  keyStart: 0,
  keyEnd: 0,
  valueBytes: Buffer.alloc(0),
  valueStart: 0,
  valueEnd: 0,
  expiresAt: 0,
  envelope: undefined,
}

/** A cursor that is pointed at one record after another; offsets refer to `bytes`. */
export class RecordView {
  bytes: Buffer = NO_BYTES
  offset = 0
  /** Without padding. */
  size = 0
  kind: RecordKind = RecordKind.noop
  cause: RemoveCause = RemoveCause.removed
  hash = 0
  seq = 0
  map = 0
  /** Milliseconds since 1970; 0 for never. */
  expiresAt = 0
  keyStart = 0
  keyEnd = 0
  valueStart = 0
  valueEnd = 0
  hasEnvelope = false
  session = 0
  call = 0
  ackUpTo = 0
  status = 0
  replyStart = 0
  replyEnd = 0

  /** Decodes the record at `offset`, which must be one that this process wrote or has validated. */
  at(bytes: Buffer, offset: number): this {
    const flags = bytes[offset + 3]!
    const size = getU24(bytes, offset)
    const key = (flags & HAS_EXPIRY) === 0 ? offset + HEADER : offset + HEADER + EXPIRY
    const value = key + getU16(bytes, offset + 16)
    this.bytes = bytes
    this.offset = offset
    this.size = size
    this.kind = (flags & KIND) as RecordKind
    this.cause = ((flags >>> CAUSE_SHIFT) & 3) as RemoveCause
    this.hash = getU32(bytes, offset + 4)
    this.seq = getU48(bytes, offset + 8)
    this.map = getU16(bytes, offset + 14)
    this.expiresAt = key === offset + HEADER ? 0 : getU48(bytes, offset + HEADER)
    this.keyStart = key
    this.keyEnd = value
    this.valueStart = value
    this.valueEnd = offset + size
    this.hasEnvelope = (flags & HAS_ENVELOPE) !== 0
    if (this.hasEnvelope) this.#envelope(bytes, offset + size)
    else this.#noEnvelope()
    return this
  }

  #envelope(bytes: Buffer, end: number): void {
    const start = end - getU24(bytes, end - 3)
    this.valueEnd = start
    this.session = getU32(bytes, start)
    this.call = getU32(bytes, start + 4)
    this.ackUpTo = getU32(bytes, start + 8)
    this.status = bytes[start + 12]!
    this.replyStart = start + 13
    this.replyEnd = end - 3
  }

  #noEnvelope(): void {
    this.session = 0
    this.call = 0
    this.ackUpTo = 0
    this.status = 0
    this.replyStart = 0
    this.replyEnd = 0
  }
}

const NO_BYTES = Buffer.alloc(0)

/**
 * Decodes a record that a peer has sent, and returns where the next one begins.
 *
 * Throws `MALFORMED` unless every length in it is consistent and it lies, with its padding, within `[start, end)`.
 */
export function readRecord(source: Uint8Array, start: number, end: number, view: RecordView): number {
  const bytes = asBuffer(source)
  if (end - start < HEADER) throw malformed('cut off')
  const size = getU24(bytes, start)
  const next = start + padded(size)
  if (size < HEADER || size > recordBytesMax || next > end) throw malformed(`size ${size}`)
  const flags = bytes[start + 3]!
  checkFlags(flags)
  const body = start + HEADER + ((flags & HAS_EXPIRY) === 0 ? 0 : EXPIRY) + getU16(bytes, start + 16)
  const envelope = (flags & HAS_ENVELOPE) === 0 ? 0 : getU24(bytes, start + size - 3)
  if ((flags & HAS_ENVELOPE) !== 0 && envelope < ENVELOPE) throw malformed('envelope too short')
  if (body + envelope > start + size) throw malformed('key or envelope longer than the record')
  for (let at = start + size; at < next; at++) if (bytes[at] !== 0) throw malformed('padding is not zero')
  view.at(bytes, start)
  if (view.seq === 0) throw malformed('seq 0')
  if ((flags & HAS_EXPIRY) !== 0 && view.expiresAt === 0) throw malformed('expires at 0')
  checkSession(view)
  return next
}

function checkSession({ kind, valueStart, valueEnd }: RecordView): void {
  if (kind !== RecordKind.sessionOpen && kind !== RecordKind.sessionClose) return
  const wanted = kind === RecordKind.sessionOpen ? SESSION_OPEN_BYTES : SESSION_CLOSE_BYTES
  if (valueEnd - valueStart !== wanted) throw malformed(`a session in ${valueEnd - valueStart} bytes`)
}

function checkFlags(flags: number): void {
  const kind = flags & KIND
  const cause = (flags >>> CAUSE_SHIFT) & 3
  if (kind < RecordKind.put || kind > RecordKind.noop || (flags & RESERVED) !== 0) throw malformed('flags')
  if (cause > (kind === RecordKind.remove ? RemoveCause.evicted : 0)) throw malformed('cause')
}

function malformed(what: string): GridError {
  return new GridError('MALFORMED', `stored record: ${what}`)
}

/** Rounded up to a multiple of 8. */
export function padded(size: number): number {
  return (size + 7) & ~7
}

/** Bytes, padding included, that the record will take. Throws `TOO_LARGE` past {@link recordBytesMax}. */
export function recordBytes(input: RecordInput): number {
  const size = padded(bareSize(input) + envelopeSize(input.envelope))
  if (size > recordBytesMax)
    throw new GridError('TOO_LARGE', `a record of ${size} bytes; at most ${recordBytesMax}`)
  return size
}

function bareSize(input: RecordInput): number {
  return (
    (input.expiresAt === 0 ? HEADER : HEADER + EXPIRY) +
    (input.keyEnd - input.keyStart) +
    (input.valueEnd - input.valueStart)
  )
}

function envelopeSize(envelope: RecordEnvelope | undefined): number {
  return envelope === undefined ? 0 : ENVELOPE + envelope.replyEnd - envelope.replyStart
}

/** Writes `input` at `offset`, where {@link recordBytes} of room is known to be. */
export function writeRecord(bytes: Buffer, offset: number, seq: number, input: RecordInput): void {
  const envelope = input.envelope
  const size = bareSize(input) + envelopeSize(envelope)
  const keyLength = input.keyEnd - input.keyStart
  assert(keyLength <= 0xffff, 'key longer than its length field')
  putU24(bytes, offset, size)
  bytes[offset + 3] =
    input.kind |
    (input.expiresAt === 0 ? 0 : HAS_EXPIRY) |
    (envelope === undefined ? 0 : HAS_ENVELOPE) |
    (input.cause << CAUSE_SHIFT)
  putU32(bytes, offset + 4, input.hash)
  putU48(bytes, offset + 8, seq)
  putU16(bytes, offset + 14, input.map)
  putU16(bytes, offset + 16, keyLength)
  let at = offset + HEADER
  if (input.expiresAt !== 0) {
    putU48(bytes, at, input.expiresAt)
    at += EXPIRY
  }
  at = copyBytes(bytes, at, input.keyBytes, input.keyStart, input.keyEnd)
  at = copyBytes(bytes, at, input.valueBytes, input.valueStart, input.valueEnd)
  if (envelope !== undefined) at = writeEnvelope(bytes, at, envelope)
  while ((at & 7) !== 0) bytes[at++] = 0
}

function writeEnvelope(bytes: Buffer, start: number, envelope: RecordEnvelope): number {
  putU32(bytes, start, envelope.session)
  putU32(bytes, start + 4, envelope.call)
  putU32(bytes, start + 8, envelope.ackUpTo)
  bytes[start + 12] = envelope.status
  const at = copyBytes(bytes, start + 13, envelope.replyBytes, envelope.replyStart, envelope.replyEnd)
  putU24(bytes, at, envelopeSize(envelope))
  return at + 3
}

/** Below this a loop, 1 ns a byte, is faster than a view and a native copy, 42 ns up to some hundreds of bytes. */
const LOOP_BYTES_MAX = 48

function copyBytes(target: Buffer, at: number, source: Uint8Array, start: number, end: number): number {
  const count = end - start
  if (count < LOOP_BYTES_MAX) {
    for (let i = 0; i < count; i++) target[at + i] = source[start + i]!
  } else {
    target.set(source.subarray(start, end), at)
  }
  return at + count
}

// Single fields, for loops that need no more.

export function kindAt(bytes: Buffer, offset: number): number {
  return bytes[offset + 3]! & KIND
}

export function hashAt(bytes: Buffer, offset: number): number {
  return getU32(bytes, offset + 4)
}

export function seqAt(bytes: Buffer, offset: number): number {
  return getU48(bytes, offset + 8)
}

export function mapAt(bytes: Buffer, offset: number): number {
  return getU16(bytes, offset + 14)
}

export function keyStartAt(bytes: Buffer, offset: number): number {
  return (bytes[offset + 3]! & HAS_EXPIRY) === 0 ? offset + HEADER : offset + HEADER + EXPIRY
}

export function keyLengthAt(bytes: Buffer, offset: number): number {
  return getU16(bytes, offset + 16)
}

/** 0 for never. */
export function expiresAtAt(bytes: Buffer, offset: number): number {
  return (bytes[offset + 3]! & HAS_EXPIRY) === 0 ? 0 : getU48(bytes, offset + HEADER)
}

/** Bytes from this record to the next. */
export function paddedAt(bytes: Buffer, offset: number): number {
  return padded(getU24(bytes, offset))
}

/** Bytes, padding included, that the record takes once its envelope has been cut off. */
export function bareBytesAt(bytes: Buffer, offset: number): number {
  return padded(bareSizeAt(bytes, offset))
}

function bareSizeAt(bytes: Buffer, offset: number): number {
  const size = getU24(bytes, offset)
  return (bytes[offset + 3]! & HAS_ENVELOPE) === 0 ? size : size - getU24(bytes, offset + size - 3)
}

/** Cuts the envelope off a record that was copied whole to `offset`. `size` is what it is without, unpadded. */
function cutEnvelope(bytes: Buffer, offset: number, size: number): void {
  putU24(bytes, offset, size)
  bytes[offset + 3] = bytes[offset + 3]! & ~HAS_ENVELOPE
  for (let at = offset + size; (at & 7) !== (offset & 7); at++) bytes[at] = 0
}

/** Appends the record without its envelope. */
export function copyBare(record: RecordView, writer: ByteWriter): void {
  const size = bareSizeAt(record.bytes, record.offset)
  const count = padded(size)
  writer.reserve(count)
  const at = writer.length
  writer.bytes(record.bytes, record.offset, record.offset + count)
  cutEnvelope(writer.buffer, at, size)
}

/** Copies a record without its envelope between two buffers seen as words too; both offsets are multiples of 8. */
export function moveBare(
  source: Buffer,
  sourceWords: Int32Array,
  from: number,
  target: Buffer,
  targetWords: Int32Array,
  to: number,
): number {
  const size = bareSizeAt(source, from)
  const count = padded(size)
  if (count <= 512) {
    for (let i = from >>> 2, j = to >>> 2, end = i + (count >>> 2); i < end; i++, j++)
      targetWords[j] = sourceWords[i]!
  } else {
    target.set(source.subarray(from, from + count), to)
  }
  cutEnvelope(target, to, size)
  return count
}
