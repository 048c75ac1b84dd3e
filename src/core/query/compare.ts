/**
 * Comparing stored values without decoding them.
 *
 * Everything here works on MessagePack bytes in place: what kind a value is, where it ends, and how two values stand
 * to each other. One total order serves sorting, filters and the client's merge alike, so that they can never
 * disagree:
 *
 *   null < booleans < numbers < strings < bytes < dates < arrays, objects and the rest
 *
 * Numbers compare exactly across integers, float64 and bigints (NaN stands before all others, −0 equals 0), strings
 * by their UTF-8 bytes, dates by time, arrays and objects by their encoded bytes.
 *
 * `skipValue` is the only function that looks at bounds. What it has passed over may be given to all others, which
 * trust their input; so nothing is ever read outside of what the caller named.
 */

import { GridError } from '../base/errors.ts'

/** The kinds of values, in the order in which they sort. */
export const Kind = {
  missing: 0,
  null: 1,
  boolean: 2,
  number: 3,
  string: 4,
  bytes: 5,
  date: 6,
  array: 7,
  object: 8,
  other: 9,
} as const

const EXTENSION = 10
const BIGINT_TYPE = 0x42
const TIMESTAMP_TYPE = 0xff
const U32 = 0x1_0000_0000

/** Kind by first byte; extensions need a second look. */
const KINDS = new Uint8Array(256)
/** Whole size in bytes by first byte, or 0 where the size stands behind it or the value has parts. */
const SIZES = new Uint8Array(256)

function fill(from: number, to: number, kind: number, size: (head: number) => number): void {
  for (let head = from; head <= to; head++) {
    KINDS[head] = kind
    SIZES[head] = size(head)
  }
}

fill(0x00, 0x7f, Kind.number, () => 1)
fill(0x80, 0x8f, Kind.object, (head) => (head === 0x80 ? 1 : 0))
fill(0x90, 0x9f, Kind.array, (head) => (head === 0x90 ? 1 : 0))
fill(0xa0, 0xbf, Kind.string, (head) => 1 + (head & 0x1f))
fill(0xc0, 0xc0, Kind.null, () => 1)
fill(0xc1, 0xc1, Kind.other, () => 0)
fill(0xc2, 0xc3, Kind.boolean, () => 1)
fill(0xc4, 0xc6, Kind.bytes, () => 0)
fill(0xc7, 0xc9, EXTENSION, () => 0)
fill(0xca, 0xcb, Kind.number, (head) => (head === 0xca ? 5 : 9))
fill(0xcc, 0xcf, Kind.number, (head) => 1 + (1 << (head - 0xcc)))
fill(0xd0, 0xd3, Kind.number, (head) => 1 + (1 << (head - 0xd0)))
fill(0xd4, 0xd8, EXTENSION, (head) => 2 + (1 << (head - 0xd4)))
fill(0xd9, 0xdb, Kind.string, () => 0)
fill(0xdc, 0xdd, Kind.array, () => 0)
fill(0xde, 0xdf, Kind.object, () => 0)
fill(0xe0, 0xff, Kind.number, () => 1)

export function malformed(): GridError {
  return new GridError('MALFORMED', 'a stored value is cut short or holds an unknown form')
}

/** Where the value at `at` ends. Throws `MALFORMED` when that is past `end`. */
export function skipValue(bytes: Buffer, at: number, end: number): number {
  if (at < end) {
    const size = SIZES[bytes[at]!]!
    if (size !== 0) {
      if (at + size <= end) return at + size
      throw malformed()
    }
  }
  return skipParts(bytes, at, end)
}

/** Counts the values still to pass instead of recursing: depth costs nothing, and each step moves at least a byte. */
function skipParts(bytes: Buffer, at: number, end: number): number {
  let pending = 1
  while (pending > 0) {
    if (at >= end) throw malformed()
    const head = bytes[at]!
    const size = SIZES[head]!
    pending--
    if (size !== 0) {
      at += size
    } else if (head < 0xa0) {
      pending += head < 0x90 ? 2 * (head & 0x0f) : head & 0x0f
      at += 1
    } else {
      const body = at + headSize(head)
      if (head === 0xc1 || body > end) throw malformed()
      const count = countAt(bytes, at)
      at = body
      if (head >= 0xde) pending += 2 * count
      else if (head >= 0xdc) pending += count
      else if (head >= 0xc7 && head <= 0xc9) at += 1 + count
      else at += count
    }
  }
  if (at > end) throw malformed()
  return at
}

/** Bytes before the payload of a string, byte array, array or object; for extensions, before the type byte. */
export function headSize(head: number): number {
  if (head < 0xc0) return 1
  switch (head) {
    case 0xc4:
    case 0xc7:
    case 0xd9:
      return 2
    case 0xc5:
    case 0xc8:
    case 0xda:
    case 0xdc:
    case 0xde:
      return 3
    default:
      return 5
  }
}

