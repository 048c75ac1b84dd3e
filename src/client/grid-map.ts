/**
 * A map of the grid: the operations on its entries, as programs use them.
 *
 * Every operation on one key is linearizable: it takes effect at one moment between call and answer, and calls on
 * one key made by one client take effect in the order in which they were made. What is done on many keys at once is
 * done key by key. Each method says which errors are its own; any may fail with `TIMEOUT`, `ABORTED`, `CLOSED`,
 * `OVERLOADED`, `PARTITION_LOST`, `BAD_OPTION`, and with `MAP_CONFLICT` where the map exists with another
 * configuration.
 */

import { GridError } from '../core/base/errors.ts'
import type { Filter } from '../core/query/filter.ts'
import { checkUpdate, type Update } from '../core/query/update.ts'
import type { Key } from '../core/wire/key.ts'
import { Operation } from '../core/wire/message.ts'
import type { Processor } from '../core/wire/processor.ts'
import { Bulk } from './bulk.ts'
import { readAll } from './bulk-read.ts'
import type { ArgumentWriter } from './calls.ts'
import type { MapGate } from './map-catalog.ts'
import type { NearCache, NearCacheStats } from './near-cache.ts'
import type { Near, NearPlace } from './near-caches.ts'
import {
  type Entry,
  type Invocation,
  type Row,
  toCount,
  toEntry,
  toMatch,
  toNothing,
  toResult,
  toValue,
  toYes,
  writeDocument,
  writeInvoke,
  writeNothing,
  writePut,
  writeRemove,
  writeReplace,
} from './operation.ts'
import {
  CALL_OPTIONS,
  type CallOptions,
  checkCallOptions,
  GET_OPTIONS,
  type GetOptions,
  PUT_OPTIONS,
  type PutOptions,
  READ_OPTIONS,
  REMOVE_OPTIONS,
  REPLACE_OPTIONS,
  type ReadOptions,
  type RemoveOptions,
  type ReplaceOptions,
  wireTtl,
} from './options.ts'
import { type Decoder, isWrite } from './pending-call.ts'
import { type Query, runQuery, type Selected } from './query.ts'
import type { Router } from './router.ts'
import { encodeFilter, type ScanOptions, scanPages } from './scan.ts'
import { type Watch, type WatchOptions, watchMap } from './watch.ts'

export interface InvokeAllOptions<V> extends CallOptions {
  /** On which entries; tested again when the processor is about to run. Left out: all. */
  readonly where?: Filter<V> | undefined
}

/** The argument may be left out where the processor can do without. */
type ArgumentAnd<A, O> = undefined extends A
  ? [argument?: A, options?: O | undefined]
  : [argument: A, options?: O | undefined]

/** What a caller gets of a processor that returns an `R`: nothing travels as null. */
export type ResultOf<R> = R extends void ? null : R

const EMPTY = new Uint8Array(0)

export class GridMap<K extends Key = string, V = unknown> {
  readonly name: string
  readonly #router: Router
  readonly #gate: MapGate
  /** Where reads look first, if this was asked for; and where the map's near cache stands, whoever asked for it. */
  readonly #near: Near | undefined
  readonly #place: NearPlace
  readonly #isCrowded = (): boolean => this.#router.calls.isCrowded

  /** Maps come from `grid.map(name)`. @internal */
  constructor(name: string, router: Router, gate: MapGate, near: Near | undefined, place: NearPlace) {
    this.name = name
    this.#router = router
    this.#gate = gate
    this.#near = near
    this.#place = place
  }

  /** What the near cache has done, and what it holds; `undefined` without one. */
  get nearCacheStats(): NearCacheStats | undefined {
    return this.#near?.cache.stats
  }

