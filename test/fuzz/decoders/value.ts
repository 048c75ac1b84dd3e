/** MessagePack values and keys: the gate (`checkValue`, `checkKey`) and what msgpackr makes of what has passed it. */

import { isDeepStrictEqual } from 'node:util'
import type { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { decodeKey, encodeKey } from '../../../src/core/wire/key.ts'
import { checkKey } from '../../../src/core/wire/key-check.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { checkValue } from '../../../src/core/wire/value-check.ts'
import { decodeValue } from '../../../src/core/wire/value-decode.ts'
import { Broken, type Decoder, decoder } from '../decoder.ts'
import { oracleValue } from './oracle.ts'
import { KEYS, keyBytes, VALUES, valueBytes } from './seed.ts'

/** A value of nothing but plain parts: no object that could reach a prototype, no kind that is not stored. */
export function checkPlain(value: unknown): void {
  if (typeof value !== 'object' || value === null) {
    if (['undefined', 'function', 'symbol'].includes(typeof value))
      throw new Broken(`decoded a ${typeof value}`)
    return
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) checkPlain(value[i])
  } else if (prototype === Object.prototype || prototype === null) {
    for (const name of Object.getOwnPropertyNames(value)) {
      if (name === '__proto__' || name === 'constructor' || name === 'prototype')
        throw new Broken(`decoded an object with a member ${name}`)
      checkPlain((value as Record<string, unknown>)[name])
    }
  } else if (prototype !== Date.prototype && prototype !== Uint8Array.prototype)
    throw new Broken(`decoded an instance of ${value.constructor?.name}`)
}

/** Names that could reach a prototype, in every form that a name can take. */
function hostileSeeds(): Uint8Array[] {
  return ['__proto__', 'constructor', 'prototype', '__proto_', 'toString', 'hasOwnProperty'].flatMap(
    (name) => {
      const inner = valueBytes({ polluted: true })
      const text = Buffer.from(name)
      const map = Buffer.of(0x81)
      return [
        Buffer.concat([map, Buffer.of(0xa0 | text.length), text, inner]),
        Buffer.concat([map, Buffer.of(0xd9, text.length), text, inner]),
        Buffer.concat([map, Buffer.of(0xda, 0, text.length), text, inner]),
        Buffer.concat([map, Buffer.of(0xdb, 0, 0, 0, text.length), text, inner]),
      ]
    },
  )
}

/** Whether the gate for what is stored without being read lets the value through. */
function isAccepted(bytes: Buffer, start: number, end: number): boolean {
  try {
    checkValue(bytes, start, end, defaultLimits)
    return true
  } catch (error) {
    if (error instanceof GridError && error.code === 'MALFORMED') return false
    throw error
  }
}

/** The other reader drops a byte order mark at the beginning of a long text. */
function hasByteOrderMark(bytes: Buffer, start: number, end: number): boolean {
  return bytes.subarray(start, end).includes('\ufeff')
}

/** Forms that our encoder never writes and the gate lets through: lengths and integers that could be shorter. */
const LOOSE = [
  'cd0005',
  'd3000000000000000a',
  'dc000101',
  'dd0000000101',
  'de0001a16101',
  'df00000001a16101',
  'd4427f',
]

export const valueDecoders: readonly Decoder[] = [
  decoder({
    name: 'value',
    seeds: () => [
      ...VALUES.map(valueBytes),
      ...hostileSeeds(),
      ...LOOSE.map((hex) => Buffer.from(hex, 'hex')),
    ],
    valueAt: () => 0,
    decode(bytes, start, end) {
      const accepted = isAccepted(bytes, start, end)
      let value: unknown
      try {
        value = decodeValue(bytes, start, end, defaultLimits)
      } catch (error) {
        if (accepted) throw new Broken(`value: the check accepts what the reader refuses: ${String(error)}`)
        throw error
      }
      if (!accepted) throw new Broken('value: the reader accepts what the check refuses')
      checkPlain(value)
      // A share of them, by what the input says, against a reader that is not ours.
      if (((bytes[end - 1]! ^ (end - start)) & 7) === 0 && !hasByteOrderMark(bytes, start, end)) {
        const other = oracleValue(bytes.subarray(start, end))
        if (!isDeepStrictEqual(value, other))
          throw new Broken('value: another reader makes another value of it')
      }
      return { value }
    },
    encode: ({ value }, w: ByteWriter) => encodeValue(w, value, defaultLimits),
  }),
  decoder({
    name: 'key',
    seeds: () => KEYS.map(keyBytes),
    valueAt: () => 0,
    decode(bytes, start, end) {
      checkKey(bytes, start, end, defaultLimits)
      const key = decodeKey(bytes, start, end)
      checkPlain(key)
      return { key, bytes: bytes.subarray(start, end) }
    },
    encode({ key, bytes }, w: ByteWriter) {
      encodeKey(w, key, defaultLimits)
      // One key, one spelling: what the gate lets through is what the encoder writes.
      if (!bytes.equals(w.buffer.subarray(w.start, w.length)))
        throw new Broken('key: a second spelling was accepted')
    },
    reuses: true,
  }),
]