/** Payload bytes of a string, byte array or extension, elements of an array, members of an object. */
export function countAt(bytes: Buffer, at: number): number {
  const head = bytes[at]!
  if (head < 0xa0) return head & 0x0f
  if (head < 0xc0) return head & 0x1f
  switch (headSize(head)) {
    case 2:
      return bytes[at + 1]!
    case 3:
      return (bytes[at + 1]! << 8) | bytes[at + 2]!
    default:
      return u32At(bytes, at + 1)
  }
}

/** Where the text of the member name at `at` begins. */
export function nameStart(bytes: Buffer, at: number, end: number): number {
  if (at >= end) throw malformed()
  const head = bytes[at]!
  if ((head & 0xe0) === 0xa0) return at + 1
  if (head < 0xd9 || head > 0xdb || at + headSize(head) > end) throw malformed()
  return at + headSize(head)
}

/** Where the member name at `at` ends and its value begins, after `nameStart` has passed it. */
export function nameEnd(bytes: Buffer, at: number, end: number): number {
  const head = bytes[at]!
  const value = (head & 0xe0) === 0xa0 ? at + 1 + (head & 0x1f) : at + headSize(head) + countAt(bytes, at)
  if (value >= end) throw malformed()
  return value
}

/** Whether a value with this first byte is an object. */
export function isObject(head: number): boolean {
  return (head & 0xf0) === 0x80 || head === 0xde || head === 0xdf
}

/** The kind of the value at `at`. */
export function kindAt(bytes: Buffer, at: number): number {
  const kind = KINDS[bytes[at]!]!
  return kind === EXTENSION ? extensionKindAt(bytes, at) : kind
}

function extensionKindAt(bytes: Buffer, at: number): number {
  const head = bytes[at]!
  const type = bytes[head >= 0xd4 ? at + 1 : at + headSize(head)]!
  if (type === BIGINT_TYPE) return Kind.number
  const isTime = head === 0xd6 || head === 0xd7 || (head === 0xc7 && bytes[at + 1] === 12)
  return type === TIMESTAMP_TYPE && isTime ? Kind.date : Kind.other
}

/**
 * Compares the value at `aAt` with the one at `bAt`: negative, 0 or positive. A negative position means that the
 * value is missing; missing values come first. Both must lie whole before `aEnd` and `bEnd`.
 */
export function compareValues(
  a: Buffer,
  aAt: number,
  aEnd: number,
  b: Buffer,
  bAt: number,
  bEnd: number,
): number {
  const kind = aAt < 0 ? Kind.missing : kindAt(a, aAt)
  const other = bAt < 0 ? Kind.missing : kindAt(b, bAt)
  if (kind !== other && (kind < Kind.array || other < Kind.array)) return kind < other ? -1 : 1
  switch (kind) {
    case Kind.missing:
    case Kind.null:
      return 0
    case Kind.boolean:
      return a[aAt]! - b[bAt]!
    case Kind.number:
      return compareNumbers(a, aAt, b, bAt)
    case Kind.string:
    case Kind.bytes:
      return compareText(a, aAt, b, bAt)
    case Kind.date:
      return (
        Math.sign(secondsAt(a, aAt) - secondsAt(b, bAt)) ||
        Math.sign(nanosecondsAt(a, aAt) - nanosecondsAt(b, bAt))
      )
    default:
      return compareSpans(a, aAt, skipValue(a, aAt, aEnd), b, bAt, skipValue(b, bAt, bEnd))
  }
}

/** Compares the payloads of two strings, or of two byte arrays. */
function compareText(a: Buffer, aAt: number, b: Buffer, bAt: number): number {
  const aFrom = aAt + headSize(a[aAt]!)
  const bFrom = bAt + headSize(b[bAt]!)
  return compareSpans(a, aFrom, aFrom + countAt(a, aAt), b, bFrom, bFrom + countAt(b, bAt))
}

/** Compares bytes as `memcmp` does; a prefix comes before what it begins. */
export function compareSpans(
  a: Buffer,
  aStart: number,
  aEnd: number,
  b: Buffer,
  bStart: number,
  bEnd: number,
): number {
  // The call into native code costs as much as some sixty steps of this loop.
  const near = Math.min(aEnd - aStart, bEnd - bStart, 64)
  for (let i = 0; i < near; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!
    if (difference !== 0) return difference
  }
  if (near < 64) return aEnd - aStart - (bEnd - bStart)
  return a.compare(b, bStart, bEnd, aStart, aEnd)
}

function compareNumbers(a: Buffer, aAt: number, b: Buffer, bAt: number): number {
  // Mixed comparisons of number and bigint are exact in JavaScript.
  const x = isWide(a[aAt]!) ? wideAt(a, aAt) : numberAt(a, aAt)
  const y = isWide(b[bAt]!) ? wideAt(b, bAt) : numberAt(b, bAt)
  if (x < y) return -1
  if (x > y) return 1
  return Number(Number.isNaN(y)) - Number(Number.isNaN(x))
}

/** How a stored value stands to an operand, as bits, so that one mask says which outcomes an operator accepts. */
export const Outcome = { none: 0, less: 1, equal: 2, greater: 4 } as const

