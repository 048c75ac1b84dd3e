/** Generators of storable values, of keys, and of bytes that once were one. */

import fc from 'fast-check'
import type { Key } from '../../../src/core/wire/key.ts'

const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])

function anyNumber(): fc.Arbitrary<number> {
  return fc.oneof(fc.integer(), fc.integer({ min: -300, max: 300 }), fc.maxSafeInteger(), fc.double())
}

function anyText(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.string({ unit: 'binary', size: 'medium' }),
    fc.string({ unit: 'grapheme', size: 'large' }),
    fc.string({ unit: fc.constantFrom('a', 'é', '€', '\ufeff', '\u{1F600}'), maxLength: 300, size: 'max' }),
  )
}

function anyBigInt(): fc.Arbitrary<bigint> {
  return fc.oneof(
    fc.bigInt(),
    fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
    fc.bigInt({ min: -9n, max: 9n }),
  )
}

function anyDate(): fc.Arbitrary<Date> {
  const aroundNow = fc.date({ min: new Date('1960-01-01'), max: new Date('2110-01-01'), noInvalidDate: true })
  return fc.oneof(fc.date({ noInvalidDate: true }), aroundNow)
}

function anyBytes(): fc.Arbitrary<Uint8Array> {
  // Copied, because the generator's own arrays may share a larger buffer.
  return fc.uint8Array({ maxLength: 300 }).map((bytes) => Uint8Array.from(bytes))
}

/** `portable`: only what `@msgpack/msgpack` reads back, so no bigints and no text that begins with U+FEFF. */
export function anyValue(options: { portable?: boolean } = {}): fc.Arbitrary<unknown> {
  const text = options.portable === true ? anyText().map((it) => it.replace(/^\ufeff+/, '')) : anyText()
  const name = text.filter((it) => !FORBIDDEN.has(it))
  const leaves: fc.Arbitrary<unknown>[] = [
    fc.constant(null),
    fc.boolean(),
    anyNumber(),
    text,
    anyDate(),
    anyBytes(),
  ]
  if (options.portable !== true) leaves.push(anyBigInt())
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      ...leaves,
      fc.array(tie('value'), { maxLength: 20 }),
      fc.dictionary(name, tie('value'), { maxKeys: 20, noNullPrototype: true }),
    ),
  })).value
}

export function anyKey(): fc.Arbitrary<Key> {
  const number = anyNumber().filter((value) => !Number.isNaN(value))
  return fc.letrec<{ key: Key }>((tie) => ({
    key: fc.oneof(
      { maxDepth: 2, depthSize: 'small' },
      anyText(),
      number,
      anyBigInt(),
      anyDate(),
      anyBytes(),
      fc.array(tie('key'), { maxLength: 4 }),
    ),
  })).key
}

/** `bytes` with a few of them changed, cut off or doubled. */
export function corrupted(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const change = fc.record({ at: fc.nat(Math.max(0, bytes.length - 1)), byte: fc.nat(255), kind: fc.nat(3) })
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => {
    let copy = Uint8Array.from(bytes)
    for (const { at, byte, kind } of changes) {
      if (kind === 0) copy = copy.slice(0, at)
      else if (kind === 1) copy = Uint8Array.of(...copy.slice(0, at), byte, ...copy.slice(at))
      else if (at < copy.length) copy[at] = byte
    }
    return copy
  })
}