  /**
   * The value of `key`, or `undefined` where there is no entry. With a near cache it is frozen, shared with other readers,
   * and as stale as {@link NearCacheOptions} says, unless `consistency` is `'confirmed'`. With `read: 'any'` it may be as stale
   * as {@link GetOptions} says.
   */
  get(key: K, options?: GetOptions): Promise<V | undefined> {
    if (this.#near !== undefined && options?.read !== 'any')
      return this.#near.get(key, options) as Promise<V | undefined>
    return this.#call(Operation.get, key, writeNothing, 0, 0, toValue, options, GET_OPTIONS) as Promise<
      V | undefined
    >
  }

  /** The entry of `key` with its version and expiry, or `undefined`. `read` as `get`. */
  getEntry(key: K, options?: GetOptions): Promise<Entry<K, V> | undefined> {
    return this.#call(Operation.getEntry, key, writeNothing, 0, 0, toEntry, options, GET_OPTIONS) as Promise<
      Entry<K, V> | undefined
    >
  }

  /** Whether there is an entry for `key`. A near cache answers what it knows. `read` as `get`. */
  has(key: K, options?: GetOptions): Promise<boolean> {
    const known = options === undefined ? this.#near?.cache.has(key) : undefined
    if (known !== undefined) return Promise.resolve(known)
    return this.#call(Operation.has, key, writeNothing, 0, 0, toYes, options, GET_OPTIONS) as Promise<boolean>
  }

  /** Stores `value` under `key`. @throws GridError `BAD_KEY`, `BAD_VALUE`, `TOO_LARGE`, `STORE_FULL` */
  put(key: K, value: V, options?: PutOptions): Promise<void> {
    const ttlMs = wireTtl(options?.ttlMs)
    return this.#call(
      Operation.put,
      key,
      writePut,
      ttlMs,
      value,
      toNothing,
      options,
      PUT_OPTIONS,
    ) as Promise<void>
  }

