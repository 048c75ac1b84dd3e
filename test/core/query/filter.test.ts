import fc from 'fast-check'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { Filter } from '../../../src/core/query/filter.ts'
import { checkFilter, parseFilter } from '../../../src/core/query/filter.ts'
import type { Path, ValueAt } from '../../../src/core/query/path.ts'
import { path } from '../../../src/core/query/path.ts'
import { compileProjection } from '../../../src/core/query/project.ts'
import { compileFilter } from '../../../src/core/query/scan.ts'
import { compileOrder } from '../../../src/core/query/sort.ts'
import { errorOf, limits } from './support.ts'

describe('refusals name the place and what would be right', () => {
  const deep = (levels: number): unknown => (levels === 0 ? { a: 1 } : { $not: deep(levels - 1) })
  const cases: [name: string, where: unknown, message: RegExp][] = [
    [
      'an operator spelled wrong',
      { temp: { $gtt: 5 } },
      /where\.temp\.\$gtt: unknown operator; did you mean \$gte?\?/,
    ],
    ['another', { temp: { $startWith: 'x' } }, /\$startWith: unknown operator; did you mean \$startsWith\?/],
    ['one that we have not', { $nor: [{}] }, /where\.\$nor: unknown operator; did you mean \$or\?/],
    ['far from all', { temp: { $geoIntersects: 1 } }, /known are \$eq \$gt /],
    ['no document', 5, /where: a filter is a plain object, not a number/],
    ['null', null, /not null/],
    ['a class instance', new Map(), /a filter is a plain object, not an object/],
    ['undefined', { a: undefined }, /where\.a: the operand is undefined; leave the path out/],
    ['a function', { a: () => 1 }, /where\.a: .*a function cannot be stored/],
    ['a lone surrogate', { a: '\ud800' }, /lone surrogate/],
    ['an empty object', { a: {} }, /where\.a: an empty object says nothing/],
    [
      'operators beside members',
      { a: { $gt: 1, b: 2 } },
      /where\.a\.b: operators and members cannot stand side/,
    ],
    ['logic below a path', { a: { b: 1, $and: [] } }, /side by side|unknown operator/],
    ['an empty $and', { $and: [] }, /where\.\$and: the operand is an array of 1 to 256 filters/],
    [
      'a filter within',
      { $or: [{ a: 1 }, { b: { $lte: null } }] },
      /where\.\$or\[1\]\.b\.\$lte: the operand is a number, .* not null/,
    ],
    ['an array in order', { a: { $gt: [1] } }, /not an array/],
    ['NaN in order', { a: { $gt: Number.NaN } }, /nothing stands in order with NaN/],
    [
      '$in without array',
      { a: { $in: 5 } },
      /where\.a\.\$in: the operand is an array of at most 1000 values/,
    ],
    ['$in too long', { a: { $in: new Array(1001).fill(0) } }, /at most 1000/],
    ['$exists: 1', { a: { $exists: 1 } }, /true or false, not a number/],
    ['$startsWith: 1', { a: { $startsWith: 1 } }, /a string, not a number/],
    ['$not: 5', { a: { $not: 5 } }, /use \$ne for a value/],
    ['an empty segment', { 'a..b': 1 }, /"a..b" has an empty segment/],
    ['a prototype', { 'a.constructor': 1 }, /cannot be named constructor/],
    ['its other name', JSON.parse('{"__proto__": 1}'), /cannot be named __proto__/],
    ['an operator in a path', { 'a.$gt': 1 }, /\$gt is an operator, not a member/],
    ['a long path', { ['a'.repeat(257)]: 1 }, /at most 256 characters/],
    ['many segments', { [new Array(17).fill('a').join('.')]: 1 }, /at most 16 segments/],
    ['too deep', deep(40), /at most 32 levels/],
    [
      'too many clauses',
      Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`a${i}`, 1])),
      /at most 256 clauses/,
    ],
    [
      'many empty ones',
      { $or: [{ $or: new Array(200).fill({}) }, { $or: new Array(200).fill({}) }] },
      /at most 256 clauses/,
    ],
  ]
  test.each(cases)('%s', (_name, where, message) => {
    const error = errorOf(() => checkFilter(where, limits))
    expect(error.code).toBe('BAD_FILTER')
    expect(error.message).toMatch(message)
  })

  test('select and orderBy', () => {
    expect(errorOf(() => compileProjection('a')).message).toMatch(
      /BAD_FILTER: select: a list of paths is wanted, not a string/,
    )
    expect(errorOf(() => compileProjection(['a', 5])).message).toMatch(/a path is a string, not a number/)
    expect(errorOf(() => compileProjection(['a.'])).message).toMatch(/empty segment/)
    expect(errorOf(() => compileOrder(['a', 'desc'])).message).toMatch(
      /each term is a pair, as in \[\['temp', 'desc'\]\]/,
    )
    expect(errorOf(() => compileOrder([['a', 'down']])).message).toMatch(/'asc' or 'desc'/)
    expect(errorOf(() => compileOrder(5)).message).toMatch(/not a number/)
    expect(errorOf(() => path('')).message).toMatch(/empty segment/)
  })
})

test('a filter at its bounds is accepted', () => {
  const many = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`a${i}`, 1]))
  checkFilter(many, limits)
  checkFilter({ a: { $in: new Array(1000).fill(0) }, [new Array(16).fill('a').join('.')]: 1 }, limits)
  expect(parseFilter({ a: 1 }, limits)).toEqual({ kind: 'test', path: ['a'], operator: '$eq', operand: 1 })
})

