import fc from 'fast-check'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { GridError } from '../../../src/core/base/errors.ts'
import type { Update } from '../../../src/core/query/update.ts'
import { applyUpdate, checkUpdate } from '../../../src/core/query/update.ts'
import {
  decode,
  equal,
  errorOf,
  kindOf,
  limits,
  object,
  path,
  scalar,
  stored,
  value,
  valueAt,
} from './support.ts'

function update(current: unknown, change: unknown): unknown {
  return applyUpdate(current, checkUpdate(change, limits))
}

function freeze<T>(v: T): T {
  // Bytes cannot be frozen; nothing here writes into them.
  if (typeof v === 'object' && v !== null && !(v instanceof Uint8Array)) {
    Object.freeze(v)
    for (const member of Object.values(v)) freeze(member)
  }
  return v
}

describe('what an update makes', () => {
  const cases: [current: unknown, change: unknown, expected: unknown][] = [
    [{ a: 1 }, { $set: { b: 2, 'c.d.e': 3 } }, { a: 1, b: 2, c: { d: { e: 3 } } }],
    [undefined, { $set: { 'a.b': null }, $inc: { 'a.c': 1 } }, { a: { b: null, c: 1 } }],
    [{ a: { b: 1, c: 2 }, d: 3 }, { $unset: { 'a.b': true, d: 1, x: '', 'd.e.f': true } }, null],
    [{ a: { b: 1, c: 2 }, d: 3 }, { $unset: { 'a.b': true, d: 1, x: '', 'y.z': true } }, { a: { c: 2 } }],
    [{ n: 1, b: 5n }, { $inc: { n: -2.5, b: 2n, m: 3, c: 4n } }, { n: -1.5, b: 7n, m: 3, c: 4n }],
    [{ n: 3, b: 5n }, { $mul: { n: 2, b: -2n, m: 3, c: 4n } }, { n: 6, b: -10n, m: 0, c: 0n }],
    [{ a: 5, b: 5, c: 'é' }, { $min: { a: 4, b: 6n, c: 'f', d: 1 } }, { a: 4, b: 5, c: 'f', d: 1 }],
    [
      { a: 5, b: 5, c: new Date(5) },
      { $max: { a: 4, b: 6n, c: new Date(6) } },
      { a: 5, b: 6n, c: new Date(6) },
    ],
    [
      { a: [1] },
      { $push: { a: [2], b: 3, 'c.d': { $each: [4, 5] } } },
      { a: [1, [2]], b: [3], c: { d: [4, 5] } },
    ],
    [
      { a: [1, { x: 1, y: 2 }, 1n, '1'] },
      { $pull: { a: 1, none: 1, 'no.ne': 1 } },
      { a: [{ x: 1, y: 2 }, '1'] },
    ],
    [{ a: [1, { x: 1, y: 2 }, [2]] }, { $pull: { a: { y: 2, x: 1 } } }, { a: [1, [2]] }],
    [{ a: 1 }, { $set: {} }, { a: 1 }],
  ]
  test.each(cases)('%o and %o', (current, change, expected) => {
    freeze(current)
    freeze(change)
    if (expected === null) expect(errorOf(() => update(current, change)).message).toMatch(/path lies within/)
    else expect(update(current, change)).toEqual(expected)
  })

  test('untouched parts are shared, touched ones are new', () => {
    const current = freeze({ a: { b: { c: 1 }, d: { e: 1 } }, f: [1] })
    const next = update(current, { $set: { 'a.b.c': 2, 'a.b.x': 3 } }) as typeof current
    expect(next).toEqual({ a: { b: { c: 2, x: 3 }, d: { e: 1 } }, f: [1] })
    expect(next.a.d).toBe(current.a.d)
    expect(next.f).toBe(current.f)
    expect(current.a.b.c).toBe(1)
  })
})

