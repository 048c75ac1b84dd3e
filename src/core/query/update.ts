/**
 * Updates: small changes of a stored value that its owner applies in place of a read and a write.
 *
 *   { $set: { 'at.zone': 'b' }, $inc: { count: 1 }, $push: { tags: 'hot' } }
 *
 * `checkUpdate` refuses whatever can be refused without the value; `applyUpdate` makes the new value and leaves the
 * old one and the update as they were. Untouched parts are shared between old and new, so neither may be changed in
 * place afterwards. Missing parents are made, a missing value starts as `{}`. All paths of an update are apart:
 * none is, or begins, another, so the order of operators means nothing.
 */

import { assert } from '../base/assert.ts'
import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { encodeValue } from '../wire/value.ts'
import { compareValues, headSize, skipValue } from './compare.ts'
import type { Operand } from './operand.ts'
import { equalsOperand, prepareOperand } from './operand.ts'
import type { DeepPath, IsLoose, Path, ValueAt } from './path.ts'
import { isPlainObject, kindName, parsePath, suggestion } from './path.ts'

const UPDATE_PATHS_MAX = 256

/** An update of values of type `V`; at least one operator, at most 256 paths in all. */
export type Update<V = unknown> = IsLoose<V> extends true ? LooseUpdate : TypedUpdate<V>

/** An update of values of which no type is known; it is checked when it runs. */
export type LooseUpdate = { readonly [O in UpdateOperator]?: { readonly [path: string]: unknown } }

interface TypedUpdate<V> {
  /** Puts a value at the path. */
  readonly $set?: Changes<V, unknown>
  /** Removes the member. */
  readonly $unset?: { readonly [P in Path<V>]?: true } & { readonly [path: DeepPath]: true }
  /** Adds; a missing number counts as 0. A number takes numbers, a bigint takes bigints. */
  readonly $inc?: Changes<V, number | bigint>
  /** Multiplies; a missing number counts as 0. */
  readonly $mul?: Changes<V, number | bigint>
  /** Keeps the lesser of the stored value and this one, which must be of one kind; a missing value is set. */
  readonly $min?: Changes<V, Comparable>
  /** Keeps the greater. */
  readonly $max?: Changes<V, Comparable>
  /** Appends one element, or those of `{ $each: [...] }`; a missing array starts empty. */
  readonly $push?: ElementChanges<V, true>
  /** Removes all elements that equal this, deeply; a missing array stays missing. */
  readonly $pull?: ElementChanges<V, false>
}

type Comparable = number | bigint | string | boolean | Date | Uint8Array

/** The paths at which a value of kind `K` can stand, and what can be given there. */
type Changes<V, K> = {
  readonly [P in Path<V> as Extract<ValueAt<V, P>, K> extends never ? never : P]?: Extract<ValueAt<V, P>, K>
} & { readonly [path: DeepPath]: unknown }

type ElementChanges<V, Each extends boolean> = {
  readonly [P in Path<V> as Elements<ValueAt<V, P>> extends never ? never : P]?:
    | Elements<ValueAt<V, P>>
    | (Each extends true ? { readonly $each: readonly Elements<ValueAt<V, P>>[] } : never)
} & { readonly [path: DeepPath]: unknown }

type Elements<T> = T extends readonly (infer E)[] ? E : never

const OPERATORS = ['$set', '$unset', '$inc', '$mul', '$min', '$max', '$push', '$pull'] as const

export type UpdateOperator = (typeof OPERATORS)[number]

/** An update that has been checked. */
export interface CheckedUpdate {
  readonly changes: readonly Change[]
  readonly limits: Limits
}

interface Change {
  readonly operator: UpdateOperator
  readonly path: readonly string[]
  readonly operand: unknown
  /** `$set.at.zone`, for messages. */
  readonly where: string
  /** What `$min` and `$max` compare with and `$pull` looks for. */
  readonly prepared: Operand | undefined
}

