import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { isUtf8 } from '../../../src/core/base/utf8.ts'
import { checkValue } from '../../../src/core/wire/value-check.ts'

const limits = { ...defaultLimits, depthMax: 3, elementsMax: 20 }

function check(hex: string): void {
  const bytes = Buffer.from(hex, 'hex')
  // What stands around the value must not matter: here bytes that would complete it.
  const frame = Buffer.concat([Buffer.alloc(5, 0x01), bytes, Buffer.alloc(50, 0x01)])
  checkValue(frame, 5, 5 + bytes.length, limits)
}

describe('checkValue', () => {
  it.each([
    ['no bytes', ''],
    ['two values', '0102'],
    ['the unused token', 'c1'],
    ['float32, which no encoder of ours writes', 'ca3f800000'],
    ['ext 32', 'c90000000142ff'],
    ['an integer cut short', 'cd01'],
    ['a float cut short', 'cb3ff80000'],
    ['text cut short', 'a56162'],
    ['text without its length', 'd9'],
    ['text longer than there are bytes', 'dbffffffff61'],
    ['a binary cut short', 'c40301'],
    ['a binary longer than there are bytes', 'c6ffffffff'],
    ['an array cut short', '920c'],
    ['an array of more elements than the limit', 'dd7fffffff'],
    ['an object cut short', '81a161'],
    ['an object with a number as a name', '810102'],
    ['an object with a nil name', '81c002'],
    ['an object with a binary name', '81c4016102'],
    ['an overlong form', 'a2c081'],
    ['a surrogate', 'a3eda080'],
    ['a code point past the last', 'a4f4908080'],
    ['a continuation byte alone', 'a180'],
    ['a sequence cut short', 'a2e282'],
    ['a name that is not UTF-8', '81a1ff01'],
    ['an unknown extension', 'd4007f'],
    ['a record definition of msgpackr', 'd47240'],
    ['a Set of msgpackr', 'd47300'],
    ['an Error of msgpackr', 'd4650093a16101c0'],
    ['a bigint of no bytes', 'c70042'],
    ['a bigint over 1 KiB', `c8040142${'01'.repeat(1025)}`],
    ['an extension cut short', 'd6ff0000'],
    ['a timestamp of an unknown size', 'd5ff0000'],
    ['a timestamp with too many nanoseconds', 'd7ffffffffff00000000'],
    ['a timestamp past the last date', 'c70cff00000000000007dbffffffff'],
    ['nesting past the limit', '9191919101'],
    ['more elements than the limit in all', `92${`9a${'01'.repeat(10)}`.repeat(2)}`],
  ])('refuses %s', (_, hex) => {
    expect(() => check(hex)).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
  })

  it.each([
    ['integers that are not in their smallest form', '93cc01cd0001d200000001'],
    ['lengths that are not in their smallest form', '92d90161dd00000000'],
    ['nesting up to the limit', '91919101'],
    ['every bigint form', '93d30000000000000001cfffffffffffffffffc7014205'],
    ['every timestamp', '93d6ff00000001d7ff0000000400000001c70cff0000000000000000000000ff'],
    ['names that only resemble the forbidden ones', '82a95f5f70726f746f5f2001a95f5f50726f746f5f5f02'],
  ])('takes %s', (_, hex) => {
    expect(() => check(hex)).not.toThrow()
  })
})

describe('isUtf8', () => {
  const strict = new TextDecoder('utf-8', { fatal: true })
  const accepted = (bytes: Uint8Array): boolean => {
    try {
      strict.decode(bytes)
      return true
    } catch {
      return false
    }
  }

  it('agrees with the platform on random bytes', () => {
    const likely = fc.constantFrom(
      0x41,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc1,
      0xc2,
      0xe0,
      0xe2,
      0xed,
      0xf0,
      0xf1,
      0xf4,
      0xf5,
    )
    const bytes = fc
      .array(fc.oneof(likely, fc.nat(255)), { maxLength: 8 })
      .map((list) => Uint8Array.from(list))
    fc.assert(
      fc.property(bytes, (array) => {
        expect(isUtf8(array, 0, array.length)).toBe(accepted(array))
      }),
      { numRuns: 20_000 },
    )
  })

  it('takes all text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const bytes = Buffer.from(text)
        expect(isUtf8(bytes, 0, bytes.length)).toBe(true)
      }),
    )
  })
})
