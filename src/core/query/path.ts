/**
 * Paths into values: `'site.address.city'` names the member `city` of the member `address` of the member `site`.
 *
 * A path goes through objects only. Arrays are never traversed, by element or by index, and a member whose name
 * holds a dot or begins with `$` cannot be named. The types know paths down to depth 3 (a fourth level tripled the
 * compiler's time); deeper ones are written with {@link path}.
 */

import { GridError } from '../base/errors.ts'

const PATH_CHARS_MAX = 256
const PATH_SEGMENTS_MAX = 16

/** What a path does not go into. */
type Leaf =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | symbol
  | Date
  | Uint8Array
  | readonly unknown[]
  | ((...args: never[]) => unknown)

type Paths1<V> = V extends Leaf ? never : keyof V & string
type Paths2<V> = V extends Leaf
  ? never
  : { [K in keyof V & string]-?: K | `${K}.${Paths1<V[K]>}` }[keyof V & string]

/** The paths into a `V`, to depth 3. Each member of a union contributes its own. */
export type Path<V> = V extends Leaf
  ? never
  : { [K in keyof V & string]-?: K | `${K}.${Paths2<V[K]>}` }[keyof V & string]

/** What stands at path `P` of a `V`; `undefined` is left out of it. */
export type ValueAt<V, P extends string> = V extends Leaf
  ? never
  : P extends keyof V
    ? Exclude<V[P], undefined>
    : P extends `${infer Head}.${infer Rest}`
      ? Head extends keyof V
        ? ValueAt<V[Head], Rest>
        : never
      : never

/** A path of four segments or more, or one that {@link path} vouches for: it is not held against the type. */
export type DeepPath = `${string}.${string}.${string}.${string}`

/** Whether nothing is known of the members of a `V`, so that any path will do. */
export type IsLoose<V> = unknown extends V ? true : string extends Path<V> ? true : false

/**
 * Lets a path pass that the type of the map does not know: `{ [path('a.b.c.d')]: { $gt: 5 } }`.
 *
 * Throws `BAD_FILTER` unless it has at most 256 characters and 16 non-empty segments.
 */
export function path(text: string): DeepPath {
  parsePath(text, 'BAD_FILTER', 'path')
  return text as DeepPath
}

/** The segments of a path. `where` names it in the message of the error. */
export function parsePath(text: string, code: 'BAD_FILTER' | 'BAD_UPDATE', where: string): string[] {
  const refuse = (reason: string): GridError => new GridError(code, `${where}: ${reason}`)
  if (text.length > PATH_CHARS_MAX) throw refuse(`a path has at most ${PATH_CHARS_MAX} characters`)
  const segments = text.split('.')
  if (segments.length > PATH_SEGMENTS_MAX) throw refuse(`a path has at most ${PATH_SEGMENTS_MAX} segments`)
  for (const segment of segments) {
    if (segment === '') throw refuse(`${JSON.stringify(text)} has an empty segment`)
    if (segment.startsWith('$')) throw refuse(`${segment} is an operator, not a member`)
    if (segment === '__proto__' || segment === 'constructor' || segment === 'prototype')
      throw refuse(`a member cannot be named ${segment}`)
  }
  if (/\p{Surrogate}/u.test(text)) throw refuse('a path holds a lone surrogate')
  return segments
}

/** `did you mean ...?` with the nearest known operator, or the list of them all where none is near. */
export function suggestion(name: string, known: readonly string[]): string {
  const bare = (operator: string): string => operator.replace(/^\$+/, '').toLowerCase()
  let best = known[0] ?? ''
  let fewest = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const edits = editDistance(bare(name.slice(0, 32)), bare(candidate))
    if (edits < fewest) {
      fewest = edits
      best = candidate
    }
  }
  return fewest <= Math.max(1, best.length / 3) ? `did you mean ${best}?` : `known are ${known.join(' ')}`
}

/** Wagner and Fischer (1974) with swaps of neighbours counted as one edit. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = row[j]! + (a[i] === b[j] ? 0 : 1)
      const swapped = a[i] === b[j - 1] && a[i - 1] === b[j] ? before[j - 1]! + 1 : replaced
      next.push(Math.min(replaced, swapped, row[j + 1]! + 1, next[j]! + 1))
    }
    before = row
    row = next
  }
  return row[b.length]!
}

/** A plain object: what JSON and object literals make, and nothing else. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The name of a value's kind, for messages. */
export function kindName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Date) return 'a Date'
  if (value instanceof Uint8Array) return 'a Uint8Array'
  if (typeof value === 'undefined') return 'undefined'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