/** Checks an update. Throws `BAD_UPDATE` with the operator and path of what is wrong. */
export function checkUpdate(update: unknown, limits: Limits): CheckedUpdate {
  if (!isPlainObject(update)) throw refused('update', `a plain object is wanted, not ${kindName(update)}`)
  const changes: Change[] = []
  const scratch = new ByteWriter(256)
  for (const [operator, fields] of Object.entries(update)) {
    const name = operator.slice(0, 64)
    if (!isUpdateOperator(operator)) {
      if (operator.startsWith('$'))
        throw refused(name, `unknown operator; ${suggestion(operator, OPERATORS)}`)
      throw refused(name, 'a member stands where an operator is wanted; use $set')
    }
    if (!isPlainObject(fields)) throw refused(name, `an object of paths is wanted, not ${kindName(fields)}`)
    for (const [path, operand] of Object.entries(fields)) {
      if (changes.length === UPDATE_PATHS_MAX)
        throw refused(name, `an update has at most ${UPDATE_PATHS_MAX} paths`)
      const where = `${name}.${path.slice(0, 256)}`
      scratch.clear()
      changes.push(
        checkChange(operator, parsePath(path, 'BAD_UPDATE', where), operand, where, scratch, limits),
      )
    }
  }
  if (Object.keys(update).length === 0)
    throw refused('update', `it names no operator; known are ${OPERATORS.join(' ')}`)
  checkApart(changes)
  return { changes, limits }
}

function checkChange(
  operator: UpdateOperator,
  path: readonly string[],
  operand: unknown,
  where: string,
  scratch: ByteWriter,
  limits: Limits,
): Change {
  encodeChecked(scratch, operand, where, limits)
  const change = { operator, path, operand, where, prepared: undefined }
  switch (operator) {
    case '$unset':
      if (operand !== true && operand !== 1 && operand !== '') throw refused(where, 'the operand is true')
      return change
    case '$inc':
    case '$mul':
      if (typeof operand === 'number' || typeof operand === 'bigint') return change
      throw refused(where, `the operand is a number or bigint, not ${kindName(operand)}`)
    case '$min':
    case '$max':
      if (isComparable(operand)) return { ...change, prepared: prepareOperand(operand, limits) }
      throw refused(
        where,
        `the operand is a number, bigint, string, boolean, Date or Uint8Array, not ${kindName(operand)}`,
      )
    case '$push':
      return { ...change, operand: pushed(operand, where) }
    case '$pull':
      if (hasOperators(operand)) throw refused(where, 'the operand is a value to be removed, not operators')
      return { ...change, prepared: prepareOperand(operand, limits) }
    default:
      return change
  }
}

/** The elements that a `$push` appends. */
function pushed(operand: unknown, where: string): unknown[] {
  if (!hasOperators(operand)) return [operand]
  const each = operand.$each
  if (Object.keys(operand).length === 1 && Array.isArray(each)) return each
  throw refused(where, 'the operand is a value or { $each: [...] }')
}

function hasOperators(operand: unknown): operand is Record<string, unknown> {
  return isPlainObject(operand) && Object.keys(operand).some((name) => name.startsWith('$'))
}

function isUpdateOperator(name: string): name is UpdateOperator {
  return (OPERATORS as readonly string[]).includes(name)
}

function isComparable(value: unknown): value is Comparable {
  const scalar = ['number', 'bigint', 'string', 'boolean'].includes(typeof value)
  return scalar || value instanceof Date || value instanceof Uint8Array
}

/** Refuses two changes of which one would undo or move the other. */
function checkApart(changes: readonly Change[]): void {
  const seen = new Map<string, Change>()
  for (const change of changes) {
    const path = change.path.join('.')
    const other = seen.get(path)
    if (other !== undefined) throw refused(change.where, `the path is changed by ${other.where} too`)
    seen.set(path, change)
  }
  for (const change of changes) {
    for (let length = 1; length < change.path.length; length++) {
      const other = seen.get(change.path.slice(0, length).join('.'))
      if (other !== undefined) throw refused(change.where, `the path lies within that of ${other.where}`)
    }
  }
}

/**
 * The value that `update` makes of `current`; undefined stands for a missing one, and the answer is an object.
 *
 * Throws `BAD_UPDATE` with the operator and path where the stored value does not fit. Whether the answer is within
 * the limits shows when it is encoded.
 */
export function applyUpdate(current: unknown, update: CheckedUpdate): unknown {
  if (current !== undefined && !isPlainObject(current))
    throw refused('update', `the stored value is ${kindName(current)}, not an object`)
  const result: Record<string, unknown> = { ...current }
  /** Objects made here, which may be changed. */
  const own = new Set<unknown>([result])
  for (const change of update.changes) applyChange(result, change, own, update.limits)
  return result
}

