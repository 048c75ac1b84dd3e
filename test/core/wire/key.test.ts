import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { decodeKey, encodeKey, type Key } from '../../../src/core/wire/key.ts'
import { checkKey } from '../../../src/core/wire/key-check.ts'
import { anyKey, corrupted } from './value-arbitrary.ts'

const limits = { ...defaultLimits, keyBytesMax: 1024 * 1024, depthMax: 4 }

function encoded(key: unknown, bounds = limits): Buffer {
  const w = new ByteWriter(8)
  encodeKey(w, key, bounds)
  return w.buffer.subarray(0, w.length)
}

function check(bytes: Uint8Array, bounds = limits): void {
  const frame = Buffer.concat([Buffer.of(1, 2), bytes, Buffer.alloc(50, 0x01)])
  checkKey(frame, 2, 2 + bytes.length, bounds)
}

function errorOf(run: () => unknown): GridError {
  try {
    run()
  } catch (error) {
    if (error instanceof GridError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** What makes two keys the same, stated without the encoding. */
function identity(key: Key): string {
  if (typeof key === 'number') return `number ${key}`
  if (key instanceof Date) return `date ${key.getTime()}`
  if (key instanceof Uint8Array) return `bytes ${Buffer.from(key).toString('hex')}`
  if (typeof key === 'object') return `[${key.map((element) => JSON.stringify(identity(element))).join()}]`
  return `${typeof key} ${key}`
}

describe('encodeKey', () => {
  it('writes what comes back and passes the check', () => {
    fc.assert(
      fc.property(anyKey(), (key) => {
        const bytes = encoded(key)
        check(bytes)
        const back = decodeKey(bytes, 0, bytes.length)
        expect(identity(back)).toBe(identity(key))
        expect(encoded(back)).toStrictEqual(bytes)
      }),
      { numRuns: 1000 },
    )
  })

  it('gives equal keys equal bytes and different keys different bytes', () => {
    const key = fc.oneof(anyKey(), fc.integer({ min: -40, max: 40 }), fc.bigInt({ min: -40n, max: 40n }))
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(encoded(a).equals(encoded(b))).toBe(identity(a) === identity(b))
      }),
      { numRuns: 2000 },
    )
    const each: Key[] = [
      5,
      5n,
      '5',
      [5],
      [[5]],
      [5n],
      [],
      '',
      0n,
      0,
      new Date(0),
      new Date(5),
      Uint8Array.of(5),
      Buffer.of(),
    ]
    expect(new Set(each.map((one) => encoded(one).toString('hex'))).size).toBe(each.length)
  })

  it('takes -0 for 0, infinities as they are, and a Buffer for its bytes', () => {
    expect(encoded([-0])).toStrictEqual(encoded([0]))
    expect(decodeKey(encoded(-Infinity), 0, 9)).toBe(-Infinity)
    expect(encoded(Buffer.of(1))).toStrictEqual(encoded(Uint8Array.of(1)))
  })

  it.each([
    ['undefined', undefined, 'key: undefined cannot be a key'],
    ['null', ['a', null], 'key[1]: null cannot be a key'],
    ['a boolean', [[true]], 'key[0][0]: a boolean cannot be a key'],
    ['NaN', Number.NaN, 'key: NaN cannot be a key'],
    ['an invalid date', new Date(Number.NaN), 'key: an invalid Date cannot be a key'],
    ['a lone surrogate', '\ud800', 'key: a lone surrogate cannot be a key'],
    ['an object', {}, 'key: an object other than a Date, Uint8Array or array cannot be a key'],
    ['a hole', new Array(1), 'key[0]: undefined cannot be a key'],
    ['a huge bigint', 2n ** 8191n, 'key: a bigint of more than 1024 bytes cannot be a key'],
  ])('refuses %s', (_, key, message) => {
    expect(errorOf(() => encoded(key)).message).toBe(`BAD_KEY: ${message}`)
  })

  it('refuses what is over a limit, by its name', () => {
    const bounds = { ...limits, keyBytesMax: 10 }
    expect(encoded('123456789', bounds)).toHaveLength(10)
    for (const key of ['1234567890', new Uint8Array(9), ['abcd', 'efgh'], 'x'.repeat(99)]) {
      expect(errorOf(() => encoded(key, bounds)).message).toContain(
        'TOO_LARGE: the key is over keyBytesMax (10)',
      )
    }
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(errorOf(() => encoded(cycle)).message).toContain('TOO_LARGE: the key is over depthMax (4)')
  })

  it('leaves the writer as it was when it throws', () => {
    const w = new ByteWriter(4)
    w.u16(7)
    expect(errorOf(() => encodeKey(w, ['x'.repeat(100), null], limits)).code).toBe('BAD_KEY')
    expect(Buffer.from(w.take())).toStrictEqual(Buffer.of(7, 0))
  })
})

