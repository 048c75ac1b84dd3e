import { decode, decodeMulti } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits, type Limits } from '../../../src/core/base/limits.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { checkValue } from '../../../src/core/wire/value-check.ts'
import { decodeTrusted, decodeValue } from '../../../src/core/wire/value-decode.ts'
import { anyValue, corrupted } from './value-arbitrary.ts'

const limits: Limits = { ...defaultLimits, depthMax: 8, elementsMax: 1000, valueBytesMax: 128 * 1024 }

function encoded(value: unknown, bounds = limits): Buffer {
  const w = new ByteWriter(16)
  w.u24(0x61_62_63)
  encodeValue(w, value, bounds)
  return w.buffer.subarray(3, w.length)
}

function roundTrip(value: unknown): unknown {
  const bytes = encoded(value)
  return decodeValue(bytes, 0, bytes.length, limits)
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

describe('encodeValue and decodeValue', () => {
  it('bring back every value, from anywhere in a larger buffer', () => {
    fc.assert(
      fc.property(anyValue(), fc.nat(40), (value, shift) => {
        const bytes = encoded(value)
        const frame = Buffer.concat([Buffer.alloc(shift, 0xc1), bytes, Buffer.alloc(7, 0xc1)])
        const back = decodeValue(frame, shift, shift + bytes.length, limits)
        expect(back).toStrictEqual(value)
        expect(decodeTrusted(frame, shift, shift + bytes.length)).toStrictEqual(value)
      }),
      { numRuns: 400 },
    )
  })

  it('write what an independent decoder reads alike', () => {
    fc.assert(
      fc.property(anyValue({ portable: true }), (value) => {
        expect(decode(Uint8Array.from(encoded(value)))).toStrictEqual(value)
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    [0, '00'],
    [-0, 'cb8000000000000000'],
    [127, '7f'],
    [128, 'cc80'],
    [255, 'ccff'],
    [256, 'cd0100'],
    [65535, 'cdffff'],
    [65536, 'ce00010000'],
    [2 ** 31, 'ce80000000'],
    [2 ** 32 - 1, 'ceffffffff'],
    [2 ** 32, 'cb41f0000000000000'],
    [-1, 'ff'],
    [-32, 'e0'],
    [-33, 'd0df'],
    [-128, 'd080'],
    [-129, 'd1ff7f'],
    [-32768, 'd18000'],
    [-32769, 'd2ffff7fff'],
    [-(2 ** 31), 'd280000000'],
    [-(2 ** 31) - 1, 'cbc1e0000000200000'],
    [1.5, 'cb3ff8000000000000'],
    [5n, 'd30000000000000005'],
    [-1n, 'd3ffffffffffffffff'],
    [2n ** 63n, 'cf8000000000000000'],
    [2n ** 64n, 'c70942010000000000000000'],
    [-(2n ** 63n) - 1n, 'c70942ff7fffffffffffffff'],
    [new Date(0), 'd6ff00000000'],
    [new Date(1500), 'd7ff7735940000000001'],
    [new Date(-1), 'c70cff3b8b87c0ffffffffffffffff'],
    ['', 'a0'],
    ['é', 'a2c3a9'],
    [Uint8Array.of(1, 2), 'c4020102'],
    [[], '90'],
    [{ a: null, b: [true, false] }, '82a161c0a16292c3c2'],
  ])('writes %s in its one form', (value, hex) => {
    expect(encoded(value).toString('hex')).toBe(hex)
    expect(roundTrip(value)).toStrictEqual(value)
  })

  it('keep the extremes', () => {
    const extremes = [
      [Number.NaN, Infinity, -Infinity, Number.MAX_VALUE, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER],
      [2n ** 8191n - 1n, -(2n ** 8191n), 2n ** 71n, 2n ** 71n - 1n, -(2n ** 71n), -(2n ** 71n) - 1n],
      [new Date(8.64e15), new Date(-8.64e15), new Date(2 ** 34 * 1000), new Date(2 ** 32 * 1000 - 1)],
      [
        'a'.repeat(40),
        'é'.repeat(40),
        'a'.repeat(255),
        '€'.repeat(100),
        '\u{1F600}'.repeat(9000),
        'x'.repeat(40000),
      ],
      ['\ufeff', `\ufeff${'x'.repeat(70)}`, { [`\ufeff${'n'.repeat(70)}`]: 1 }, '\0'],
      [new Uint8Array(255), new Uint8Array(256).fill(7)],
      [
        new Array(15).fill(1),
        new Array(16).fill('a'),
        Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, i])),
      ],
    ]
    for (const value of extremes) expect(roundTrip(value)).toStrictEqual(value)
  })

  it('take a Buffer and an object without a prototype, and bring back plain ones', () => {
    expect(roundTrip(Buffer.from('abc'))).toStrictEqual(Uint8Array.of(97, 98, 99))
    const bare: unknown = Object.assign(Object.create(null), { a: 1 })
    expect(roundTrip(bare)).toStrictEqual({ a: 1 })
  })

  it('hand out binaries that are copies', () => {
    const bytes = encoded([Uint8Array.of(1, 2, 3)])
    const [back] = decodeTrusted(bytes, 0, bytes.length) as [Uint8Array]
    bytes.fill(0)
    expect(back).toStrictEqual(Uint8Array.of(1, 2, 3))
    expect(back.buffer.byteLength).toBe(3)
  })

  it('append one value after another', () => {
    const w = new ByteWriter(1)
    encodeValue(w, 'a', limits)
    encodeValue(w, [1], limits)
    expect([...decodeMulti(w.take())]).toStrictEqual(['a', [1]])
  })
})

describe('encodeValue refuses', () => {
  class Point {
    x = 1
  }
  const cases: [string, unknown, string][] = [
    ['undefined', undefined, 'value: undefined cannot be stored'],
    [
      'a member that is undefined',
      { items: [1, 2, 3, { at: undefined }] },
      'value.items[3].at: undefined cannot be stored',
    ],
    ['a hole', new Array(2), 'value[0]: undefined cannot be stored'],
    ['a function', { f: () => 1 }, 'value.f: a function cannot be stored'],
    ['a symbol', [Symbol('s')], 'value[0]: a symbol cannot be stored'],
    ['a Map', { m: new Map() }, 'value.m: an instance of Map cannot be stored'],
    ['a Set', new Set(), 'value: an instance of Set cannot be stored'],
    ['a class instance', { p: new Point() }, 'value.p: an instance of Point cannot be stored'],
    [
      'another typed array',
      { 'a b': new Float64Array(1) },
      'value["a b"]: an instance of Float64Array cannot be stored',
    ],
    [
      'an array of a subclass',
      new (class Rows extends Array {})(),
      'value: an instance of Rows cannot be stored',
    ],
    ['a boxed number', Object(1), 'value: an instance of Number cannot be stored'],
    ['a lone surrogate', ['a\ud800'], 'value[0]: a lone surrogate cannot be stored'],
    ['a lone surrogate in long text', `${'€'.repeat(500)}\udc00`, 'value: a lone surrogate cannot be stored'],
    [
      'a lone surrogate in a name',
      { 'x\udc00': 1 },
      'value["x\\udc00"]: a lone surrogate in a name cannot be stored',
    ],
    ['an invalid Date', { d: new Date(Number.NaN) }, 'value.d: an invalid Date cannot be stored'],
    ['a huge bigint', [2n ** 8191n], 'value[0]: a bigint of more than 1024 bytes cannot be stored'],
    [
      '__proto__',
      JSON.parse('{"a":{"__proto__":{}}}'),
      'value.a.__proto__: a member of this name cannot be stored',
    ],
    ['constructor', { constructor: 1 }, 'value.constructor: a member of this name cannot be stored'],
    ['prototype', { prototype: 1 }, 'value.prototype: a member of this name cannot be stored'],
  ]
  it.each(cases)('%s, with the path', (_, value, message) => {
    const error = errorOf(() => encoded(value))
    expect(error.message).toBe(`BAD_VALUE: ${message}`)
    expect(error.applied).toBe('no')
  })

  it('what throws while it is read, and what is only dressed up as a Date', () => {
    const cause = new Error('mine')
    const trap = {
      get a(): number {
        throw cause
      },
    }
    expect(errorOf(() => encoded([trap]))).toMatchObject({ code: 'BAD_VALUE', cause })
    expect(errorOf(() => encoded(Object.create(Date.prototype))).code).toBe('BAD_VALUE')
    expect(errorOf(() => encoded(Object.create(Uint8Array.prototype))).code).toBe('BAD_VALUE')
  })

  it('a getter that stores another value, and works again afterwards', () => {
    const nested = {
      get a(): Buffer {
        return encoded(1)
      },
    }
    expect(errorOf(() => encoded(nested)).code).toBe('BAD_VALUE')
    expect(roundTrip(1)).toBe(1)
  })

  it('what is over a limit, by its name', () => {
    const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)])
    expect(roundTrip(deep(8))).toStrictEqual(deep(8))
    expect(errorOf(() => encoded(deep(9))).message).toContain('TOO_LARGE: the value is over depthMax (8)')
    const cycle: unknown[] = []
    cycle.push({ cycle })
    expect(errorOf(() => encoded(cycle)).message).toContain('depthMax')

    expect(roundTrip([new Array(999).fill(1)])).toHaveLength(1)
    expect(errorOf(() => encoded([new Array(1000).fill(1)])).message).toContain('elementsMax (1000)')

    const bounds = { ...limits, valueBytesMax: 10 }
    expect(encoded('123456789', bounds)).toHaveLength(10)
    for (const value of ['1234567890', new Uint8Array(9), ['abcd', 'efgh'], { a: '1', b: 'defghi' }]) {
      expect(errorOf(() => encoded(value, bounds)).message).toContain('valueBytesMax (10)')
    }
    expect(errorOf(() => encoded('x'.repeat(200_000))).code).toBe('TOO_LARGE')
  })

  it('without leaving a byte behind, even when the writer had to grow', () => {
    const w = new ByteWriter(16)
    w.start = w.length = 4
    w.u16(7)
    const before = Buffer.from(w.take())
    expect(errorOf(() => encodeValue(w, ['x'.repeat(500), 'y', undefined], limits)).code).toBe('BAD_VALUE')
    expect(Buffer.from(w.take())).toStrictEqual(before)
    encodeValue(w, 1, limits)
    expect(w.take()).toHaveLength(3)
  })
})

