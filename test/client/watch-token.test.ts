import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeToken, encodeToken, Positions } from '../../src/client/watch-token.ts'

const ID = '0123456789abcdef0123456789abcdef'

const place = fc.record({
  era: fc.integer({ min: 0, max: 0xffff }),
  seq: fc.integer({ min: -1, max: 2 ** 48 - 1 }),
})

function positionsOf(places: readonly { era: number; seq: number }[]): Positions {
  const positions = Positions.none(places.length)
  for (const [p, { era, seq }] of places.entries()) positions.set(p, seq < 0 ? 0 : era, seq)
  return positions
}

test('what is encoded is decoded', () => {
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 300 }), (places) => {
      const positions = positionsOf(places)
      expect(decodeToken(encodeToken(ID, 7, positions), ID, 7, places.length)).toEqual(positions)
    }),
  )
})

test('a damaged token is refused, whatever the damage', () => {
  const token = encodeToken(
    ID,
    7,
    positionsOf([
      { era: 1, seq: 500 },
      { era: 0, seq: 9 },
      { era: 0, seq: -1 },
    ]),
  )
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom('A', 'z', '9', '_', ''), (at, c) => {
      const damaged = token.slice(0, at) + c + token.slice(at + 1)
      fc.pre(Buffer.compare(Buffer.from(damaged, 'base64url'), Buffer.from(token, 'base64url')) !== 0)
      expect(() => decodeToken(damaged, ID, 7, 3)).toThrow(/BAD_TOKEN/)
    }),
  )
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(() => decodeToken(text, ID, 7, 3)).toThrow(/BAD_TOKEN/)
    }),
  )
})

test('a foreign token is refused and the message says why', () => {
  const token = encodeToken(ID, 7, Positions.none(3))
  expect(() => decodeToken(token, ID.replace('0', '1'), 7, 3)).toThrow(/another cluster/)
  expect(() => decodeToken(token, ID, 8, 3)).toThrow(/another map/)
  expect(() => decodeToken(token, ID, 7, 4)).toThrow(/partitions/)
  expect(() => decodeToken(undefined, ID, 7, 3)).toThrow(/BAD_TOKEN/)
})

test('is compact', () => {
  const positions = Positions.none(271)
  for (let p = 0; p < 271; p++) positions.set(p, 0, 100_000 + p)
  expect(encodeToken(ID, 1, positions).length).toBeLessThan(1500)
})
