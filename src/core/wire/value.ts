/**
 * Values as bytes: MessagePack, written by a strict encoder of our own and read by msgpackr.
 *
 * What goes in comes out: a kind without a stored form (undefined, functions, Map, class instances, lone
 * surrogates, ...) is refused with the path to it, where general encoders quietly store something else. Bytes from
 * a peer are checked in full by `checkValue` before msgpackr sees them, so that no bytes can make it allocate,
 * recurse or hang beyond the limits.
 */

import { isNativeAccelerationEnabled, Unpackr } from 'msgpackr'
import type { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { doubleByteOrderMarks, hasByteOrderMark } from './value-bom.ts'
import { checkValue } from './value-check.ts'
import {
  BIGINT_BYTES_MAX,
  writeArraySize,
  writeBigInt,
  writeBytes,
  writeDate,
  writeMapSize,
  writeNumber,
  writeText,
} from './value-scalar.ts'

/**
 * What can be stored. The API leaves its type parameter unconstrained, because an interface has no index signature
 * and would not fit; this is the type to check against where a program wants the compiler's help.
 *
 * Objects are plain ones (prototype `Object.prototype` or null); their own enumerable members with string names
 * are stored, and `__proto__`, `constructor` and `prototype` are refused as names. Numbers keep every bit that
 * counts (-0, NaN and infinities included); bigints up to 1 KiB; dates to the millisecond. A `Buffer` comes back
 * as a plain `Uint8Array`.
 */
export type StorableValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | readonly StorableValue[]
  | { readonly [name: string]: StorableValue }

// The state of the one encoding under way: it runs to its end without awaiting, and a getter that would begin
// another one is refused.
let busy = false
let bounds: Limits
let elements = 0
/** Where the value must end at the latest, counted from the writer's `start`, which moves when it grows. */
let ceiling = 0
/** The member names and indices that lead to what is being written. */
const trail: (string | number)[] = []

/**
 * Appends `value` to `w`.
 *
 * Throws `BAD_VALUE` with the path of what has no stored form, or `TOO_LARGE` with the name of the limit
 * (`depthMax`, `elementsMax`, `valueBytesMax`; a cycle meets the first). After a throw `w` is as it was.
 */
export function encodeValue(w: ByteWriter, value: unknown, limits: Limits): void {
  if (busy) throw new GridError('BAD_VALUE', 'a getter of a value may not store another value')
  const offset = w.length - w.start
  busy = true
  bounds = limits
  elements = 0
  ceiling = offset + limits.valueBytesMax
  try {
    writeAny(w, value, 0)
    if (w.length - w.start > ceiling) throw tooLarge('valueBytesMax', limits.valueBytesMax)
  } catch (error) {
    w.length = w.start + offset
    if (error instanceof GridError) throw error
    throw new GridError('BAD_VALUE', 'the value threw while it was read', { cause: error })
  } finally {
    busy = false
  }
}

function writeAny(w: ByteWriter, value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      if (value.length > bounds.valueBytesMax) throw tooLarge('valueBytesMax', bounds.valueBytesMax)
      if (!writeText(w, value)) throw refused(depth, 'a lone surrogate cannot be stored')
      return
    case 'number':
      writeNumber(w, value)
      return
    case 'boolean':
      w.u8(value ? 0xc3 : 0xc2)
      return
    case 'object':
      if (value === null) w.u8(0xc0)
      else writeObject(w, value, depth)
      return
    case 'bigint':
      if (!writeBigInt(w, value))
        throw refused(depth, `a bigint of more than ${BIGINT_BYTES_MAX} bytes cannot be stored`)
      return
    case 'undefined':
      throw refused(depth, 'undefined cannot be stored')
    default:
      throw refused(depth, `a ${typeof value} cannot be stored`)
  }
}

function writeObject(w: ByteWriter, value: object, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) {
    writeMembers(w, value as Record<string, unknown>, depth)
  } else if (prototype === Array.prototype && Array.isArray(value)) {
    writeElements(w, value, depth)
  } else if (prototype === Date.prototype) {
    const timeMs = (value as Date).getTime()
    if (Number.isNaN(timeMs)) throw refused(depth, 'an invalid Date cannot be stored')
    writeDate(w, timeMs)
  } else if (prototype === Uint8Array.prototype || prototype === Buffer.prototype) {
    const bytes = value as Uint8Array
    if (bytes.length > bounds.valueBytesMax) throw tooLarge('valueBytesMax', bounds.valueBytesMax)
    writeBytes(w, bytes)
  } else throw refused(depth, `an instance of ${className(value)} cannot be stored`)
}

