/**
 * Filters: the `where` of queries and watches, a document in the manner of MongoDB's.
 *
 *   { site: 'plant-3', temp: { $gt: 70, $lte: 90 }, $or: [{ 'at.zone': 'a' }, { at: { zone: { $in: ['b', 'c'] } } }] }
 *
 * A key is an operator over filters (`$and`, `$or`, `$not`) or a path; all keys must hold. Below a path stands a
 * value (equality), an object of operators, or an object of further members. Where we differ from MongoDB, on
 * purpose: arrays are never traversed implicitly (`$contains` tests their elements); null is not missing; an object
 * without operators goes deeper instead of asking for an object equal to it (that is `$eq`, and the order of members
 * does not matter to it); an operator never compares across kinds, but numbers compare exactly whatever their form.
 *
 * This file holds the types and turns a document into a tree of clauses, refusing what is wrong with `BAD_FILTER`
 * and the place of it. The member checks again what its client has checked.
 */

import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { encodeValue } from '../wire/value.ts'
import type { DeepPath, IsLoose, Path, ValueAt } from './path.ts'
import { isPlainObject, kindName, parsePath, suggestion } from './path.ts'

const CLAUSES_MAX = 256
const IN_OPERANDS_MAX = 1000

/**
 * A filter over values of type `V`. `V` is unconstrained: interfaces work, and an unknown `V` takes any path.
 *
 * At most 256 clauses, `depthMax` levels, 1,000 operands of `$in`, 256 characters and 16 segments a path.
 */
export type Filter<V = unknown> = IsLoose<V> extends true ? LooseFilter : TypedFilter<V>

/** A filter over values of which no type is known; it is checked when it runs. */
export interface LooseFilter {
  readonly [path: string]: unknown
}

type TypedFilter<V> = { readonly [P in Path<V>]?: Condition<ValueAt<V, P>> } & {
  readonly [path: DeepPath]: unknown
} & {
  /** All of these hold. At least one. */
  readonly $and?: readonly TypedFilter<V>[]
  /** Any of these holds. At least one. */
  readonly $or?: readonly TypedFilter<V>[]
  /** This does not hold. */
  readonly $not?: TypedFilter<V>
}

/** What may stand below a path: a value, operators, or members of an object. */
export type Condition<T> = unknown extends T ? unknown : Implicit<T> | Operators<T> | Members<T>

/** Numbers and bigints compare with each other. */
type Operand<T> = T extends number ? T | bigint : T extends bigint ? T | number : T

/** A plain object is never an implicit operand: it goes deeper. */
type Implicit<T> = T extends Scalar | readonly unknown[] ? Operand<T> : never
type Scalar = null | boolean | number | bigint | string | Date | Uint8Array

/** The kinds that have an order. */
type Ordered<T> = T extends number | bigint
  ? number | bigint
  : T extends string
    ? string
    : T extends boolean
      ? boolean
      : T extends Date | Uint8Array
        ? T
        : never

type Element<T> = T extends readonly (infer E)[] ? E : T extends string ? string : never

type Members<T> = T extends Scalar | readonly unknown[]
  ? never
  : { readonly [K in keyof T & string]?: Condition<Exclude<T[K], undefined>> }

/** Operators on what stands at one path; all must hold. */
export interface Operators<T> {
  /** Equal, deeply; the order of an object's members does not matter. */
  readonly $eq?: Operand<T>
  /** Not equal; a missing value is not equal to anything. */
  readonly $ne?: Operand<T>
  readonly $gt?: Ordered<T>
  readonly $gte?: Ordered<T>
  readonly $lt?: Ordered<T>
  readonly $lte?: Ordered<T>
  /** Equal to one of these; at most 1,000. */
  readonly $in?: readonly Operand<T>[]
  /** Equal to none of these; holds for a missing value. */
  readonly $nin?: readonly Operand<T>[]
  /** Whether there is a value; a stored null is one. */
  readonly $exists?: boolean
  /** A string that begins with this one. */
  readonly $startsWith?: string extends T ? string : T extends string ? string : never
  /** An array that has an element equal to this, or a string that has this in it. */
  readonly $contains?: Element<T>
  /** The operators below do not all hold; holds for a missing value. */
  readonly $not?: Operators<T> | Members<T>
}

/** A checked filter: what `scan` compiles, and what a planner may look at. */
export type Clause =
  | { readonly kind: 'all' | 'any'; readonly clauses: readonly Clause[] }
  | { readonly kind: 'not'; readonly clause: Clause }
  | Test

export interface Test {
  readonly kind: 'test'
  readonly path: readonly string[]
  readonly operator: TestOperator
  readonly operand: unknown
}

const LOGIC = ['$and', '$or', '$not'] as const
const TESTS = ['$eq', '$gt', '$gte', '$lt', '$lte', '$in', '$exists', '$startsWith', '$contains'] as const
const OPERATORS: readonly string[] = [...TESTS, '$ne', '$nin', '$not']

export type TestOperator = (typeof TESTS)[number]

/** The tree of clauses of a `where` document; undefined and `{}` give one that always holds. */
export function parseFilter(where: unknown, limits: Limits): Clause {
  if (where === undefined) return { kind: 'all', clauses: [] }
  return new FilterParser(limits).filter(where, [], 'where', 0)
}

/** Throws `BAD_FILTER` with the place of what is wrong, unless `where` is a filter. */
export function checkFilter(where: unknown, limits: Limits): void {
  parseFilter(where, limits)
}

