/** What seeds are made of: values of every kind, ids, and the bytes that a writer leaves behind. */

import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { encodeKey } from '../../../src/core/wire/key.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'

export const [A, B, C] = ['a1', 'b2', 'c3'].map((pair) => pair.repeat(16)) as [string, string, string]

export function bytesOf(write: (w: ByteWriter) => void): Uint8Array {
  const w = new ByteWriter(256)
  write(w)
  return w.take()
}

/** The payload of the one message that `write` writes. */
export function payloadOf(write: (w: ByteWriter) => void): Uint8Array {
  return bytesOf(write).subarray(4)
}

export function valueBytes(value: unknown): Uint8Array {
  return bytesOf((w) => encodeValue(w, value, defaultLimits))
}

export function keyBytes(key: unknown): Uint8Array {
  return bytesOf((w) => encodeKey(w, key, defaultLimits))
}

/** An entry like those that programs store, and values at the edges of their kinds. */
export const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  127,
  200,
  40_000,
  70_000,
  -200,
  -40_000,
  -70_000,
  1.5,
  -0,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  2 ** 53,
  5n,
  -(2n ** 63n),
  2n ** 64n - 1n,
  2n ** 64n,
  -(2n ** 200n),
  '',
  'short',
  'ä€😀',
  'a text of more than thirty-two characters, so that its length has a byte',
  `\ufeff${'long text that begins with a mark '.repeat(8)}`,
  new Date(0),
  new Date(1_700_000_000_123),
  new Date(-1),
  new Date(8.64e15),
  new Uint8Array(0),
  Uint8Array.of(1, 2, 3),
  new Uint8Array(300),
  [],
  [1, 'two', [3, [4n]], null],
  Array.from({ length: 20 }, (_, i) => i),
  {},
  { site: 'plant-3', temp: 71.5, at: { zone: 'b', floor: 2 }, tags: ['hot', 'new'], since: new Date(1e12) },
  { a: { b: { c: { d: { e: [{ f: 1 }] } } } } },
  Object.fromEntries(Array.from({ length: 18 }, (_, i) => [`member${i}`, i])),
  [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],
]

export const KEYS: readonly unknown[] = [
  'key',
  '',
  'a key of more than thirty-two characters in all',
  'x'.repeat(300),
  0,
  1,
  -33,
  300,
  1.25,
  Number.POSITIVE_INFINITY,
  7n,
  2n ** 63n,
  2n ** 70n,
  -(2n ** 64n),
  new Date(1_700_000_000_000),
  new Date(1_700_000_000_123),
  new Date(-5000),
  Uint8Array.of(9, 8, 7),
  new Uint8Array(260),
  ['tenant', 42, ['deep', [1n]]],
  Array.from({ length: 17 }, () => 'e'),
]