  /** Stores `value` under `key` unless there is an entry; says whether it did. Errors as `put`. */
  putIfAbsent(key: K, value: V, options?: PutOptions): Promise<boolean> {
    const ttlMs = wireTtl(options?.ttlMs)
    return this.#call(
      Operation.putIfAbsent,
      key,
      writePut,
      ttlMs,
      value,
      toYes,
      options,
      PUT_OPTIONS,
    ) as Promise<boolean>
  }

  /**
   * Stores `value` under `key` if there is an entry, and with `ifVersion` only if it still has that version; says
   * whether it did. Errors as `put`, and `BAD_TOKEN`.
   */
  replace(key: K, value: V, options?: ReplaceOptions): Promise<boolean> {
    const replacement = { ttlMs: wireTtl(options?.ttlMs), ifVersion: options?.ifVersion }
    return this.#call(
      Operation.replace,
      key,
      writeReplace,
      replacement,
      value,
      toYes,
      options,
      REPLACE_OPTIONS,
    ) as Promise<boolean>
  }

  /** Removes the entry of `key`, with `ifVersion` only that version of it; says whether it did. */
  remove(key: K, options?: RemoveOptions): Promise<boolean> {
    return this.#call(
      Operation.remove,
      key,
      writeRemove,
      options?.ifVersion,
      undefined,
      toYes,
      options,
      REMOVE_OPTIONS,
    ) as Promise<boolean>
  }

  /**
   * Changes the value of `key` by operators (`$set $unset $inc $mul $min $max $push $pull`) and returns the new one.
   * A missing entry starts as `{}`; an existing one keeps its expiry. @throws GridError `BAD_UPDATE`
   */
  update(key: K, update: Update<V>, options?: CallOptions): Promise<V> {
    return settled(() => {
      checkUpdate(update, this.#router.limits)
      return this.#call(
        Operation.update,
        key,
        writeDocument,
        update,
        undefined,
        toValue,
        options,
        CALL_OPTIONS,
      ) as Promise<V>
    })
  }

  /**
   * Runs an entry processor on the entry of `key`, at its owner, and returns its result, null for
   * none. It takes effect once.
   *
   * @throws GridError `UNKNOWN_PROCESSOR`, `PROCESSOR_FAILED` (nothing changed), `RESULT_TOO_LARGE`
   */
  invoke<A, R>(
    key: K,
    processor: Processor<K, V, A, R>,
    ...rest: ArgumentAnd<A, CallOptions>
  ): Promise<ResultOf<R>>
  invoke(key: K, processor: string, argument?: unknown, options?: CallOptions): Promise<unknown>
  invoke(
    key: K,
    processor: string | { readonly name: string },
    argument?: unknown,
    options?: CallOptions,
  ): Promise<unknown> {
    return settled(() => {
      const invocation: Invocation = { name: nameOf(processor), where: EMPTY }
      return this.#call(
        Operation.invoke,
        key,
        writeInvoke,
        invocation,
        argument,
        toResult,
        options,
        CALL_OPTIONS,
      )
    })
  }

  /**
   * Runs an entry processor on every entry that matches, key by key, and returns the results by key. Entries that
   * come to match meanwhile may be left out. @throws PartialError
   */
  invokeAll<A, R>(
    processor: Processor<K, V, A, R>,
    ...rest: ArgumentAnd<A, InvokeAllOptions<V>>
  ): Promise<Map<K, ResultOf<R>>>
  invokeAll(processor: string, argument?: unknown, options?: InvokeAllOptions<V>): Promise<Map<K, unknown>>
  async invokeAll(
    processor: string | { readonly name: string },
    argument?: unknown,
    options: InvokeAllOptions<V> = {},
  ): Promise<Map<K, unknown>> {
    const { where, ...call } = options
    checkCallOptions(call, CALL_OPTIONS)
    const invocation: Invocation = {
      name: nameOf(processor),
      where: encodeFilter(where, this.#router.limits),
    }
    const bulk = this.#bulk(Operation.invoke)
    await bulk.each(this.keys(options), (key) =>
      this.#callIn(bulk, Operation.invoke, key, writeInvoke, invocation, argument, toMatch, call),
    )
    const results = new Map<K, unknown>()
    for (const [number, key] of bulk.keys.entries()) {
      const match = bulk.results[number] as { readonly result: unknown } | undefined
      if (match !== undefined) results.set(key as K, match.result)
    }
    return results
  }

  /** The values of `keys`, in their order, each as by `get`; keys without an entry are left out. @throws PartialError */
  async getAll(keys: Iterable<K>, options?: GetOptions): Promise<Map<K, V>> {
    const bulk = this.#bulk(Operation.get)
    const { calls } = this.#router
    if (this.#near !== undefined || calls.isBeside || options?.read === 'any')
      await bulk.each(keys, (key) => bulk.follow(key, this.get(key, options)))
    else {
      if (options !== undefined) checkCallOptions(options, GET_OPTIONS)
      await readAll(bulk, calls, this.#gate, [...keys], options)
    }
    const values = new Map<K, V>()
    for (const [number, key] of bulk.keys.entries()) {
      const value = bulk.results[number]
      if (value !== undefined) values.set(key as K, value as V)
    }
    return values
  }

  /** Stores all entries, key by key: when some fail, the others are stored. @throws PartialError */
  async putAll(entries: Iterable<readonly [K, V]>, options?: PutOptions): Promise<void> {
    if (options !== undefined) checkCallOptions(options, PUT_OPTIONS)
    const ttlMs = wireTtl(options?.ttlMs)
    const bulk = this.#bulk(Operation.put)
    await bulk.each(entries, ([key, value]) =>
      this.#callIn(bulk, Operation.put, key, writePut, ttlMs, value, toNothing, options),
    )
  }

  /** Removes the entries of `keys`; says how many there were. @throws PartialError */
  async removeAll(keys: Iterable<K>, options?: CallOptions): Promise<number> {
    if (options !== undefined) checkCallOptions(options, CALL_OPTIONS)
    const bulk = this.#bulk(Operation.remove)
    await bulk.each(keys, (key) =>
      this.#callIn(bulk, Operation.remove, key, writeRemove, undefined, undefined, toYes, options),
    )
    return bulk.results.filter((removed) => removed === true).length
  }

  /** How many entries there are: the sum over partitions, each as of its own moment. */
  async size(options?: ReadOptions): Promise<number> {
    const counts = await this.#callAll(Operation.size, toCount, options, READ_OPTIONS)
    return counts.reduce<number>((sum, count) => sum + (count as number), 0)
  }

  /** Removes every entry, partition by partition; says how many there were. */
  async clear(options?: CallOptions): Promise<number> {
    const counts = await this.#callAll(Operation.clear, toCount, options, CALL_OPTIONS)
    return counts.reduce<number>((sum, count) => sum + (count as number), 0)
  }

  /**
   * All entries that match, in no order, page by page. What is put or removed meanwhile may be seen or not; what is
   * there all the time is seen once.
   */
  async *entries(options: ScanOptions<V> = {}): AsyncGenerator<[K, V], void, undefined> {
    for await (const page of scanPages(this.#router, this.#gate, true, options))
      for (const { key, value } of page.rows) yield [key as K, value as V]
  }

  /** As `entries`, keys only. */
  async *keys(options: ScanOptions<V> = {}): AsyncGenerator<K, void, undefined> {
    for await (const page of scanPages(this.#router, this.#gate, false, options))
      for (const { key } of page.rows) yield key as K
  }

  /**
   * The entries that match, ordered, cut and projected next to the data. With `select` the values hold only what was
   * selected, nested as they were. @throws GridError `BAD_FILTER`, `RESULT_TOO_LARGE`
   */
  query(query?: Query<V> & { readonly select?: undefined }): Promise<{ readonly key: K; readonly value: V }[]>
  query(query: Query<V>): Promise<{ readonly key: K; readonly value: Selected<V> }[]>
  query(query: Query<V> = {}): Promise<{ readonly key: K; readonly value: never }[]> {
    const rows: Promise<Row[]> = runQuery(this.#router, this.#gate, query as unknown as Query<never>)
    return rows as Promise<{ readonly key: K; readonly value: never }[]>
  }

  /**
   * Every change of the entries that match, in order for each key, each once: first the entries as they are (unless
   * `initial` is false), then what happens to them. See {@link Watch}.
   */
  watch(options: WatchOptions<V> = {}): Watch<K, V> {
    return watchMap<K, V>(this.#router, this.#gate, options as unknown as WatchOptions<never>)
  }

  #call(
    operation: Operation,
    key: K,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: CallOptions | undefined,
    known: readonly string[],
  ): Promise<unknown> {
    if (options !== undefined)
      try {
        checkCallOptions(options, known)
      } catch (error) {
        return Promise.reject(error)
      }
    const cache = this.#written(operation)
    cache?.drop(key)
    const answer = this.#router.calls.call(this.#gate, operation, key, write, a, b, decode, options)
    return cache === undefined ? answer : cache.dropAfter(answer, key)
  }

  #bulk(operation: Operation): Bulk {
    const cache = this.#written(operation)
    return new Bulk(this.#isCrowded, cache && ((key) => cache.drop(key)))
  }

  /** As `#call`, of options that are checked, in a bulk operation. */
  #callIn(
    bulk: Bulk,
    operation: Operation,
    key: K,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: CallOptions | undefined,
  ): void {
    const number = bulk.begin(key)
    this.#written(operation)?.drop(key)
    try {
      const { calls } = this.#router
      const partition = calls.partitionOfKey(key)
      calls.submit(bulk, number, this.#gate, operation, partition, write, a, b, decode, options)
    } catch (error) {
      bulk.fail(number, error)
    }
  }

  #callAll(
    operation: Operation,
    decode: Decoder,
    options: CallOptions | undefined,
    known: readonly string[],
  ): Promise<unknown[]> {
    if (options !== undefined) checkCallOptions(options, known)
    const router = this.#router
    const cache = this.#written(operation)
    cache?.clearedAll()
    const answers = Promise.all(
      router.lanes.map(({ partition }) =>
        router.calls.callPartition(this.#gate, operation, partition, writeNothing, 0, 0, decode, options),
      ),
    )
    return cache === undefined ? answers : cache.clearedAfter(answers)
  }

  /** The near cache of this map, whoever asked for it, if the call is one that changes entries. */
  #written(operation: Operation): NearCache | undefined {
    const near = this.#place.near
    return near !== undefined && isWrite(operation) ? near.cache : undefined
  }
}

/** A promise in any case, also of what is refused before it is sent. */
function settled<T>(make: () => Promise<T>): Promise<T> {
  try {
    return make()
  } catch (error) {
    return Promise.reject(error)
  }
}

function nameOf(processor: string | { readonly name: string }): string {
  const name = typeof processor === 'string' ? processor : processor?.name
  if (typeof name !== 'string' || name === '' || name.length > 128)
    throw new GridError(
      'BAD_OPTION',
      `${JSON.stringify(name)} is no processor: give what defineProcessor returned`,
    )
  return name
}
