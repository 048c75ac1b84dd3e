/**
 * Keys as bytes, in one canonical encoding: two keys are the same key exactly when their bytes are the same.
 *
 * The forms are those of values (MessagePack), each the smallest of its kind. A number and a bigint are never the
 * same key (5 and 5n are two), -0 is 0, and a number without a fraction is an integer however it was computed.
 * Bytes from a peer pass `checkKey` before they are hashed or compared, because a second spelling of a key would be
 * a second entry.
 */

import type { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { decodeTrusted } from './value-decode.ts'
import {
  BIGINT_BYTES_MAX,
  writeArraySize,
  writeBigInt,
  writeBytes,
  writeDate,
  writeNumber,
  writeText,
} from './value-scalar.ts'

/**
 * What an entry can be stored under. Infinities are keys, NaN and invalid dates are not; text with a lone surrogate
 * is not. A `Buffer` comes back as a plain `Uint8Array`.
 */
export type Key = string | number | bigint | Uint8Array | Date | readonly Key[]

/**
 * Appends `key` to `w`.
 *
 * Throws `BAD_KEY` for what cannot be a key, with the path inside an array key, or `TOO_LARGE` with the name of the
 * limit (`keyBytesMax`, `depthMax`). After a throw `w` is as it was.
 */
export function encodeKey(w: ByteWriter, key: unknown, limits: Limits): void {
  const offset = w.length - w.start
  const ceiling = offset + limits.keyBytesMax
  try {
    writeAny(w, key, limits, ceiling, 0)
    if (w.length - w.start > ceiling) throw tooLarge('keyBytesMax', limits.keyBytesMax)
  } catch (error) {
    w.length = w.start + offset
    if (error instanceof GridError) throw error
    throw new GridError('BAD_KEY', 'the key threw while it was read', { cause: error })
  }
}

/** The indices that lead to what is being written. */
const trail: number[] = []

function writeAny(w: ByteWriter, key: unknown, limits: Limits, ceiling: number, depth: number): void {
  switch (typeof key) {
    case 'string':
      if (key.length > limits.keyBytesMax) throw tooLarge('keyBytesMax', limits.keyBytesMax)
      if (!writeText(w, key)) throw refused(depth, 'a lone surrogate')
      return
    case 'number':
      if (Number.isNaN(key)) throw refused(depth, 'NaN')
      writeNumber(w, key === 0 ? 0 : key)
      return
    case 'bigint':
      if (!writeBigInt(w, key)) throw refused(depth, `a bigint of more than ${BIGINT_BYTES_MAX} bytes`)
      return
    case 'object':
      if (key === null) throw refused(depth, 'null')
      writeObject(w, key, limits, ceiling, depth)
      return
    case 'undefined':
      throw refused(depth, 'undefined')
    default:
      throw refused(depth, `a ${typeof key}`)
  }
}

function writeObject(w: ByteWriter, key: object, limits: Limits, ceiling: number, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(key)
  if (prototype === Date.prototype) {
    const timeMs = (key as Date).getTime()
    if (Number.isNaN(timeMs)) throw refused(depth, 'an invalid Date')
    writeDate(w, timeMs)
  } else if (prototype === Uint8Array.prototype || prototype === Buffer.prototype) {
    const bytes = key as Uint8Array
    if (bytes.length > limits.keyBytesMax) throw tooLarge('keyBytesMax', limits.keyBytesMax)
    writeBytes(w, bytes)
  } else if (prototype === Array.prototype && Array.isArray(key)) {
    if (depth >= limits.depthMax) throw tooLarge('depthMax', limits.depthMax)
    const size = key.length
    writeArraySize(w, size)
    for (let i = 0; i < size; i++) {
      trail[depth] = i
      writeAny(w, key[i], limits, ceiling, depth + 1)
      // Here too, so that no array is read much further than it can be stored.
      if (w.length - w.start > ceiling) throw tooLarge('keyBytesMax', limits.keyBytesMax)
    }
  } else throw refused(depth, 'an object other than a Date, Uint8Array or array')
}

function refused(depth: number, what: string): GridError {
  const path = trail.slice(0, depth).map((index) => `[${index}]`)
  return new GridError('BAD_KEY', `key${path.join('')}: ${what} cannot be a key`)
}

function tooLarge(limit: 'keyBytesMax' | 'depthMax', max: number): GridError {
  return new GridError('TOO_LARGE', `the key is over ${limit} (${max})`)
}

/** The key that stands in `bytes[start..end)`, which this process has encoded or checked. */
export function decodeKey(bytes: Uint8Array, start: number, end: number): Key {
  return decodeTrusted(bytes, start, end) as Key
}
