/** Reading a map page by page: what `entries`, `keys` and `invokeAll` go through. */

import { ByteWriter } from '../core/base/bytes.ts'
import type { Limits } from '../core/base/limits.ts'
import { checkFilter, type Filter } from '../core/query/filter.ts'
import { Operation } from '../core/wire/message.ts'
import { encodeValue } from '../core/wire/value.ts'
import type { MapGate } from './map-catalog.ts'
import { type Page, type PageRequest, toPage, writePage } from './operation.ts'
import { checkCallOptions, checkNames, READ_OPTIONS, type ReadOptions } from './options.ts'
import type { Router } from './router.ts'

/** A query or watch that selects yields part of each value. */
export interface ScanOptions<V> extends ReadOptions {
  /** Which entries. Left out: all. */
  readonly where?: Filter<V> | undefined
}

const EMPTY = new Uint8Array(0)

/** Pages of all partitions, one after the other; the next page is under way while one is being read. */
export async function* scanPages<V>(
  router: Router,
  gate: MapGate,
  withValues: boolean,
  options: ScanOptions<V>,
): AsyncGenerator<Page, void, undefined> {
  const { where, ...call } = options
  checkNames(options, [...READ_OPTIONS, 'where'], 'option')
  checkCallOptions(call, READ_OPTIONS)
  const filter = encodeFilter(where, router.limits)
  const rows = Math.min(router.limits.pageRowsMax, 0xffff)
  const fetch = (partition: number, fromHash: number): Promise<Page> => {
    const request: PageRequest = { withValues, fromHash, rows, where: filter }
    const page = router.calls.callPartition(
      gate,
      Operation.page,
      partition,
      writePage,
      request,
      undefined,
      (reply) => toPage(reply, withValues, router.limits),
      call,
    ) as Promise<Page>
    page.catch(() => {}) // It may be that nobody comes for it.
    return page
  }
  let partition = 0
  let next: Promise<Page> | undefined = fetch(0, 0)
  while (next !== undefined) {
    const page: Page = await next
    if (page.more) next = fetch(partition, page.nextHash)
    else next = ++partition < router.lanes.length ? fetch(partition, 0) : undefined
    yield page
  }
}

/** A filter's bytes; none for none. @throws GridError `BAD_FILTER` */
export function encodeFilter<V>(where: Filter<V> | undefined, limits: Limits): Uint8Array {
  if (where === undefined) return EMPTY
  checkFilter(where, limits)
  const w = new ByteWriter(128)
  encodeValue(w, where, limits)
  return w.take()
}
