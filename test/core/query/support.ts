/**
 * What the tests of queries share: values that often meet each other, and the semantics of filters and of the order
 * written a second time, naively, over decoded values.
 */

import fc from 'fast-check'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { decodeTrusted } from '../../../src/core/wire/value-decode.ts'

export const limits = defaultLimits

/** The encoded value with other bytes around it, as in a segment. */
export function stored(value: unknown): { bytes: Buffer; start: number; end: number } {
  const w = new ByteWriter(64)
  w.bytes(Uint8Array.of(0xff, 0x81, 0xa1))
  encodeValue(w, value, limits)
  const end = w.length
  w.bytes(Uint8Array.of(0xa1, 0x61, 0x01))
  return { bytes: w.buffer, start: 3, end }
}

export function decode(bytes: Buffer, start: number, end: number): unknown {
  return decodeTrusted(bytes, start, end)
}

/** The error that `run` throws; it must be a GridError. */
export function errorOf(run: () => unknown): GridError {
  try {
    run()
  } catch (error) {
    if (error instanceof GridError) return error
    throw error
  }
  throw new Error('it did not throw')
}

const numbers = [
  0,
  -0,
  1,
  1.5,
  -1,
  -1.5,
  70,
  255,
  65_536,
  -129,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  1e-320,
  -1e-320,
  1e300,
]
const largeNumbers = [
  2 ** 53,
  2 ** 53 + 2,
  2 ** 63,
  2 ** 64,
  -(2 ** 63),
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
]
const bigints = [
  0n,
  1n,
  -1n,
  70n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n,
  2n ** 63n - 1n,
  2n ** 64n,
  2n ** 64n - 1n,
  -(2n ** 63n),
  -(2n ** 63n) - 1n,
  2n ** 80n,
  -(2n ** 80n),
]
const strings = [
  '',
  'a',
  'ab',
  'abc',
  'b',
  'é',
  '\uffff',
  '\u{1f600}',
  'x'.repeat(31),
  'x'.repeat(32),
  'x'.repeat(70),
  `${'x'.repeat(70)}y`,
]
const dates = [0, 1, 999, 1000, -1, -1000, 2 ** 32 * 1000, 2 ** 34 * 1000, 8.64e15, -8.64e15].map(
  (ms) => new Date(ms),
)
const bytes = [[], [0], [0, 1], [255]].map((b) => Uint8Array.from(b))

export const scalar: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(...numbers) },
  fc.constantFrom(...largeNumbers),
  fc.constantFrom(...bigints),
  fc.constantFrom(...strings),
  fc.constantFrom(...dates),
  fc.constantFrom(...bytes),
  fc.constantFrom(null, true, false),
  fc.double(),
  fc.bigInt(),
  fc.string({ unit: 'grapheme' }),
)

const name = fc.constantFrom('a', 'b', 'c', 'name', 'é', 'a-name-longer-than-thirty-one-bytes')

/** Any value that can be stored, of few names and often equal to another one. */
export const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    { weight: 3, arbitrary: scalar },
    { weight: 2, arbitrary: fc.dictionary(name, tie('value'), { maxKeys: 5 }) },
    fc.array(tie('value'), { maxLength: 4 }),
  ),
})).value

export const object = fc.dictionary(name, value, { maxKeys: 6, noNullPrototype: true })

export const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('.'))

/** The path of a member that `document` has, now and then of another one. */
function pathWithin(document: unknown): fc.Arbitrary<string> {
  const found: string[] = []
  const visit = (part: unknown, prefix: string): void => {
    if (kindOf(part) !== 8) return
    for (const [key, member] of Object.entries(part as object)) {
      found.push(prefix + key)
      visit(member, `${prefix}${key}.`)
    }
  }
  visit(document, '')
  return found.length === 0 ? path : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...found) }, path)
}

export function valueAt(document: unknown, dotted: string): unknown {
  let at = document
  for (const segment of dotted.split('.')) {
    if (kindOf(at) !== 8 || !Object.hasOwn(at as object, segment)) return undefined
    at = (at as Record<string, unknown>)[segment]
  }
  return at
}

/** `{ a: { b: condition } }` for `a.b`. */
function nested(dotted: string, condition: unknown): Record<string, unknown> {
  const [head, ...rest] = dotted.split('.')
  return { [head!]: rest.length === 0 ? condition : nested(rest.join('.'), condition) }
}

