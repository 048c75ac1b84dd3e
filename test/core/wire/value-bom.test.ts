import fc from 'fast-check'
import { isNativeAccelerationEnabled } from 'msgpackr'
import { expect, it, vi } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { decodeTrusted, encodeValue } from '../../../src/core/wire/value.ts'
import { anyValue } from './value-arbitrary.ts'

// Before the imports: msgpackr looks at it once.
vi.hoisted(() => {
  process.env.MSGPACKR_NATIVE_ACCELERATION_DISABLED = 'true'
})

function roundTrip(value: unknown): unknown {
  const w = new ByteWriter()
  encodeValue(w, value, defaultLimits)
  return decodeTrusted(w.buffer, 0, w.length)
}

it('runs without the native part of msgpackr', () => {
  expect(isNativeAccelerationEnabled).toBe(false)
})

it('keeps a byte order mark that begins a text, whatever stands around it', () => {
  const marked = (size: number): string => `\ufeff${'x'.repeat(size)}`
  const values = [0, 61, 62, 100, 300, 70_000].map((size) => [
    marked(size),
    size,
    { [marked(size)]: [marked(size)] },
  ])
  const around = [null, true, -5, 300, 70_000, -200, -70_000, 1.5, 5n, 2n ** 63n, 2n ** 90n, 2n ** 4000n]
  const others = [
    new Date(0),
    new Date(1),
    new Date(-1),
    new Uint8Array(300),
    Uint8Array.of(0xef, 0xbb, 0xbf),
    'é',
  ]
  const value = { around, values, others, long: new Array(70_000).fill(0), last: marked(64) }
  expect(roundTrip(value)).toStrictEqual(value)
})

it('brings back every value', () => {
  fc.assert(
    fc.property(anyValue(), (value) => {
      expect(roundTrip(value)).toStrictEqual(value)
    }),
    { numRuns: 300 },
  )
})