function applyChange(root: Record<string, unknown>, change: Change, own: Set<unknown>, limits: Limits): void {
  const { operator, path, where } = change
  const removes = operator === '$unset' || operator === '$pull'
  let parent = root
  for (let i = 0; i < path.length - 1; i++) {
    const name = path[i]!
    const child = memberOf(parent, name)
    if (own.has(child)) {
      parent = child as Record<string, unknown>
      continue
    }
    if (child === undefined && removes) return
    if (child !== undefined && !isPlainObject(child)) {
      if (operator === '$unset') return
      throw refused(where, `${path.slice(0, i + 1).join('.')} is ${kindName(child)}, not an object`)
    }
    const copy: Record<string, unknown> = { ...child }
    own.add(copy)
    parent[name] = copy
    parent = copy
  }
  const name = path[path.length - 1]!
  if (operator === '$unset') delete parent[name]
  else if (!removes || memberOf(parent, name) !== undefined)
    parent[name] = changed(memberOf(parent, name), change, limits)
}

/** An own member; what an object inherits is no part of the value. */
function memberOf(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** The new value of one member. */
function changed(stored: unknown, change: Change, limits: Limits): unknown {
  const { operator, operand, where } = change
  switch (operator) {
    case '$inc':
      return calculated(
        stored,
        operand,
        where,
        (a, b) => a + b,
        (a, b) => a + b,
      )
    case '$mul':
      return calculated(
        stored,
        operand,
        where,
        (a, b) => a * b,
        (a, b) => a * b,
      )
    case '$min':
      return stored === undefined || compareStored(stored, change, limits) > 0 ? operand : stored
    case '$max':
      return stored === undefined || compareStored(stored, change, limits) < 0 ? operand : stored
    case '$push':
      return [...(stored === undefined ? [] : arrayOf(stored, where)), ...(operand as unknown[])]
    case '$pull':
      return withoutEqual(arrayOf(stored, where), change, limits)
    default:
      return operand
  }
}

function calculated(
  stored: unknown,
  operand: unknown,
  where: string,
  numbers: (a: number, b: number) => number,
  bigints: (a: bigint, b: bigint) => bigint,
): number | bigint {
  if (typeof operand === 'bigint') {
    if (stored === undefined || typeof stored === 'bigint') return bigints(stored ?? 0n, operand)
  } else if (typeof operand === 'number') {
    if (stored === undefined || typeof stored === 'number') return numbers(stored ?? 0, operand)
  }
  throw refused(
    where,
    `${kindName(stored)} is stored there and ${kindName(operand)} given; they must be of one kind`,
  )
}

/** How the stored value stands to the operand; the same order as filters and sorting have. */
function compareStored(stored: unknown, change: Change, limits: Limits): number {
  const { prepared, operand, where } = change
  assert(prepared !== undefined, '$min and $max are prepared')
  const bytes = encoded(stored, where, limits)
  const numbers = isNumeric(stored) && isNumeric(operand)
  if (!numbers && kindName(stored) !== kindName(operand))
    throw refused(
      where,
      `${kindName(stored)} is stored there and ${kindName(operand)} given; they must be of one kind`,
    )
  return compareValues(bytes, 0, bytes.length, prepared.bytes, 0, prepared.bytes.length)
}

function isNumeric(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'bigint'
}

function arrayOf(stored: unknown, where: string): readonly unknown[] {
  if (Array.isArray(stored)) return stored
  throw refused(where, `${kindName(stored)} is stored there, not an array`)
}

function withoutEqual(elements: readonly unknown[], change: Change, limits: Limits): unknown[] {
  const { prepared, where } = change
  assert(prepared !== undefined, '$pull is prepared')
  const bytes = encoded(elements, where, limits)
  let next = headSize(bytes[0]!)
  return elements.filter(() => {
    const at = next
    next = skipValue(bytes, at, bytes.length)
    return !equalsOperand(prepared, bytes, at, next)
  })
}

function encoded(value: unknown, where: string, limits: Limits): Buffer {
  const w = new ByteWriter(64)
  encodeChecked(w, value, where, limits)
  return w.buffer.subarray(w.start, w.length)
}

function encodeChecked(w: ByteWriter, value: unknown, where: string, limits: Limits): void {
  try {
    encodeValue(w, value, limits)
  } catch (cause) {
    if (!(cause instanceof GridError)) throw cause
    throw new GridError('BAD_UPDATE', `${where}: ${cause.message}`, { cause })
  }
}

function refused(where: string, reason: string): GridError {
  return new GridError('BAD_UPDATE', `${where}: ${reason}`)
}