/** A document and a filter that is likely to have to do with it. */
export const documentAndFilter: fc.Arbitrary<[Record<string, unknown>, Record<string, unknown>]> =
  object.chain((document) => {
    const test = pathWithin(document).chain((dotted) => {
      const here = valueAt(document, dotted)
      const operand =
        here === undefined ? value : fc.oneof({ weight: 2, arbitrary: fc.constant(here) }, value)
      const ordered = operand.filter((v) => kindOf(v) >= 2 && kindOf(v) < 7 && !Number.isNaN(v))
      const string =
        typeof here === 'string'
          ? fc.nat(here.length).map((n) => [...here].slice(0, n).join(''))
          : fc.string()
      const element =
        Array.isArray(here) && here.length > 0
          ? fc.constantFrom(...(here as unknown[]))
          : fc.oneof(string, value)
      const operators = fc.oneof(
        fc.record({ $eq: operand }),
        fc.record({ $ne: operand }),
        fc.record({ $gt: ordered, $lte: ordered }, { requiredKeys: ['$gt'] }),
        fc.record({ $gte: ordered, $lt: ordered }, { requiredKeys: ['$lt'] }),
        fc.record({ $in: fc.array(operand, { maxLength: 5 }) }),
        fc.record({ $nin: fc.array(operand, { maxLength: 5 }) }),
        fc.record({ $exists: fc.boolean() }),
        fc.record({ $startsWith: string }),
        fc.record({ $contains: element }),
      )
      const implicit = operand.filter((v) => kindOf(v) !== 8)
      return fc
        .oneof(
          implicit,
          operators,
          operators.map(($not) => ({ $not })),
        )
        .chain((condition) => fc.constantFrom({ [dotted]: condition }, nested(dotted, condition)))
    })
    const filter = fc.letrec((tie) => ({
      filter: fc.oneof(
        { depthSize: 'small' },
        { weight: 4, arbitrary: test },
        fc.array(tie('filter'), { minLength: 1, maxLength: 3 }).map(($and) => ({ $and })),
        fc.array(tie('filter'), { minLength: 1, maxLength: 3 }).map(($or) => ({ $or })),
        tie('filter').map(($not) => ({ $not })),
        fc.tuple(test, test).map(([a, b]) => ({ ...a, ...b })),
      ),
    })).filter as fc.Arbitrary<Record<string, unknown>>
    return fc.tuple(fc.constant(document), filter)
  })

/** 1 null, 2 boolean, 3 number, 4 string, 5 bytes, 6 date, 7 array, 8 object; 0 missing. */
export function kindOf(v: unknown): number {
  if (v === undefined) return 0
  if (v === null) return 1
  if (v instanceof Uint8Array) return 5
  if (v instanceof Date) return 6
  if (Array.isArray(v)) return 7
  return { boolean: 2, number: 3, bigint: 3, string: 4 }[typeof v as string] ?? 8
}

/** The total order, for scalars of one kind. */
function compareScalars(a: unknown, b: unknown): number {
  if (typeof a === 'string' || a instanceof Uint8Array)
    return Buffer.compare(Buffer.from(a as string), Buffer.from(b as string))
  const x = a as number
  const y = b as number
  return x < y ? -1 : x > y ? 1 : Number(Number.isNaN(y)) - Number(Number.isNaN(x))
}

/** The total order of stored values, with undefined for missing ones. */
export function compare(a: unknown, b: unknown): number {
  const order = Math.min(kindOf(a), 7) - Math.min(kindOf(b), 7)
  if (order !== 0 || kindOf(a) < 2) return order
  if (kindOf(a) < 7) return compareScalars(a, b)
  const [x, y] = [stored(a), stored(b)]
  return Buffer.compare(x.bytes.subarray(x.start, x.end), y.bytes.subarray(y.start, y.end))
}

export function equal(a: unknown, b: unknown): boolean {
  if (kindOf(a) !== kindOf(b)) return false
  if (kindOf(a) < 7) return compare(a, b) === 0
  const [x, y] = [Object.entries(a as object), b as Record<string, unknown>]
  return x.length === Object.keys(y).length && x.every(([k, v]) => Object.hasOwn(y, k) && equal(v, y[k]))
}

/** Filters once more, without any cleverness. */
export function matchesNaively(document: unknown, where: Record<string, unknown>): boolean {
  return Object.entries(where).every(([key, operand]) => {
    if (key === '$and')
      return (operand as Record<string, unknown>[]).every((f) => matchesNaively(document, f))
    if (key === '$or') return (operand as Record<string, unknown>[]).some((f) => matchesNaively(document, f))
    if (key === '$not') return !matchesNaively(document, operand as Record<string, unknown>)
    return holds(valueAt(document, key), operand)
  })
}

function holds(v: unknown, condition: unknown): boolean {
  if (kindOf(condition) !== 8) return equal(v, condition)
  return Object.entries(condition as object).every(([operator, operand]) => {
    const ordered = kindOf(v) === kindOf(operand) && !Number.isNaN(v)
    switch (operator) {
      case '$eq':
        return equal(v, operand)
      case '$ne':
        return !equal(v, operand)
      case '$gt':
        return ordered && compare(v, operand) > 0
      case '$gte':
        return ordered && compare(v, operand) >= 0
      case '$lt':
        return ordered && compare(v, operand) < 0
      case '$lte':
        return ordered && compare(v, operand) <= 0
      case '$in':
        return operand.some((o: unknown) => equal(v, o))
      case '$nin':
        return !operand.some((o: unknown) => equal(v, o))
      case '$exists':
        return (v !== undefined) === operand
      case '$startsWith':
        return typeof v === 'string' && v.startsWith(operand)
      case '$contains':
        if (typeof v === 'string') return typeof operand === 'string' && v.includes(operand)
        return Array.isArray(v) && v.some((element) => equal(element, operand))
      case '$not':
        return !holds(v, operand)
      default:
        return holds(valueAt(v, operator), operand)
    }
  })
}