describe('refusals name the operator and the path', () => {
  const cases: [name: string, current: unknown, change: unknown, message: RegExp][] = [
    ['no document', {}, 5, /update: a plain object is wanted, not a number/],
    ['nothing', {}, {}, /names no operator; known are \$set/],
    ['a replacement', {}, { temp: 5 }, /temp: a member stands where an operator is wanted; use \$set/],
    ['an operator spelled wrong', {}, { $ste: { a: 1 } }, /\$ste: unknown operator; did you mean \$set\?/],
    ['no paths', {}, { $set: 5 }, /\$set: an object of paths is wanted, not a number/],
    ['undefined', {}, { $set: { a: undefined } }, /\$set\.a: .*undefined cannot be stored/],
    [
      'the same path',
      {},
      { $set: { a: 1 }, $inc: { a: 1 } },
      /\$inc\.a: the path is changed by \$set\.a too/,
    ],
    [
      'a path within',
      {},
      { $set: { 'a.b': 1 }, $unset: { a: true } },
      /\$set\.a\.b: the path lies within that of \$unset\.a/,
    ],
    ['a prototype', {}, { $set: { 'a.__proto__': 1 } }, /cannot be named __proto__/],
    [
      '$inc of a string',
      { a: 'x' },
      { $inc: { a: 1 } },
      /\$inc\.a: a string is stored there and a number given/,
    ],
    [
      '$inc of a bigint',
      { a: 1n },
      { $inc: { a: 1 } },
      /\$inc\.a: a bigint is stored there and a number given/,
    ],
    ['$mul of null', { a: null }, { $mul: { a: 1n } }, /\$mul\.a: null is stored/],
    [
      '$inc with a string',
      {},
      { $inc: { a: 'x' } },
      /\$inc\.a: the operand is a number or bigint, not a string/,
    ],
    [
      '$min across kinds',
      { a: 'x' },
      { $min: { a: 1 } },
      /\$min\.a: a string is stored there and a number given/,
    ],
    ['$max with an object', {}, { $max: { a: [] } }, /\$max\.a: .* not an array/],
    [
      '$push to an object',
      { a: {} },
      { $push: { a: 1 } },
      /\$push\.a: an object is stored there, not an array/,
    ],
    ['$push to null', { a: null }, { $push: { a: 1 } }, /\$push\.a: null is stored there/],
    [
      '$push with a modifier',
      {},
      { $push: { a: { $each: [], $slice: 1 } } },
      /a value or \{ \$each: \[...\] \}/,
    ],
    ['$pull with operators', {}, { $pull: { a: { $gt: 1 } } }, /a value to be removed, not operators/],
    [
      '$pull from a string',
      { a: 'x' },
      { $pull: { a: 'x' } },
      /\$pull\.a: a string is stored there, not an array/,
    ],
    ['through an array', { a: [1] }, { $set: { 'a.0': 1 } }, /\$set\.a\.0: a is an array, not an object/],
    [
      'through a scalar',
      { a: { b: 5 } },
      { $set: { 'a.b.c': 1 } },
      /\$set\.a\.b\.c: a\.b is a number, not an object/,
    ],
    ['of a scalar', 5, { $set: { a: 1 } }, /the stored value is a number, not an object/],
    ['$unset: 5', {}, { $unset: { a: 5 } }, /\$unset\.a: the operand is true/],
    [
      'too many',
      {},
      { $set: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`a${i}`, 1])) },
      /at most 256 paths/,
    ],
  ]
  test.each(cases)('%s', (_name, current, change, message) => {
    const error = errorOf(() => update(current, change))
    expect(error.code).toBe('BAD_UPDATE')
    expect(error.message).toMatch(message)
  })
})

test('laws: $set then read, $unset then missing, $push then $pull, $min and $max', () => {
  fc.assert(
    fc.property(object, path, value, scalar, (document, p, v, s) => {
      freeze(document)
      const parent = valueAt(document, p.split('.').slice(0, -1).join('.') || 'none')
      fc.pre(!p.includes('.') || kindOf(parent) === 8)
      expect(equal(valueAt(update(document, { $set: { [p]: v } }), p), v)).toBe(true)
      expect(valueAt(update(document, { $unset: { [p]: true } }), p)).toBe(undefined)
      const emptied = update(document, { $set: { [p]: [1, 'x'] } })
      expect(equal(update(update(emptied, { $push: { [p]: [v] } }), { $pull: { [p]: [v] } }), emptied)).toBe(
        true,
      )
      if (s === null) return
      const held = update(document, { $set: { [p]: s } })
      expect(equal(update(update(held, { $min: { [p]: s } }), { $max: { [p]: s } }), held)).toBe(true)
    }),
    { numRuns: 2000 },
  )
})

test('any document is an update or refused as BAD_UPDATE, and its result can be stored', () => {
  const operator = fc.constantFrom(
    '$set',
    '$unset',
    '$inc',
    '$mul',
    '$min',
    '$max',
    '$push',
    '$pull',
    '$x',
    'a',
  )
  const operand = fc.oneof(
    value,
    fc.constantFrom(true, 1, 1n, 'a', 1.5),
    fc.record({ $each: fc.array(value) }),
    fc.anything(),
  )
  const fields = fc.oneof(
    { weight: 9, arbitrary: fc.dictionary(path, operand, { maxKeys: 2 }) },
    fc.anything(),
  )
  const change = fc.oneof(
    { weight: 9, arbitrary: fc.dictionary(operator, fields, { maxKeys: 2 }) },
    fc.anything(),
  )
  let applied = 0
  fc.assert(
    fc.property(object, change, (document, input) => {
      freeze(document)
      try {
        const { bytes, start, end } = stored(update(document, input))
        decode(bytes, start, end)
        applied++
      } catch (error) {
        expect(error).toBeInstanceOf(GridError)
        expect((error as GridError).code).toBe('BAD_UPDATE')
      }
    }),
    { numRuns: 5000 },
  )
  expect(applied).toBeGreaterThan(500)
})

test('types', () => {
  interface Entry {
    name: string
    count: number
    big?: bigint
    at: { zone: string | null; seen: Date }
    tags: string[]
  }
  const updates: Update<Entry>[] = [
    { $set: { name: 'x', tags: ['x'] }, $inc: { count: 1, big: 1n }, $unset: { 'at.zone': true } },
    { $push: { tags: 'x' }, $max: { 'at.seen': new Date(0) } },
    { $push: { tags: { $each: ['x'] } }, $set: { 'a.b.c.d': 1 } },
  ]
  // @ts-expect-error no number stands there
  const wrongInc: Update<Entry> = { $inc: { name: 1 } }
  // @ts-expect-error a number is wanted
  const wrongSet: Update<Entry> = { $set: { count: 'x' } }
  // @ts-expect-error no such path
  const wrongPath: Update<Entry> = { $set: { 'at.zones': 'x' } }
  // @ts-expect-error another element
  const wrongElement: Update<Entry> = { $push: { tags: 5 } }
  for (const one of [...updates, wrongInc, wrongSet, wrongPath, wrongElement]) checkUpdate(one, limits)
  expectTypeOf<{ $set: { any: 5 } }>().toExtend<Update>()
})