test('any document is a filter, a select and an order, or refused as BAD_FILTER', () => {
  const key = fc.constantFrom(
    'a',
    'a.b',
    '',
    '$and',
    '$or',
    '$not',
    '$eq',
    '$gt',
    '$in',
    '$nin',
    '$exists',
    '$contains',
    '$startsWith',
    '$x',
    '__proto__',
  )
  const document = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'medium' },
      fc.anything({
        withBigInt: true,
        withDate: true,
        withMap: true,
        withTypedArray: true,
        withSparseArray: true,
      }),
      fc.dictionary(key, tie('any'), { maxKeys: 3 }),
      fc.array(tie('any'), { maxLength: 3 }),
    ),
  })).any
  const accepted = { filter: 0, refused: 0 }
  const attempt = (run: () => unknown): boolean => {
    try {
      run()
      return true
    } catch (error) {
      expect(error).toMatchObject({ name: 'GridError', code: 'BAD_FILTER' })
      return false
    }
  }
  fc.assert(
    fc.property(document, (input) => {
      accepted[attempt(() => compileFilter(input, limits)) ? 'filter' : 'refused']++
      attempt(() => compileProjection(input))
      attempt(() => compileOrder(input))
    }),
    { numRuns: 5000 },
  )
  expect(accepted.filter).toBeGreaterThan(50)
  expect(accepted.refused).toBeGreaterThan(50)
})

interface Reading {
  site: string
  temp: number
  count?: bigint
  state: 'on' | 'off'
  note: string | null
  at: { zone: string; since: Date; deep: { x: number; deeper: { y: number } } }
  tags: string[]
  blob: Uint8Array
  extra: unknown
}

describe('types', () => {
  test('paths reach depth 3 and do not enter arrays, dates or bytes', () => {
    expectTypeOf<Path<{ a: { b: { c: { d: 1 } } }; t: string[]; d: Date }>>().toEqualTypeOf<
      'a' | 'a.b' | 'a.b.c' | 't' | 'd'
    >()
    expectTypeOf<Path<{ a?: { b?: number } | null }>>().toEqualTypeOf<'a' | 'a.b'>()
    expectTypeOf<Path<{ k: 1; a: string } | { k: 2; b: string }>>().toEqualTypeOf<'k' | 'a' | 'b'>()
    expectTypeOf<ValueAt<Reading, 'at.deep.x'>>().toEqualTypeOf<number>()
    expectTypeOf<ValueAt<Reading, 'count'>>().toEqualTypeOf<bigint>()
    expectTypeOf<ValueAt<Reading, 'note'>>().toEqualTypeOf<string | null>()
  })

  test('what an interface allows', () => {
    const filters: Filter<Reading>[] = [
      {},
      { site: 'x', temp: { $gt: 70, $lte: 90n } },
      { 'at.zone': { $in: ['a', 'b'] }, at: { since: { $lt: new Date(0) }, deep: { x: 1 } } },
      { note: null, state: { $ne: 'on' }, count: 5 },
      { tags: { $contains: 'hot' }, site: { $startsWith: 'p', $not: { $contains: 'q' } } },
      { at: { $eq: { zone: 'a', since: new Date(0), deep: { x: 1, deeper: { y: 1 } } } } },
      { $or: [{ site: 'x' }, { $not: { temp: { $exists: true } } }] },
      { extra: { $gt: 5 }, 'at.deep.deeper.y': { $gt: 5 }, [path('at.deep.deeper.y')]: 4 },
      { tags: ['a'], blob: { $gte: new Uint8Array(1) } },
    ]
    for (const filter of filters) checkFilter(filter, limits)
  })

  test('what it does not', () => {
    // @ts-expect-error a member that is not there
    const unknownPath: Filter<Reading> = { sight: 'x' }
    // @ts-expect-error a path that is not there
    const unknownDottedPath: Filter<Reading> = { 'at.zones': 'x' }
    // @ts-expect-error a value of another kind
    const wrongKind: Filter<Reading> = { temp: 'x' }
    // @ts-expect-error an operand of another kind
    const wrongOperand: Filter<Reading> = { temp: { $gt: 'x' } }
    // @ts-expect-error an operator that is not there
    const unknownOperator: Filter<Reading> = { temp: { $gtt: 5 } }
    // @ts-expect-error not one of the literals
    const wrongLiteral: Filter<Reading> = { state: 'onn' }
    // @ts-expect-error only strings begin with something
    const wrongStart: Filter<Reading> = { temp: { $startsWith: 'x' } }
    // @ts-expect-error within $or as well
    const wrongWithin: Filter<Reading> = { $or: [{ temp: 'x' }] }
    // @ts-expect-error null is no value of it
    const wrongNull: Filter<Reading> = { site: null }
    // Without types these are filters all the same, which match little; but an unknown operator is none.
    const filters = [
      unknownPath,
      unknownDottedPath,
      wrongKind,
      wrongOperand,
      wrongLiteral,
      wrongStart,
      wrongWithin,
      wrongNull,
    ]
    for (const filter of filters) checkFilter(filter, limits)
    expect(errorOf(() => checkFilter(unknownOperator, limits)).code).toBe('BAD_FILTER')
  })

  test('what is unknown takes any path', () => {
    expectTypeOf<{ any: { $gt: 5 } }>().toExtend<Filter>()
    expectTypeOf<{ 'any.path': 5 }>().toExtend<Filter<Record<string, number>>>()
  })
})
