/**
 * Queries that wait for their turn as background work, one partition's scan a slice.
 *
 * A scan is one turn, so its rows are of one moment; it is as long as the partition is large (about 0.1 ms for each 1,000
 * entries), which is why many partitions are better than few. The answer is held until everything that the scan could
 * have seen is committed.
 */

import { GridError } from '../base/errors.ts'
import { compileProjection, type Projection } from '../query/project.ts'
import { compileFilter, RowFilter } from '../query/scan.ts'
import { compileOrder, type Order, TopRows } from '../query/sort.ts'
import type { RecordView } from '../store/record.ts'
import { CallView } from '../wire/message.ts'
import { decodeValue } from '../wire/value.ts'
import type { CallHandler } from './call-handler.ts'
import type { Outlet } from './context.ts'

interface Query {
  readonly client: Outlet
  readonly view: CallView
  readonly filter: RowFilter
  readonly projection: Projection
  readonly order: Order | undefined
  readonly limit: number
}

const DOCUMENT = ['where', 'select', 'orderBy', 'limit']
/** Left free in a frame for its header and other messages. */
const FRAME_SPARE_BYTES = 64 * 1024

export class QueryQueue {
  readonly #calls: CallHandler
  #queue: Query[] = []

  constructor(calls: CallHandler) {
    this.#calls = calls
  }

  get size(): number {
    return this.#queue.length
  }

  /** Takes the call at hand. @throws GridError `BAD_FILTER` */
  add(): void {
    const { view, client, argument, limits, owner } = this.#calls
    const document = decodeValue(argument.bytes, argument.offset, argument.end, limits)
    const { where, select, orderBy, limit } = queryDocument(document)
    const rows = limit === undefined ? Number.POSITIVE_INFINITY : limit
    if (typeof rows !== 'number' || !(rows >= 0))
      throw new GridError('BAD_FILTER', 'limit must be a number from 0')
    // The frame's memory is used again after this turn; what the query needs of the call are these few fields.
    const kept = new CallView()
    Object.assign(kept, { partition: view.partition, call: view.call, flags: view.flags, map: view.map })
    this.#queue.push({
      client,
      view: kept,
      filter: compileFilter(where, limits),
      projection: compileProjection(select),
      order: orderBy === undefined ? undefined : compileOrder(orderBy),
      limit: rows,
    })
    owner.context.workLater(owner.partition)
  }

  /** Runs the oldest query; true when there are more. */
  work(): boolean {
    const query = this.#queue.shift()
    if (query && !query.client.closed) this.#run(query)
    return this.#queue.length > 0
  }

  abandon(visit: (client: Outlet, call: number) => void): void {
    for (const { client, view } of this.#queue) visit(client, view.call)
    this.#queue = []
  }

  #run(query: Query): void {
    const calls = this.#calls
    calls.view = query.view
    calls.client = query.client
    calls.payload.clear()
    try {
      if (query.order) this.#sorted(query, query.order)
      else this.#unsorted(query)
      calls.read(calls.store.head)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      calls.fail(query.client, query.view.call, error)
    }
  }

  #scan(query: Query, visit: (record: RecordView) => boolean): void {
    const { store, owner, now } = this.#calls
    const scan = store.openScan()
    let wanted = true
    const each = (record: RecordView): void => {
      if (!wanted || owner.housekeeping.isExpired(record, now)) return
      if (
        query.filter !== RowFilter.all &&
        !query.filter.matches(record.bytes, record.valueStart, record.valueEnd)
      )
        return
      wanted = visit(record)
    }
    try {
      while (wanted && scan.nextOf(query.view.map, 4096, each)) {}
    } finally {
      scan.close()
    }
  }

  #unsorted(query: Query): void {
    const { payload, limits } = this.#calls
    const countAt = payload.length - payload.start
    payload.u32(0)
    let count = 0
    if (query.limit > 0) {
      this.#scan(query, (record) => {
        count++
        if (count > limits.queryRowsMax) throw tooMany(limits.queryRowsMax)
        payload.u16(record.keyEnd - record.keyStart)
        payload.bytes(record.bytes, record.keyStart, record.keyEnd)
        this.#value(query, record.bytes, record.valueStart, record.valueEnd)
        return count < query.limit
      })
    }
    payload.buffer.writeUInt32LE(count, payload.start + countAt)
  }

  #sorted(query: Query, order: Order): void {
    const { payload, limits } = this.#calls
    const top = new TopRows(order, Math.min(query.limit, limits.queryRowsMax + 1))
    this.#scan(query, (record) => {
      const { bytes, keyStart, keyEnd, valueStart, valueEnd } = record
      top.offer(bytes, keyStart, keyEnd, bytes, valueStart, valueEnd)
      if (top.sizeBytes > limits.queryBytesMax) throw tooLarge('queryBytesMax', limits.queryBytesMax)
      return true
    })
    if (top.length > limits.queryRowsMax) throw tooMany(limits.queryRowsMax)
    const rows = top.rows()
    payload.u32(rows.length)
    for (const { key, value } of rows) {
      payload.u16(key.length)
      payload.bytes(key)
      this.#value(query, value, 0, value.length)
    }
  }

  #value(query: Query, bytes: Buffer, start: number, end: number): void {
    const { payload, limits } = this.#calls
    const at = payload.length - payload.start
    payload.u32(0)
    query.projection.project(bytes, start, end, payload)
    const written = payload.length - payload.start
    payload.buffer.writeUInt32LE(written - at - 4, payload.start + at)
    const bound = limits.frameBytesMax - FRAME_SPARE_BYTES
    if (written > bound) throw tooLarge('frameBytesMax', limits.frameBytesMax)
  }
}

function queryDocument(document: unknown): Record<string, unknown> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new GridError('BAD_FILTER', 'a query is an object')
  }
  for (const name of Object.keys(document)) {
    if (!DOCUMENT.includes(name))
      throw new GridError('BAD_FILTER', `a query has no '${name}'; it has ${DOCUMENT.join(', ')}`)
  }
  return document as Record<string, unknown>
}

function tooMany(rows: number): GridError {
  return new GridError(
    'RESULT_TOO_LARGE',
    `more than ${rows} rows (queryRowsMax); set a limit or page through entries()`,
  )
}

function tooLarge(name: string, bytes: number): GridError {
  return new GridError(
    'RESULT_TOO_LARGE',
    `more than ${bytes} bytes (${name}); set a limit, select fewer fields or page`,
  )
}
