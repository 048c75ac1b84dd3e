/**
 * The MessagePack forms that values and keys are made of, each written straight into a `ByteWriter`.
 *
 * Every scalar has exactly one form, the smallest that its kind allows, so that equal keys have equal bytes. A
 * number and a bigint never share a form: numbers take the forms up to 32 bits and float64, bigints int64, uint64
 * and extension 0x42. Lone surrogates and over-long bigints are answered with `false`, nothing being written; the
 * caller knows the path for the message.
 */

import type { ByteWriter } from '../base/bytes.ts'

/** Extension type of a bigint beyond 64 bits: two's complement, big-endian, as other implementations write it. */
export const BIGINT_EXTENSION = 0x42
/** Extension type of a timestamp: -1. */
export const TIMESTAMP_EXTENSION = 0xff
/** A bigint's longest two's complement form. */
export const BIGINT_BYTES_MAX = 1024

const SHORT_TEXT = 40
// Little-endian, as every machine that Node runs on in practice.
const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

/** A number; integers in [-2^31, 2^32) take the smallest integer form, and -0 stays what it is, as float64. */
export function writeNumber(w: ByteWriter, value: number): void {
  w.reserve(9)
  const integer = value | 0
  if (integer !== value) {
    if (value >>> 0 === value) put32(w, 0xce, value)
    else writeFloat(w, value)
  } else if (integer > 0) writeUnsigned(w, integer)
  else if (integer < 0) writeNegative(w, integer)
  else if (1 / value > 0) w.buffer[w.length++] = 0
  else writeFloat(w, value)
}

function writeNegative(w: ByteWriter, value: number): void {
  if (value >= -32) w.buffer[w.length++] = value
  else if (value >= -0x80) put8(w, 0xd0, value)
  else if (value >= -0x8000) put16(w, 0xd1, value)
  else put32(w, 0xd2, value)
}

function writeFloat(w: ByteWriter, value: number): void {
  const b = w.buffer
  const at = w.length
  b[at] = 0xcb
  float[0] = value
  b[at + 1] = floatBytes[7]!
  b[at + 2] = floatBytes[6]!
  b[at + 3] = floatBytes[5]!
  b[at + 4] = floatBytes[4]!
  b[at + 5] = floatBytes[3]!
  b[at + 6] = floatBytes[2]!
  b[at + 7] = floatBytes[1]!
  b[at + 8] = floatBytes[0]!
  w.length = at + 9
}

function writeUnsigned(w: ByteWriter, value: number): void {
  if (value < 0x80) w.buffer[w.length++] = value
  else if (value < 0x100) put8(w, 0xcc, value)
  else if (value < 0x1_0000) put16(w, 0xcd, value)
  else put32(w, 0xce, value)
}

/** Text as UTF-8. False, and nothing written, when it holds a lone surrogate. */
export function writeText(w: ByteWriter, text: string): boolean {
  const size = text.length
  if (size > SHORT_TEXT) return writeLongText(w, text)
  w.reserve(2 + size)
  const b = w.buffer
  let at = w.length
  if (size < 32) b[at++] = 0xa0 | size
  else {
    b[at++] = 0xd9
    b[at++] = size
  }
  for (let i = 0; i < size; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) return writeLongText(w, text)
    b[at++] = unit
  }
  w.length = at
  return true
}

/** Text by the native encoder, which puts U+FFFD where a lone surrogate stands: hence the check. */
function writeLongText(w: ByteWriter, text: string): boolean {
  // Asking the size first walks long text twice, but never reserves three times what it needs.
  const size = Buffer.byteLength(text)
  if (size !== text.length && !isWellFormed(text)) return false
  w.reserve(5 + size)
  if (size < 32) w.buffer[w.length++] = 0xa0 | size
  else writeSize(w, 0xd9, size)
  w.buffer.write(text, w.length, 'utf8')
  w.length += size
  return true
}
// The library that the compiler knows is ES2023; every supported Node has the method.
function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed()
}

