/**
 * The gate for keys from a peer: one pass that builds nothing and accepts exactly what `encodeKey` writes.
 */

import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { isUtf8 } from '../base/utf8.ts'
import { isTimestamp } from './value-check.ts'
import { BIGINT_BYTES_MAX, BIGINT_EXTENSION, TIMESTAMP_EXTENSION } from './value-scalar.ts'

/**
 * Throws `MALFORMED` unless exactly one key, in its canonical form and within `keyBytesMax` and `depthMax`, stands
 * in `bytes[start..end)`.
 */
export function checkKey(bytes: Uint8Array, start: number, end: number, limits: Limits): void {
  if (end - start > limits.keyBytesMax) throw malformed('the key is over keyBytesMax')
  if (checkAny(bytes, start, end, limits.depthMax) !== end) throw malformed('bytes after the key')
}

/** Checks the key at `at` and returns where it ends, never past `end`. */
function checkAny(b: Uint8Array, at: number, end: number, depthLeft: number): number {
  if (at >= end) throw cutShort()
  const token = b[at]!
  if (token < 0x80 || token >= 0xe0) return at + 1
  if (token >= 0xa0 && token < 0xc0) return checkText(b, at + 1, token & 0x1f, end)
  if (token >= 0x90 && token < 0xa0) return checkElements(b, at + 1, token & 0xf, end, depthLeft)
  switch (token) {
    case 0xc4:
      return skip(skip(at, 2, end), b[at + 1]!, end)
    case 0xc5:
      return skip(skip(at, 3, end), atLeast(0x100, get16(b, at + 1)), end)
    case 0xc7:
      return checkExtension(b, skip(at, 2, end), b[at + 1]!, end, false)
    case 0xc8:
      return checkExtension(b, skip(at, 3, end), atLeast(0x100, get16(b, at + 1)), end, false)
    case 0xd6:
      return checkExtension(b, at + 1, 4, end, true)
    case 0xd7:
      return checkExtension(b, at + 1, 8, end, true)
    case 0xcb:
      return checkFloat(b, at, end)
    case 0xcf:
      // Below 2^63 a bigint takes the signed form.
      skip(at, 9, end)
      atLeast(0x80, b[at + 1]!)
      return at + 9
    case 0xd3:
      return skip(at, 9, end)
    case 0xd9:
      return checkText(b, skip(at, 2, end), atLeast(0x20, b[at + 1]!), end)
    case 0xda:
      return checkText(b, skip(at, 3, end), atLeast(0x100, get16(b, at + 1)), end)
    case 0xdc:
      return checkElements(b, skip(at, 3, end), atLeast(0x10, get16(b, at + 1)), end, depthLeft)
    default:
      return checkInteger(b, at, end, token)
  }
}

function checkInteger(b: Uint8Array, at: number, end: number, token: number): number {
  switch (token) {
    case 0xcc:
      skip(at, 2, end)
      atLeast(0x80, b[at + 1]!)
      return at + 2
    case 0xcd:
      skip(at, 3, end)
      atLeast(0x100, get16(b, at + 1))
      return at + 3
    case 0xce:
      skip(at, 5, end)
      atLeast(0x1_0000, get32(b, at + 1))
      return at + 5
    // Negative ones, by their distance below zero: -33 is the first that no fixint holds.
    case 0xd0:
      skip(at, 2, end)
      atLeast(33, -((b[at + 1]! << 24) >> 24))
      return at + 2
    case 0xd1:
      skip(at, 3, end)
      atLeast(0x81, -((get16(b, at + 1) << 16) >> 16))
      return at + 3
    case 0xd2:
      skip(at, 5, end)
      atLeast(0x8001, -(get32(b, at + 1) | 0))
      return at + 5
    default:
      throw malformed(`token 0x${token.toString(16)} is no part of a key`)
  }
}

const float = new DataView(new ArrayBuffer(8))

/** A float is a key only where no integer form holds it, and never NaN or -0. */
function checkFloat(b: Uint8Array, at: number, end: number): number {
  skip(at, 9, end)
  float.setUint32(0, get32(b, at + 1))
  float.setUint32(4, get32(b, at + 5))
  const value = float.getFloat64(0)
  if (Number.isNaN(value) || (value | 0) === value || value >>> 0 === value) throw notCanonical()
  return at + 9
}

function checkElements(b: Uint8Array, at: number, size: number, end: number, depthLeft: number): number {
  if (depthLeft <= 0) throw malformed('the key is over depthMax')
  for (let i = 0; i < size; i++) at = checkAny(b, at, end, depthLeft - 1)
  return at
}

function checkText(b: Uint8Array, at: number, size: number, end: number): number {
  const textEnd = skip(at, size, end)
  if (!isUtf8(b, at, textEnd)) throw malformed('a text that is not valid UTF-8')
  return textEnd
}

/** `at` is where the type stands, `size` the length of what follows it; `fixed`: the token before says the size. */
function checkExtension(b: Uint8Array, at: number, size: number, end: number, fixed: boolean): number {
  const payload = skip(at, 1, end)
  const next = skip(payload, size, end)
  if (b[at] === TIMESTAMP_EXTENSION) checkTimestamp(b, payload, size, fixed)
  else if (b[at] === BIGINT_EXTENSION) checkBigInt(b, payload, size)
  else throw malformed(`an extension of unknown type ${b[at]}`)
  return next
}

function checkTimestamp(b: Uint8Array, at: number, size: number, fixed: boolean): void {
  if (!isTimestamp(b, at, size)) throw malformed('a timestamp that is no date')
  // Only timestamp 96 has no token of its own.
  if (fixed === (size === 12)) throw notCanonical()
  if (size === 4) return
  const word = get32(b, at)
  const nanos = size === 8 ? word >>> 2 : word
  if (nanos % 1e6 !== 0) throw notCanonical()
  // Timestamp 64 is for what 32 cannot hold, and 96 for what 64 cannot.
  if (size === 8 ? word === 0 : get32(b, at + 4) < 4) throw notCanonical()
}

function checkBigInt(b: Uint8Array, at: number, size: number): void {
  if (size > BIGINT_BYTES_MAX) throw malformed('a bigint of an unknown size')
  const [first, second] = [b[at]!, b[at + 1]!]
  // Up to 64 bits, uint64 included, there are forms without an extension; beyond, no byte may only repeat the sign.
  if (size < 9 || (first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)) throw notCanonical()
  if (size === 9 && first === 0) throw notCanonical()
}

function skip(at: number, size: number, end: number): number {
  if (size > end - at) throw cutShort()
  return at + size
}

function atLeast(least: number, value: number): number {
  if (value < least) throw notCanonical()
  return value
}

function get16(b: Uint8Array, at: number): number {
  return (b[at]! << 8) | b[at + 1]!
}

function get32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
}

function cutShort(): GridError {
  return malformed('the key is cut short')
}

function notCanonical(): GridError {
  return malformed('the key is not in its canonical form')
}

function malformed(what: string): GridError {
  return new GridError('MALFORMED', what)
}
