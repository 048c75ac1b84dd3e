/**
 * Values as bytes: the writer, and the types that can be stored. The form is MessagePack.
 *
 * What goes in comes out (`value-decode.ts`): a kind without a stored form (undefined, functions, Map, class instances,
 * lone surrogates, ...) is refused with the path to it, where general encoders quietly store something else.
 */

import type { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { isForbiddenName } from './value-check.ts'
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
    if (isForbiddenName(name)) throw refused(depth + 1, 'a member of this name cannot be stored')
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