/**
 * The outcome of comparing the value at `at` with `x`; `none` unless it is a number other than NaN. `upper` is
 * `upperOfFloat(x)`: the upper half of a float64 nearly always decides, and putting one together from its bytes
 * costs more than all the rest.
 */
export function outcomeOfFloat(bytes: Buffer, at: number, x: number, upper: number): number {
  const head = bytes[at]!
  if (head === 0xcb) {
    const order = upperOrder(s32At(bytes, at + 1))
    // -1 may be -0, and from the infinities on there is NaN.
    if (order !== upper && order !== -1 && order < 0x7ff0_0000 && order > -0x7ff0_0000)
      return order < upper ? Outcome.less : Outcome.greater
  } else if (head >= 0x80 && head < 0xe0) {
    if (kindAt(bytes, at) !== Kind.number) return Outcome.none
    if (isWide(head)) return outcomeOf(wideAt(bytes, at), x)
  }
  const value = numberAt(bytes, at)
  return value < x ? Outcome.less : value > x ? Outcome.greater : value === x ? Outcome.equal : Outcome.none
}

/** The upper 32 bits of a float64 other than NaN and −0, as an integer that sorts as the number does. */
export function upperOfFloat(x: number): number {
  scratch.setFloat64(0, x)
  return upperOrder(scratch.getInt32(0))
}

/** Sign and magnitude to two's complement. */
function upperOrder(bits: number): number {
  return bits ^ ((bits >> 31) & 0x7fff_ffff)
}

/** The same for a bigint operand. */
export function outcomeOfBigInt(bytes: Buffer, at: number, x: bigint): number {
  if (kindAt(bytes, at) !== Kind.number) return Outcome.none
  return outcomeOf(isWide(bytes[at]!) ? wideAt(bytes, at) : numberAt(bytes, at), x)
}

function outcomeOf(value: number | bigint, x: number | bigint): number {
  // Mixed comparisons of number and bigint are exact in JavaScript.
  if (value < x) return Outcome.less
  if (value > x) return Outcome.greater
  return Number.isNaN(value) ? Outcome.none : Outcome.equal
}

/** Whether the number is in a form that may go beyond what a JavaScript number holds exactly. */
function isWide(head: number): boolean {
  return head === 0xd3 || head === 0xcf || (head >= 0xc7 && head <= 0xc9) || (head >= 0xd4 && head <= 0xd8)
}

/** The number at `at`, in any form but the wide ones. */
function numberAt(bytes: Buffer, at: number): number {
  const head = bytes[at]!
  if (head < 0x80) return head
  if (head >= 0xe0) return head - 256
  switch (head) {
    case 0xcb:
      return floatAt(bytes, at + 1)
    case 0xcc:
      return bytes[at + 1]!
    case 0xcd:
      return (bytes[at + 1]! << 8) | bytes[at + 2]!
    case 0xce:
      return u32At(bytes, at + 1)
    case 0xd0:
      return (bytes[at + 1]! << 24) >> 24
    case 0xd1:
      return ((bytes[at + 1]! << 24) >> 16) | bytes[at + 2]!
    case 0xd2:
      return s32At(bytes, at + 1)
    default:
      return bytes.readFloatBE(at + 1)
  }
}

/** The number in a wide form: as a bigint only where a number would not be exact. */
function wideAt(bytes: Buffer, at: number): number | bigint {
  const head = bytes[at]!
  if (head === 0xcf || head === 0xd3) {
    const high = head === 0xcf ? u32At(bytes, at + 1) : s32At(bytes, at + 1)
    if (high < 0x20_0000 && high >= -0x20_0000) return high * U32 + u32At(bytes, at + 5)
    return head === 0xcf ? bytes.readBigUInt64BE(at + 1) : bytes.readBigInt64BE(at + 1)
  }
  const fixed = head >= 0xd4
  const size = fixed ? 1 << (head - 0xd4) : countAt(bytes, at)
  const from = at + (fixed ? 2 : headSize(head) + 1)
  return BigInt.asIntN(8 * size, BigInt(`0x0${bytes.toString('hex', from, from + size)}`))
}

const scratch = new DataView(new ArrayBuffer(8))

function floatAt(bytes: Buffer, at: number): number {
  scratch.setInt32(0, s32At(bytes, at))
  scratch.setInt32(4, s32At(bytes, at + 4))
  return scratch.getFloat64(0)
}

function s32At(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

function u32At(bytes: Buffer, at: number): number {
  return s32At(bytes, at) >>> 0
}

/** Seconds of the timestamp at `at` since 1970 (MessagePack specification, timestamp 32, 64 and 96). */
function secondsAt(bytes: Buffer, at: number): number {
  const head = bytes[at]!
  if (head === 0xd6) return u32At(bytes, at + 2)
  if (head === 0xd7) return (bytes[at + 5]! & 3) * U32 + u32At(bytes, at + 6)
  return s32At(bytes, at + 7) * U32 + u32At(bytes, at + 11)
}

function nanosecondsAt(bytes: Buffer, at: number): number {
  const head = bytes[at]!
  if (head === 0xd6) return 0
  return head === 0xd7 ? u32At(bytes, at + 2) >>> 2 : u32At(bytes, at + 3)
}