/** A bigint. False, and nothing written, when it takes more than {@link BIGINT_BYTES_MAX} bytes. */
export function writeBigInt(w: ByteWriter, value: bigint): boolean {
  if (BigInt.asIntN(64, value) === value) {
    w.reserve(9)
    w.buffer[w.length] = 0xd3
    w.buffer.writeBigInt64BE(value, w.length + 1)
    w.length += 9
    return true
  }
  if (BigInt.asUintN(64, value) === value) {
    w.reserve(9)
    w.buffer[w.length] = 0xcf
    w.buffer.writeBigUInt64BE(value, w.length + 1)
    w.length += 9
    return true
  }
  if (BigInt.asIntN(8 * BIGINT_BYTES_MAX, value) !== value) return false
  // One bit for the sign: -2^71 and 2^71 - 1 take nine bytes, 2^71 takes ten.
  const magnitude = value < 0n ? ~value : value
  const size = Math.ceil((magnitude.toString(2).length + 1) / 8)
  w.reserve(4 + size)
  if (size < 0x100) put8(w, 0xc7, size)
  else put16(w, 0xc8, size)
  w.buffer[w.length++] = BIGINT_EXTENSION
  const digits = BigInt.asUintN(8 * size, value)
    .toString(16)
    .padStart(2 * size, '0')
  w.length += w.buffer.write(digits, w.length, 'hex')
  return true
}

/** A time in integral milliseconds since 1970: timestamp 32, 64 or 96, the smallest that fits. */
export function writeDate(w: ByteWriter, timeMs: number): void {
  w.reserve(15)
  const b = w.buffer
  const at = w.length
  const seconds = Math.floor(timeMs / 1000)
  const nanos = (timeMs - seconds * 1000) * 1e6
  if (seconds < 0 || seconds >= 2 ** 34) {
    b[at] = 0xc7
    b[at + 1] = 12
    b[at + 2] = TIMESTAMP_EXTENSION
    b.writeUInt32BE(nanos, at + 3)
    b.writeInt32BE(Math.floor(seconds / 2 ** 32), at + 7)
    b.writeUInt32BE(seconds >>> 0, at + 11)
    w.length = at + 15
  } else if (nanos === 0 && seconds < 2 ** 32) {
    b[at] = 0xd6
    b[at + 1] = TIMESTAMP_EXTENSION
    b.writeUInt32BE(seconds, at + 2)
    w.length = at + 6
  } else {
    b[at] = 0xd7
    b[at + 1] = TIMESTAMP_EXTENSION
    b.writeUInt32BE(nanos * 4 + Math.floor(seconds / 2 ** 32), at + 2)
    b.writeUInt32BE(seconds >>> 0, at + 6)
    w.length = at + 10
  }
}

export function writeBytes(w: ByteWriter, bytes: Uint8Array): void {
  w.reserve(5)
  writeSize(w, 0xc4, bytes.length)
  w.bytes(bytes)
}

export function writeArraySize(w: ByteWriter, size: number): void {
  w.reserve(5)
  if (size < 16) w.buffer[w.length++] = 0x90 | size
  else if (size < 0x1_0000) put16(w, 0xdc, size)
  else put32(w, 0xdd, size)
}

export function writeMapSize(w: ByteWriter, size: number): void {
  w.reserve(5)
  if (size < 16) w.buffer[w.length++] = 0x80 | size
  else if (size < 0x1_0000) put16(w, 0xde, size)
  else put32(w, 0xdf, size)
}

/** A length after the token for its width: `token8` for one byte, and the two tokens after it for two and four. */
function writeSize(w: ByteWriter, token8: number, size: number): void {
  if (size < 0x100) put8(w, token8, size)
  else if (size < 0x1_0000) put16(w, token8 + 1, size)
  else put32(w, token8 + 2, size)
}

function put8(w: ByteWriter, token: number, value: number): void {
  const at = w.length
  w.buffer[at] = token
  w.buffer[at + 1] = value
  w.length = at + 2
}

function put16(w: ByteWriter, token: number, value: number): void {
  const b = w.buffer
  const at = w.length
  b[at] = token
  b[at + 1] = value >>> 8
  b[at + 2] = value
  w.length = at + 3
}

function put32(w: ByteWriter, token: number, value: number): void {
  const b = w.buffer
  const at = w.length
  b[at] = token
  b[at + 1] = value >>> 24
  b[at + 2] = value >>> 16
  b[at + 3] = value >>> 8
  b[at + 4] = value
  w.length = at + 5
}
