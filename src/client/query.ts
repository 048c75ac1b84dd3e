/**
 * Queries: every partition answers for itself, and the client merges.
 *
 * With an order each partition sends its first rows, and the first of those are the answer; an order's paths travel
 * along with a projection that leaves them out, and are dropped here. Without one the rows come in the order of the
 * partitions. Each partition answers as of one moment; the partitions' moments differ.
 */

import { ByteReader, ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import type { Limits } from '../core/base/limits.ts'
import { checkFilter, type Filter } from '../core/query/filter.ts'
import { compileProjection, type Projection, type Select } from '../core/query/project.ts'
import { compileOrder, type OrderBy, TopRows } from '../core/query/sort.ts'
import { Operation, type ReplyView } from '../core/wire/message.ts'
import { decodeValue } from '../core/wire/value-decode.ts'
import type { MapGate } from './map-catalog.ts'
import { type Row, readRows, toKey, writeDocument } from './operation.ts'
import { checkCallOptions, checkNames, READ_OPTIONS, type ReadOptions } from './options.ts'
import type { Asked } from './pending-call.ts'
import type { Router } from './router.ts'

export interface Query<V> extends ReadOptions {
  /** Which entries. Left out: all. */
  readonly where?: Filter<V> | undefined
  /** Which members of the values. Left out: whole values. */
  readonly select?: Select<V> | undefined
  /** In which order; ties go by key. Left out: any. */
  readonly orderBy?: OrderBy<V> | undefined
  /** How many rows at most. Left out: all; more than `queryRowsMax` (100,000) fail with `RESULT_TOO_LARGE`. */
  readonly limit?: number | undefined
}

/** What `select` may leave of a `V`. */
export type Selected<V> = unknown extends V
  ? unknown
  : V extends readonly unknown[] | Date | Uint8Array
    ? V
    : V extends object
      ? { [K in keyof V]?: Selected<V[K]> }
      : V

const DOCUMENT = ['where', 'select', 'orderBy', 'limit'] as const

export async function runQuery(router: Router, gate: MapGate, query: Query<never>): Promise<Row[]> {
  checkNames(query, [...DOCUMENT, ...READ_OPTIONS], 'query option')
  const { where, select, orderBy, limit, ...options } = query
  checkCallOptions(options, READ_OPTIONS)
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0))
    throw new GridError('BAD_FILTER', `limit is ${String(limit)}; must be a whole number from 0`)
  checkFilter(where, router.limits)
  const rows = orderBy === undefined ? new Concatenated(router.limits, limit) : undefined
  const merge = rows ?? new Merged(router.limits, limit, select, orderBy)
  const document = withoutUndefined({ where, select: merge.select ?? select, orderBy, limit })
  const calls = router.lanes.map(({ partition }) =>
    router.calls.callPartition(
      gate,
      Operation.query,
      partition,
      writeDocument,
      document,
      undefined,
      takeRows(merge),
      options,
    ),
  )
  await Promise.all(calls)
  return merge.result()
}

/** Gives each reply to the merge while its frame is still there. */
function takeRows(merge: Merge): (reply: ReplyView, call: Asked) => void {
  return (reply, { partition }) => merge.take(partition, reply)
}

interface Merge {
  /** What to ask the partitions for where that differs from what the caller selects. */
  readonly select: readonly string[] | undefined
  take(partition: number, reply: ReplyView): void
  result(): Row[]
}

class Concatenated implements Merge {
  readonly select = undefined
  readonly #limits: Limits
  readonly #limit: number | undefined
  readonly #parts: Row[][] = []
  #count = 0

  constructor(limits: Limits, limit: number | undefined) {
    this.#limits = limits
    this.#limit = limit
  }

  take(partition: number, { bytes, payloadStart, payloadEnd }: ReplyView): void {
    const limits = this.#limits
    const part: Row[] = []
    this.#parts[partition] = part
    const most = this.#limit ?? Number.POSITIVE_INFINITY
    readRows(new ByteReader(bytes, payloadStart, payloadEnd), (keyStart, keyEnd, start, end) => {
      if (part.length === most) return
      part.push({
        key: toKey(bytes, keyStart, keyEnd, limits),
        value: decodeValue(bytes, start, end, limits),
      })
      if (++this.#count > this.#limits.queryRowsMax && this.#limit === undefined) throw tooMany(this.#limits)
    })
  }

  result(): Row[] {
    const rows = this.#parts.flat().slice(0, this.#limit)
    if (rows.length > this.#limits.queryRowsMax) throw tooMany(this.#limits)
    return rows
  }
}

class Merged implements Merge {
  readonly select: readonly string[] | undefined
  readonly #limits: Limits
  readonly #rows: TopRows
  readonly #projection: Projection | undefined

  constructor(limits: Limits, limit: number | undefined, select: unknown, orderBy: unknown) {
    this.#limits = limits
    const order = compileOrder(orderBy)
    this.#rows = new TopRows(order, Math.min(limit ?? Number.POSITIVE_INFINITY, limits.queryRowsMax + 1))
    if (select !== undefined) {
      this.#projection = compileProjection(select)
      this.select = [...new Set([...(select as string[]), ...order.paths])]
    }
  }

  take(_: number, { bytes, payloadStart, payloadEnd }: ReplyView): void {
    readRows(new ByteReader(bytes, payloadStart, payloadEnd), (keyStart, keyEnd, start, end) => {
      this.#rows.offer(bytes, keyStart, keyEnd, bytes, start, end)
    })
    if (this.#rows.sizeBytes > this.#limits.queryBytesMax)
      throw new GridError('RESULT_TOO_LARGE', `more than ${this.#limits.queryBytesMax} bytes (queryBytesMax)`)
  }

  result(): Row[] {
    if (this.#rows.length > this.#limits.queryRowsMax) throw tooMany(this.#limits)
    const limits = this.#limits
    const w = new ByteWriter(1024)
    return this.#rows.rows().map(({ key, value }) => {
      w.clear()
      this.#projection?.project(value, 0, value.length, w)
      const kept =
        this.#projection === undefined
          ? decodeValue(value, 0, value.length, limits)
          : decodeValue(w.buffer, w.start, w.length, limits)
      return { key: toKey(key, 0, key.length, limits), value: kept }
    })
  }
}

function tooMany(limits: Limits): GridError {
  const text = `more than ${limits.queryRowsMax} rows (queryRowsMax); set a limit, or page through entries()`
  return new GridError('RESULT_TOO_LARGE', text)
}

function withoutUndefined(document: object): object {
  return Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined))
}
