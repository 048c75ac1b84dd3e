/**
 * Order and the first rows of it: the `orderBy` and `limit` of queries.
 *
 * Rows are compared over their stored bytes in the total order of `compare.ts`, missing values first; descending
 * turns all of it round, missing values included. Where every term is equal the key's bytes decide, so that owners
 * and the client that merges their runs agree on one order.
 */

import { assert } from '../base/assert.ts'
import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { compareSpans, compareValues } from './compare.ts'
import type { DeepPath, IsLoose, Path } from './path.ts'
import { kindName, parsePath } from './path.ts'
import { PathTree } from './path-tree.ts'

const ORDER_TERMS_MAX = 16

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
    return this.compareLocated(a, aEnd, this.aSlots, 0, b, bEnd, this.bSlots, 0)
  }

  /** Finds what the order looks at, for `compareLocated`; -1 where it is missing. */
  locate(bytes: Buffer, start: number, end: number, slots: Int32Array): void {
    this.tree.locate(bytes, start, end, slots)
  }

  /** The slots of the two values stand in `aSlots` and `bSlots` from `aFrom` and `bFrom` on. */
  compareLocated(
    a: Buffer,
    aEnd: number,
    aSlots: Int32Array,
    aFrom: number,
    b: Buffer,
    bEnd: number,
    bSlots: Int32Array,
    bFrom: number,
  ): number {
    for (const { slot, sign } of this.terms) {
      const order = compareValues(a, aSlots[aFrom + slot]!, aEnd, b, bSlots[bFrom + slot]!, bEnd)
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

/** A kept row: views of the collector's copies, which stay as they are whatever it is offered later. */
export interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

/** Replaced rows leave holes in the arena; below this many bytes nobody minds. */
const HOLES_BYTES_MIN = 64 * 1024

/**
 * Keeps the first `limit` of the rows that it is offered.
 *
 * A heap with the last kept row at its root (Williams 1964): a row that comes too late costs one comparison and no
 * copy. Rows are numbers into columns, and their bytes stand in one arena that is packed when half of it is holes:
 * a buffer for each row took eight times as long with 100,000 rows. The caller bounds `sizeBytes`; the memory held
 * is at most some eight times that. One collector serves an owner for each partition, and the client to merge what
 * the owners sent.
 */
export class TopRows {
  private readonly order: Order
  private readonly limit: number
  /** Ids of the kept rows; no row comes before one below it. */
  private readonly heap: number[] = []
  private arena = new ByteWriter(4096)
  /** By id: where the key begins, where the value does, and where it ends. */
  private readonly keys: number[] = []
  private readonly values: number[] = []
  private readonly ends: number[] = []
  /** By id, `order.size` each: what the order looks at, in the arena. */
  private slots: Int32Array
  private readonly candidate: Int32Array
  private bytes = 0

  /** `limit` is a whole number, 0 included. */
  constructor(order: Order, limit: number) {
    assert(Number.isSafeInteger(limit) && limit >= 0, 'a limit of rows is a whole number')
    this.order = order
    this.limit = limit
    this.slots = new Int32Array(16 * order.size)
    this.candidate = new Int32Array(order.size)
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
    this.order.locate(value, start, end, this.candidate)
    const full = this.heap.length === this.limit
    const id = full ? this.heap[0]! : this.heap.length
    if (full) {
      if (this.compareWith(key, keyStart, keyEnd, value, end, id) >= 0) return false
      this.bytes -= this.ends[id]! - this.keys[id]!
    }
    const arena = this.arena
    this.keys[id] = arena.length
    arena.bytes(key, keyStart, keyEnd)
    this.values[id] = arena.length
    arena.bytes(value, start, end)
    this.ends[id] = arena.length
    this.bytes += arena.length - this.keys[id]!
    this.keepSlots(id, this.values[id]! - start)
    if (full) this.sink(id)
    else this.rise(id)
    if (arena.length > 2 * this.bytes + HOLES_BYTES_MIN) this.pack()
    return true
  }

  /** The kept rows, first one first. They stay kept. */
  rows(): Row[] {
    const bytes = this.arena.buffer
    return [...this.heap]
      .sort((a, b) => this.compare(a, b))
      .map((id) => ({
        key: bytes.subarray(this.keys[id]!, this.values[id]!),
        value: bytes.subarray(this.values[id]!, this.ends[id]!),
      }))
  }

  private compare(a: number, b: number): number {
    const { arena, order, slots, keys, values, ends } = this
    const bytes = arena.buffer
    return (
      order.compareLocated(bytes, ends[a]!, slots, a * order.size, bytes, ends[b]!, slots, b * order.size) ||
      compareSpans(bytes, keys[a]!, values[a]!, bytes, keys[b]!, values[b]!)
    )
  }

  /** Compares the row on offer with a kept one. */
  private compareWith(
    key: Buffer,
    keyStart: number,
    keyEnd: number,
    value: Buffer,
    end: number,
    id: number,
  ): number {
    const { arena, order, slots, keys, values, ends } = this
    const bytes = arena.buffer
    return (
      order.compareLocated(value, end, this.candidate, 0, bytes, ends[id]!, slots, id * order.size) ||
      compareSpans(key, keyStart, keyEnd, bytes, keys[id]!, values[id]!)
    )
  }

  private keepSlots(id: number, shift: number): void {
    const size = this.order.size
    if ((id + 1) * size > this.slots.length) {
      const grown = new Int32Array(2 * this.slots.length)
      grown.set(this.slots)
      this.slots = grown
    }
    for (let i = 0; i < size; i++) {
      const at = this.candidate[i]!
      this.slots[id * size + i] = at < 0 ? at : at + shift
    }
  }

  /** Moves the kept rows to a new arena without holes; views of the old one stay good. */
  private pack(): void {
    const old = this.arena.buffer
    const size = this.order.size
    const arena = new ByteWriter(2 * this.bytes + HOLES_BYTES_MIN)
    for (let id = 0; id < this.heap.length; id++) {
      const shift = arena.length - this.keys[id]!
      arena.bytes(old, this.keys[id]!, this.ends[id]!)
      this.keys[id]! += shift
      this.values[id]! += shift
      this.ends[id]! += shift
      for (let i = id * size; i < (id + 1) * size; i++) if (this.slots[i]! >= 0) this.slots[i]! += shift
    }
    this.arena = arena
  }

  private rise(id: number): void {
    const heap = this.heap
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.compare(heap[parent]!, id) >= 0) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = id
  }

  /** Puts `id` in place of the root. */
  private sink(id: number): void {
    const heap = this.heap
    const size = heap.length
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && this.compare(heap[child + 1]!, heap[child]!) > 0) child++
      if (this.compare(heap[child]!, id) <= 0) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = id
  }
}
