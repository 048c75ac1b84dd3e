/**
 * A query over one partition of a map: filter, order, limit, projection, in one scan.
 *
 * A scan is one turn, so its rows are of one moment; it is as long as the partition is large (about 0.1 ms for each 1,000
 * entries), which is why many partitions are better than few. Without an order it ends as soon as it has its rows.
 */

import { type ByteWriter, putU32 } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { compileProjection, type Projection } from '../query/project.ts'
import { compileFilter, RowFilter } from '../query/scan.ts'
import { compileOrder, type Order, TopRows } from '../query/sort.ts'
import type { LogStore } from '../store/log-store.ts'
import type { RecordView } from '../store/record.ts'

const DOCUMENT = ['where', 'select', 'orderBy', 'limit']
/** Left free in a frame for its header and other messages. */
const FRAME_SPARE_BYTES = 64 * 1024
/** Records looked at between two questions whether there are enough rows. */
const SCAN_RECORDS = 4096

export class Query {
  readonly #limits: Limits
  readonly #filter: RowFilter
  readonly #projection: Projection
  readonly #order: Order | undefined
  readonly #limit: number

  /** Compiles `{ where?, select?, orderBy?, limit? }`. @throws GridError `BAD_FILTER` */
  constructor(document: unknown, limits: Limits) {
    const { where, select, orderBy, limit } = checkDocument(document)
    if (limit !== undefined && !isLimit(limit))
      throw new GridError('BAD_FILTER', 'limit is a whole number from 0')
    this.#limits = limits
    this.#filter = compileFilter(where, limits)
    this.#projection = compileProjection(select)
    this.#order = orderBy === undefined ? undefined : compileOrder(orderBy)
    this.#limit = limit ?? Number.POSITIVE_INFINITY
  }

  /**
   * Writes `u32 count · rows` of the map's entries as they are now; `isGone` tells those whose time has come.
   * @throws GridError `RESULT_TOO_LARGE`
   */
  run(store: LogStore, map: number, isGone: (record: RecordView) => boolean, out: ByteWriter): void {
    const each = (visit: (record: RecordView) => boolean): void => {
      const scan = store.openScan()
      let wanted = this.#limit > 0
      const look = (record: RecordView): void => {
        if (!wanted || isGone(record)) return
        const { bytes, valueStart, valueEnd } = record
        if (this.#filter === RowFilter.all || this.#filter.matches(bytes, valueStart, valueEnd))
          wanted = visit(record)
      }
      try {
        while (wanted && scan.nextOf(map, SCAN_RECORDS, look)) {}
      } finally {
        scan.close()
      }
    }
    if (this.#order) this.#sorted(this.#order, each, out)
    else this.#unsorted(each, out)
  }

  #unsorted(each: (visit: (record: RecordView) => boolean) => void, out: ByteWriter): void {
    const at = out.length - out.start
    out.u32(0)
    let count = 0
    each((record) => {
      if (++count > this.#limits.queryRowsMax) throw tooMany(this.#limits)
      this.#row(
        record.bytes,
        record.keyStart,
        record.keyEnd,
        record.bytes,
        record.valueStart,
        record.valueEnd,
        out,
      )
      return count < this.#limit
    })
    putU32(out.buffer, out.start + at, count)
  }

  #sorted(order: Order, each: (visit: (record: RecordView) => boolean) => void, out: ByteWriter): void {
    const { queryRowsMax, queryBytesMax } = this.#limits
    const top = new TopRows(order, Math.min(this.#limit, queryRowsMax + 1))
    each(({ bytes, keyStart, keyEnd, valueStart, valueEnd }) => {
      top.offer(bytes, keyStart, keyEnd, bytes, valueStart, valueEnd)
      if (top.sizeBytes > queryBytesMax) throw tooLarge('queryBytesMax', queryBytesMax)
      return true
    })
    if (top.length > queryRowsMax) throw tooMany(this.#limits)
    const rows = top.rows()
    out.u32(rows.length)
    for (const { key, value } of rows) this.#row(key, 0, key.length, value, 0, value.length, out)
  }

  #row(
    keyBytes: Buffer,
    keyStart: number,
    keyEnd: number,
    bytes: Buffer,
    start: number,
    end: number,
    out: ByteWriter,
  ): void {
    out.u16(keyEnd - keyStart)
    out.bytes(keyBytes, keyStart, keyEnd)
    const at = out.length - out.start
    out.u32(0)
    this.#projection.project(bytes, start, end, out)
    const written = out.length - out.start
    putU32(out.buffer, out.start + at, written - at - 4)
    const { frameBytesMax } = this.#limits
    if (written > frameBytesMax - FRAME_SPARE_BYTES) throw tooLarge('frameBytesMax', frameBytesMax)
  }
}

function checkDocument(document: unknown): Record<string, unknown> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new GridError('BAD_FILTER', 'a query is an object')
  }
  for (const name of Object.keys(document)) {
    if (DOCUMENT.includes(name)) continue
    throw new GridError('BAD_FILTER', `a query has no '${name}'; it has ${DOCUMENT.join(', ')}`)
  }
  return document as Record<string, unknown>
}

function isLimit(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function tooMany({ queryRowsMax }: Limits): GridError {
  const text = `more than ${queryRowsMax} rows (queryRowsMax); set a limit, or page through entries()`
  return new GridError('RESULT_TOO_LARGE', text)
}

function tooLarge(name: string, bytes: number): GridError {
  const text = `more than ${bytes} bytes (${name}); set a limit, select fewer fields, or page through entries()`
  return new GridError('RESULT_TOO_LARGE', text)
}