describe('checkKey', () => {
  it.each([
    ['nothing', ''],
    ['two keys', '0102'],
    ['nil', 'c0'],
    ['a boolean', 'c3'],
    ['an object', '80'],
    ['float32', 'ca3fc00000'],
    ['5 in two bytes', 'cc05'],
    ['200 in three bytes', 'cd00c8'],
    ['2000 in five bytes', 'ce000007d0'],
    ['-32 in two bytes', 'd0e0'],
    ['5 as a signed integer', 'd005'],
    ['-128 in three bytes', 'd1ff80'],
    ['-32768 in five bytes', 'd2ffff8000'],
    ['an integer as a float', 'cb4014000000000000'],
    ['2^32 - 1 as a float', 'cb41efffffffe00000'],
    ['0 as a float', 'cb0000000000000000'],
    ['-0', 'cb8000000000000000'],
    ['NaN', 'cb7ff8000000000000'],
    ['5n unsigned', 'cf0000000000000005'],
    ['5n as an extension', 'c7014205'],
    ['2^64 - 1 as an extension', 'c7094200ffffffffffffffff'],
    ['2^63 - 1 as an extension', 'c709427fffffffffffffff'],
    ['a bigint with a byte that repeats its sign', 'c70a4200010000000000000000'],
    ['a negative bigint with a byte that repeats its sign', 'c70a42ffff7fffffffffffffff'],
    ['a bigint with a longer length', `c8000942${'01'.repeat(9)}`],
    ['short text in str 8', 'd90161'],
    ['short text in str 16', `da0020${'61'.repeat(32)}`],
    ['text in str 32', 'db0000000161'],
    ['a short binary in bin 16', 'c5000101'],
    ['a short array in array 16', 'dc000101'],
    ['text that is not UTF-8', 'a180'],
    ['text cut short', 'a261'],
    ['a timestamp 64 that fits in 32', 'd7ff0000000000000001'],
    ['a timestamp 96 that fits in 64', 'c70cff000000000000000100000000'],
    ['a timestamp with a part of a millisecond', 'd7ff0000000400000001'],
    ['nesting past the limit', '919191919101'],
  ])('refuses %s', (_, hex) => {
    expect(errorOf(() => check(Buffer.from(hex, 'hex'))).code).toBe('MALFORMED')
  })

  it('refuses a key that is too long', () => {
    expect(errorOf(() => check(encoded('abc'), { ...limits, keyBytesMax: 3 })).code).toBe('MALFORMED')
  })

  it('takes bytes only if they are what their key is encoded to', () => {
    const canonicalOrMalformed = (bytes: Uint8Array): void => {
      try {
        check(bytes)
      } catch (error) {
        expect(error).toMatchObject({ code: 'MALFORMED' })
        return
      }
      expect(encoded(decodeKey(bytes, 0, bytes.length))).toStrictEqual(Buffer.from(bytes))
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), canonicalOrMalformed), { numRuns: 10_000 })
    const mutated = anyKey().chain((key) => corrupted(encoded(key)))
    fc.assert(fc.property(mutated, canonicalOrMalformed), { numRuns: 2000 })
  })
})