class FilterParser {
  private readonly limits: Limits
  private readonly scratch = new ByteWriter(256)
  private clauses = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** A document of paths and of operators over filters. `prefix` is the path of the object that it is about. */
  filter(document: unknown, prefix: readonly string[], where: string, depth: number): Clause {
    if (!isPlainObject(document))
      throw refused(where, `a filter is a plain object, not ${kindName(document)}`)
    if (depth >= this.limits.depthMax)
      throw refused(where, `a filter has at most ${this.limits.depthMax} levels`)
    const clauses: Clause[] = []
    for (const [key, value] of Object.entries(document)) {
      const place = `${where}.${key.slice(0, 64)}`
      if (!key.startsWith('$')) {
        const path = parsePath([...prefix, key].join('.'), 'BAD_FILTER', place)
        clauses.push(this.condition(value, path, place, depth + 1))
      } else if (prefix.length > 0) throw refused(place, 'operators and members cannot stand side by side')
      else clauses.push(this.logic(key, value, place, depth + 1))
    }
    if (clauses.length === 0) this.count(where)
    return clauses.length === 1 ? clauses[0]! : { kind: 'all', clauses }
  }

  private logic(operator: string, operand: unknown, where: string, depth: number): Clause {
    this.count(where)
    if (operator === '$not') return not(this.filter(operand, [], where, depth))
    if (operator !== '$and' && operator !== '$or') throw unknownOperator(operator, where, LOGIC)
    if (!Array.isArray(operand) || operand.length === 0 || operand.length > CLAUSES_MAX)
      throw refused(where, `the operand is an array of 1 to ${CLAUSES_MAX} filters`)
    const clauses = operand.map((part: unknown, i) => this.filter(part, [], `${where}[${i}]`, depth))
    return { kind: operator === '$and' ? 'all' : 'any', clauses }
  }

  /** What stands below a path. */
  private condition(value: unknown, path: readonly string[], where: string, depth: number): Clause {
    if (!isPlainObject(value)) return this.test(path, '$eq', value, where)
    const names = Object.keys(value)
    if (names.length === 0)
      throw refused(where, 'an empty object says nothing; use { $eq: {} } or { $exists: true }')
    if (!names.some((name) => name.startsWith('$'))) return this.filter(value, path, where, depth)
    if (depth >= this.limits.depthMax)
      throw refused(where, `a filter has at most ${this.limits.depthMax} levels`)
    const clauses = names.map((name) =>
      this.operator(name, value[name], path, `${where}.${name.slice(0, 64)}`, depth),
    )
    return clauses.length === 1 ? clauses[0]! : { kind: 'all', clauses }
  }

  private operator(
    name: string,
    operand: unknown,
    path: readonly string[],
    where: string,
    depth: number,
  ): Clause {
    switch (name) {
      case '$ne':
        return not(this.test(path, '$eq', operand, where))
      case '$nin':
        return not(this.test(path, '$in', operand, where))
      case '$not':
        if (!isPlainObject(operand))
          throw refused(where, 'the operand is an object of operators; use $ne for a value')
        this.count(where)
        return not(this.condition(operand, path, where, depth + 1))
      default:
        if (!name.startsWith('$')) throw refused(where, 'operators and members cannot stand side by side')
        if (!isTestOperator(name)) throw unknownOperator(name, where, OPERATORS)
        return this.test(path, name, operand, where)
    }
  }

  private test(path: readonly string[], operator: TestOperator, operand: unknown, where: string): Test {
    this.count(where)
    this.checkStorable(operand, where)
    switch (operator) {
      case '$exists':
        if (typeof operand !== 'boolean') throw wrongOperand(where, 'true or false', operand)
        break
      case '$startsWith':
        if (typeof operand !== 'string') throw wrongOperand(where, 'a string', operand)
        break
      case '$in':
        if (!Array.isArray(operand) || operand.length > IN_OPERANDS_MAX)
          throw refused(where, `the operand is an array of at most ${IN_OPERANDS_MAX} values`)
        break
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        if (!isOrdered(operand))
          throw wrongOperand(where, 'a number, bigint, string, boolean, Date or Uint8Array', operand)
        if (Number.isNaN(operand)) throw refused(where, 'nothing stands in order with NaN')
    }
    return { kind: 'test', path, operator, operand }
  }

  /** An operand must have a stored form: what cannot be stored can match nothing. */
  private checkStorable(operand: unknown, where: string): void {
    if (operand === undefined)
      throw refused(where, 'the operand is undefined; leave the path out, or use { $exists: false }')
    this.scratch.clear()
    try {
      encodeValue(this.scratch, operand, this.limits)
    } catch (cause) {
      if (!(cause instanceof GridError)) throw cause
      throw new GridError('BAD_FILTER', `${where}: ${cause.message}`, { cause })
    }
  }

  private count(where: string): void {
    if (++this.clauses > CLAUSES_MAX) throw refused(where, `a filter has at most ${CLAUSES_MAX} clauses`)
  }
}

function not(clause: Clause): Clause {
  return { kind: 'not', clause }
}

function isTestOperator(name: string): name is TestOperator {
  return (TESTS as readonly string[]).includes(name)
}

function isOrdered(operand: unknown): boolean {
  const scalar = ['number', 'bigint', 'string', 'boolean'].includes(typeof operand)
  return scalar || operand instanceof Date || operand instanceof Uint8Array
}

function unknownOperator(name: string, where: string, known: readonly string[]): GridError {
  return refused(where, `unknown operator; ${suggestion(name, known)}`)
}

function wrongOperand(where: string, wanted: string, operand: unknown): GridError {
  return refused(where, `the operand is ${wanted}, not ${kindName(operand)}`)
}

/** The place is cut in the middle when a hostile document makes it long. */
function refused(where: string, reason: string): GridError {
  const place = where.length > 300 ? `${where.slice(0, 120)}...${where.slice(-120)}` : where
  return new GridError('BAD_FILTER', `${place}: ${reason}`)
}
