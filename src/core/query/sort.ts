/**
 * Order and the first rows of it: the `orderBy` and `limit` of queries.
 *
 * Rows are compared over their stored bytes in the total order of `compare.ts`, missing values first; descending
 * turns all of it round, missing values included. Where every term is equal the key's bytes decide, so that owners
 * and the client that merges their runs agree on one order.
 */

import { assert } from '../base/assert.ts'
import { GridError } from '../base/errors.ts'
import { compareSpans, compareValues } from './compare.ts'
import type { DeepPath, IsLoose, Path } from './path.ts'
import { kindName, parsePath } from './path.ts'
import { PathTree } from './path-tree.ts'

export const ORDER_TERMS_MAX = 16

export type Direction = 'asc' | 'desc'

/** One path, ascending, or `[path, direction]` for each term; at most 16. */
export type OrderBy<V = unknown> = OrderPath<V> | readonly (readonly [OrderPath<V>, Direction])[]

type OrderPath<V> = IsLoose<V> extends true ? string : Path<V> | DeepPath

interface Term {
  readonly slot: number
  readonly sign: 1 | -1
}

/** A compiled order. */
export class Order {
  /** The paths that it looks at. Rows that are to be merged by it must keep these when they are projected. */
  readonly paths: readonly string[]
  private readonly terms: readonly Term[]
  private readonly tree: PathTree
  private readonly aSlots: Int32Array
  private readonly bSlots: Int32Array

  constructor(terms: readonly (readonly [path: string, direction: Direction])[]) {
    this.tree = new PathTree()
    this.paths = terms.map(([path]) => path)
    this.terms = terms.map(([path, direction]) => ({
      slot: this.tree.add(parsePath(path, 'BAD_FILTER', 'orderBy')),
      sign: direction === 'asc' ? 1 : -1,
    }))
    this.aSlots = new Int32Array(this.tree.size)
    this.bSlots = new Int32Array(this.tree.size)
  }

  /** How many offsets `locate` writes. */
  get size(): number {
    return this.tree.size
  }

  /** Negative, 0 or positive as the first value comes before, with or after the second. Keys are not looked at. */
  compare(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): number {
    this.locate(a, aStart, aEnd, this.aSlots)
    this.locate(b, bStart, bEnd, this.bSlots)
    return this.compareLocated(a, aEnd, this.aSlots, b, bEnd, this.bSlots)
  }

  /** Finds what the order looks at, for `compareLocated`; -1 where it is missing. */
  locate(bytes: Buffer, start: number, end: number, slots: Int32Array): void {
    this.tree.locate(bytes, start, end, slots)
  }

  compareLocated(
    a: Buffer,
    aEnd: number,
    aSlots: Int32Array,
    b: Buffer,
    bEnd: number,
    bSlots: Int32Array,
  ): number {
    for (const { slot, sign } of this.terms) {
      const order = compareValues(a, aSlots[slot]!, aEnd, b, bSlots[slot]!, bEnd)
      if (order !== 0) return sign * order
    }
    return 0
  }
}

/** Compiles `orderBy`; undefined and `[]` leave the order to the keys. Throws `BAD_FILTER`. */
export function compileOrder(orderBy: unknown): Order {
  if (orderBy === undefined) return new Order([])
  if (typeof orderBy === 'string') return new Order([[orderBy, 'asc']])
  if (!Array.isArray(orderBy))
    throw refused(`a path or [path, direction] pairs are wanted, not ${kindName(orderBy)}`)
  if (orderBy.length > ORDER_TERMS_MAX) throw refused(`at most ${ORDER_TERMS_MAX} terms can be given`)
  return new Order(
    orderBy.map((term: unknown): [string, Direction] => {
      if (!Array.isArray(term) || term.length !== 2 || typeof term[0] !== 'string')
        throw refused("each term is a pair, as in [['temp', 'desc']]")
      if (term[1] !== 'asc' && term[1] !== 'desc') throw refused("a direction is 'asc' or 'desc'")
      return [term[0], term[1]]
    }),
  )
}

function refused(reason: string): GridError {
  return new GridError('BAD_FILTER', `orderBy: ${reason}`)
}

/** A kept row. Its bytes are copies. */
export interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

interface LocatedRow extends Row {
  readonly slots: Int32Array
}

/**
 * Keeps the first `limit` of the rows that it is offered.
 *
 * A heap with the last kept row at its root (Williams 1964): a row that comes too late costs one comparison and no
 * copy. Memory is what the kept rows take, `sizeBytes`; the caller bounds it. One collector serves an owner for each
 * partition, and the client to merge what the owners sent.
 */
export class TopRows {
  private readonly order: Order
  private readonly limit: number
  private readonly heap: LocatedRow[] = []
  private readonly slots: Int32Array
  private bytes = 0

  /** `limit` is a whole number, 0 included. */
  constructor(order: Order, limit: number) {
    assert(Number.isSafeInteger(limit) && limit >= 0, 'a limit of rows is a whole number')
    this.order = order
    this.limit = limit
    this.slots = new Int32Array(order.size)
  }

  get length(): number {
    return this.heap.length
  }

  /** Bytes of the keys and values kept. */
  get sizeBytes(): number {
    return this.bytes
  }

  /** Copies the row if it is among the first so far; says whether it did. Throws `MALFORMED` on a value cut short. */
  offer(key: Buffer, keyStart: number, keyEnd: number, value: Buffer, start: number, end: number): boolean {
    if (this.limit === 0) return false
    this.order.locate(value, start, end, this.slots)
    const full = this.heap.length === this.limit
    if (full) {
      const last = this.heap[0]!
      const order =
        this.order.compareLocated(value, end, this.slots, last.value, last.value.length, last.slots) ||
        compareSpans(key, keyStart, keyEnd, last.key, 0, last.key.length)
      if (order >= 0) return false
      this.bytes -= last.key.length + last.value.length
    }
    const row: LocatedRow = {
      key: copyOf(key, keyStart, keyEnd),
      value: copyOf(value, start, end),
      slots: this.slots.map((at) => (at < 0 ? at : at - start)),
    }
    this.bytes += row.key.length + row.value.length
    if (full) this.sink(row)
    else this.rise(row)
    return true
  }

  /** The kept rows, first one first. They stay kept. */
  rows(): Row[] {
    return [...this.heap].sort((a, b) => this.compare(a, b)).map(({ key, value }) => ({ key, value }))
  }

  private compare(a: LocatedRow, b: LocatedRow): number {
    return (
      this.order.compareLocated(a.value, a.value.length, a.slots, b.value, b.value.length, b.slots) ||
      compareSpans(a.key, 0, a.key.length, b.key, 0, b.key.length)
    )
  }

  private rise(row: LocatedRow): void {
    const heap = this.heap
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.compare(heap[parent]!, row) >= 0) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = row
  }

  /** Puts `row` in place of the root. */
  private sink(row: LocatedRow): void {
    const heap = this.heap
    const size = heap.length
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && this.compare(heap[child + 1]!, heap[child]!) > 0) child++
      if (this.compare(heap[child]!, row) <= 0) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = row
  }
}

/** A copy outside of the shared pool, which a kept row would pin. */
function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start)
  bytes.copy(copy, 0, start, end)
  return copy
}