describe('decodeValue', () => {
  it('answers random bytes with MALFORMED or a value that can be stored', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => onlyMalformedOrValue(bytes)),
      { numRuns: 5000 },
    )
  })

  it('answers mutated values with MALFORMED or a value that can be stored', () => {
    fc.assert(
      fc.property(
        anyValue().chain((value) => corrupted(encoded(value))),
        (bytes) => onlyMalformedOrValue(bytes),
      ),
      { numRuns: 1000 },
    )
  })

  it('takes no name that reaches a prototype', () => {
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      for (const header of [
        Buffer.of(0xa0 | name.length),
        Buffer.of(0xd9, name.length),
        Buffer.of(0xdb, 0, 0, 0, name.length),
      ]) {
        const bytes = Buffer.concat([
          Buffer.of(0x91, 0x81),
          header,
          Buffer.from(name),
          Buffer.from('81a8706f6c6c75746564c3', 'hex'),
        ])
        expect(errorOf(() => decodeValue(bytes, 0, bytes.length, limits)).code).toBe('MALFORMED')
        expect(errorOf(() => decodeTrusted(bytes, 0, bytes.length)).code).toBe('MALFORMED')
      }
    }
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })
})

function onlyMalformedOrValue(bytes: Uint8Array): void {
  let value: unknown
  try {
    value = decodeValue(bytes, 0, bytes.length, limits)
  } catch (error) {
    expect(error).toMatchObject({ code: 'MALFORMED' })
    expect(() => checkValue(bytes, 0, bytes.length, limits)).toThrow('MALFORMED')
    return
  }
  checkValue(bytes, 0, bytes.length, limits)
  // A name that comes twice is one member afterwards, so the bytes may differ; the value may not.
  expect(roundTrip(value)).toStrictEqual(value)
}