function writeMembers(w: ByteWriter, value: Record<string, unknown>, depth: number): void {
  const names = Object.keys(value)
  enter(names.length, depth)
  writeMapSize(w, names.length)
  for (const name of names) {
    trail[depth] = name
    if (isForbidden(name)) throw refused(depth + 1, 'a member of this name cannot be stored')
    if (!writeText(w, name)) throw refused(depth + 1, 'a lone surrogate in a name cannot be stored')
    writeAny(w, value[name], depth + 1)
    if (w.length - w.start > ceiling) throw tooLarge('valueBytesMax', bounds.valueBytesMax)
  }
}

function writeElements(w: ByteWriter, value: readonly unknown[], depth: number): void {
  const size = value.length
  enter(size, depth)
  writeArraySize(w, size)
  for (let i = 0; i < size; i++) {
    trail[depth] = i
    writeAny(w, value[i], depth + 1)
    if (w.length - w.start > ceiling) throw tooLarge('valueBytesMax', bounds.valueBytesMax)
  }
}

function enter(size: number, depth: number): void {
  if (depth >= bounds.depthMax) throw tooLarge('depthMax', bounds.depthMax)
  elements += size
  if (elements > bounds.elementsMax) throw tooLarge('elementsMax', bounds.elementsMax)
}

// `__proto__` changes a prototype where an object is built by assignment; the other two lead to one.
function isForbidden(name: string): boolean {
  const size = name.length
  if (size === 9) return name === '__proto__' || name === 'prototype'
  return size === 11 && name === 'constructor'
}

function className(value: object): string {
  const maker: unknown = value.constructor
  return typeof maker === 'function' && maker.name !== '' ? maker.name : 'an unnamed class'
}

function refused(depth: number, reason: string): GridError {
  return new GridError('BAD_VALUE', `${pathOf(depth)}: ${reason}`)
}

function tooLarge(limit: 'depthMax' | 'elementsMax' | 'valueBytesMax', max: number): GridError {
  return new GridError('TOO_LARGE', `the value is over ${limit} (${max})`)
}

function pathOf(depth: number): string {
  let path = 'value'
  for (const step of trail.slice(0, depth)) {
    if (typeof step === 'number') path += `[${step}]`
    else if (/^[\p{L}_$][\p{L}\p{N}_$]{0,63}$/u.test(step)) path += `.${step}`
    else path += `[${JSON.stringify(step.length > 64 ? `${step.slice(0, 64)}...` : step)}]`
  }
  return path
}

const unpackr = new Unpackr({
  useRecords: false,
  mapsAsObjects: true,
  int64AsType: 'bigint',
  copyBuffers: true,
  moreTypes: false,
  structuredClone: false,
})

// msgpackr keeps a view beside each array that it is given, and is at its best when the array is short; so a short
// value is copied here first, which also makes its binaries plain Uint8Arrays.
const scratch = new Uint8Array(256)

/** The value that stands in `bytes[start..end)`, all of which is checked first. Throws `MALFORMED`. */
export function decodeValue(bytes: Uint8Array, start: number, end: number, limits: Limits): unknown {
  checkValue(bytes, start, end, limits)
  return decodeTrusted(bytes, start, end)
}

/** The same without the check: for bytes that this process has encoded or checked. */
export function decodeTrusted(bytes: Uint8Array, start: number, end: number): unknown {
  const size = end - start
  if (size > scratch.length) {
    return decodeArray(new Uint8Array(bytes.buffer, bytes.byteOffset + start, size), size)
  }
  for (let i = 0; i < size; i++) scratch[i] = bytes[start + i]!
  return decodeArray(scratch, size)
}

function decodeArray(array: Uint8Array, size: number): unknown {
  if (!isNativeAccelerationEnabled && size > 64 && hasByteOrderMark(array, size)) {
    return unpackr.unpack(doubleByteOrderMarks(array, 0, size))
  }
  return unpackr.unpack(array, size)
}
