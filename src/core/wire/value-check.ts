/**
 * The gate for values from a peer: one pass over the bytes that builds nothing.
 *
 * Whatever passes is one complete value within the limits, made only of kinds that can be stored, with valid UTF-8
 * and no member name that could reach a prototype. Integers and lengths need not be in their smallest form, and a
 * name may come twice in one object; the last one counts.
 */

import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { isUtf8 } from '../base/utf8.ts'
import { BIGINT_BYTES_MAX, BIGINT_EXTENSION, TIMESTAMP_EXTENSION } from './value-scalar.ts'

/** `__proto__` changes a prototype where an object is built by assignment; the other two lead to one. */
export function isForbiddenName(name: string): boolean {
  const size = name.length
  if (size === 9) return name === '__proto__' || name === 'prototype'
  return size === 11 && name === 'constructor'
}

let source: Uint8Array
let limit = 0
let elementsLeft = 0

/** Throws `MALFORMED` unless exactly one well-formed value within `limits` stands in `bytes[start..end)`. */
export function checkValue(bytes: Uint8Array, start: number, end: number, limits: Limits): void {
  if (end - start > limits.valueBytesMax) throw malformed('the value is over valueBytesMax')
  source = bytes
  limit = end
  elementsLeft = limits.elementsMax
  const at = checkAny(start, limits.depthMax)
  if (at !== end) throw malformed(at < end ? `${end - at} bytes after the value` : 'the value is cut short')
}

/** Checks the value at `at` and returns where it ends, which the caller compares with the limit. */
function checkAny(at: number, depthLeft: number): number {
  if (at >= limit) throw malformed('the value is cut short')
  const token = source[at]!
  if (token < 0x80 || token >= 0xe0) return at + 1
  if (token < 0x90) return checkMembers(at + 1, token & 0xf, depthLeft)
  if (token < 0xa0) return checkElements(at + 1, token & 0xf, depthLeft)
  if (token < 0xc0) return checkText(at + 1, token & 0x1f)
  switch (token) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return at + 1
    case 0xc4:
      return skip(at + 2, size8(at))
    case 0xc5:
      return skip(at + 3, size16(at))
    case 0xc6:
      return skip(at + 5, size32(at))
    case 0xc7:
      return checkExtension(at + 2, size8(at))
    case 0xc8:
      return checkExtension(at + 3, size16(at))
    case 0xcc:
    case 0xd0:
      return at + 2
    case 0xcd:
    case 0xd1:
      return at + 3
    case 0xce:
    case 0xd2:
      return at + 5
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return at + 9
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return checkExtension(at + 1, 1 << (token - 0xd4))
    case 0xd9:
      return checkText(at + 2, size8(at))
    case 0xda:
      return checkText(at + 3, size16(at))
    case 0xdb:
      return checkText(at + 5, size32(at))
    case 0xdc:
      return checkElements(at + 3, size16(at), depthLeft)
    case 0xdd:
      return checkElements(at + 5, size32(at), depthLeft)
    case 0xde:
      return checkMembers(at + 3, size16(at), depthLeft)
    case 0xdf:
      return checkMembers(at + 5, size32(at), depthLeft)
    default:
      throw malformed(`token 0x${token.toString(16)} is no part of a value`)
  }
}

function checkElements(at: number, size: number, depthLeft: number): number {
  enter(size, depthLeft)
  for (let i = 0; i < size; i++) at = checkAny(at, depthLeft - 1)
  return at
}

function checkMembers(at: number, size: number, depthLeft: number): number {
  enter(size, depthLeft)
  for (let i = 0; i < size; i++) at = checkAny(checkName(at), depthLeft - 1)
  return at
}

function enter(size: number, depthLeft: number): void {
  if (depthLeft <= 0) throw malformed('the value is over depthMax')
  elementsLeft -= size
  if (elementsLeft < 0) throw malformed('the value is over elementsMax')
}

function checkName(at: number): number {
  const header = nameHeaderSize(at < limit ? source[at]! : 0)
  const end = checkAny(at, 0)
  const name = at + header
  const size = end - name
  if (
    size === 9
      ? holds(name, '__proto__') || holds(name, 'prototype')
      : size === 11 && holds(name, 'constructor')
  )
    throw malformed('a member name that is not allowed')
  return end
}

function nameHeaderSize(token: number): number {
  if (token >= 0xa0 && token < 0xc0) return 1
  if (token === 0xd9) return 2
  if (token === 0xda) return 3
  if (token === 0xdb) return 5
  throw malformed('a member name that is no text')
}

function holds(at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if (source[at + i] !== name.charCodeAt(i)) return false
  return true
}

function skip(at: number, size: number): number {
  if (size > limit - at) throw malformed('the value is cut short')
  return at + size
}

function checkText(at: number, size: number): number {
  const end = skip(at, size)
  if (!isUtf8(source, at, end)) throw malformed('a text that is not valid UTF-8')
  return end
}

// A length that is itself cut short reads what stands behind the limit, or zeros; the position after it is then past the
// limit, whatever it says.
function size8(at: number): number {
  return source[at + 1]! | 0
}

function size16(at: number): number {
  return (source[at + 1]! << 8) | source[at + 2]!
}

function size32(at: number): number {
  return ((source[at + 1]! << 24) | (source[at + 2]! << 16) | (source[at + 3]! << 8) | source[at + 4]!) >>> 0
}

/** `at` is where the type stands, `size` the length of what follows it. */
function checkExtension(at: number, size: number): number {
  const end = skip(at + 1, size)
  const type = source[at]
  if (type === BIGINT_EXTENSION) {
    if (size === 0 || size > BIGINT_BYTES_MAX) throw malformed('a bigint of an unknown size')
  } else if (type !== TIMESTAMP_EXTENSION) throw malformed(`an extension of unknown type ${type}`)
  else if (!isTimestamp(source, at + 1, size)) throw malformed('a timestamp that is no date')
  return end
}

/** Whether the payload of a timestamp is of a known size and within the range of `Date`. */
export function isTimestamp(b: Uint8Array, at: number, size: number): boolean {
  if (size === 4) return true
  if (size !== 8 && size !== 12) return false
  const word = ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
  if (size === 8) return word >>> 2 < 1e9
  const high = (b[at + 4]! << 24) | (b[at + 5]! << 16) | (b[at + 6]! << 8) | b[at + 7]!
  const low = ((b[at + 8]! << 24) | (b[at + 9]! << 16) | (b[at + 10]! << 8) | b[at + 11]!) >>> 0
  const seconds = high * 2 ** 32 + low
  return word < 1e9 && Math.abs(seconds * 1000 + word / 1e6) <= 8.64e15
}

function malformed(what: string): GridError {
  return new GridError('MALFORMED', what)
}
