/**
 * Entry processors: functions that run on the owner of an entry, next to the data, and take effect once.
 *
 * A processor is defined in a plain module. Members load the module and run the function; programs import it for
 * its types and its name. So this file holds nothing but types and one small constructor.
 */

import { GridError } from '../base/errors.ts'
import type { Key } from './key.ts'

declare const versionBrand: unique symbol

/** The version of an entry: opaque, equal only to itself, valid in the cluster that made it. */
export type Version = string & { readonly [versionBrand]: never }

export interface SetOptions {
  /** Time to live of the new value in whole milliseconds; `null`: none. Left out: the entry keeps its expiry. */
  readonly ttlMs?: number | null | undefined
}

/** The entry that a processor runs on. It is valid only while the processor runs. */
export interface EntryView<K extends Key = Key, V = unknown> {
  readonly key: K
  /**
   * The value as it was when the processor began, or `undefined` where there was no entry; `set` and `remove` do not
   * change it. It is the processor's own copy.
   */
  readonly value: V | undefined
  readonly exists: boolean
  readonly version: Version | undefined
  /** Stores a value, creating the entry where there is none. The last of `set` and `remove` counts. */
  set(value: V, options?: SetOptions): void
  /** Removes the entry. */
  remove(): void
}

/** What {@link defineProcessor} returns. `K`, `V`, `A` and `R` are key, value, argument and result. */
export interface Processor<K extends Key = Key, V = unknown, A = unknown, R = unknown> {
  readonly kind: 'processor'
  readonly name: string
  readonly run: (entry: EntryView<K, V>, argument: A) => R
}

/** What a member runs: a processor's function, of whose types nothing is known there. */
export type ProcessorFunction = Processor['run']

/** Refuses functions that return a promise, or may. */
type NotAsync<R> = 0 extends 1 & R
  ? unknown
  : [Extract<R, PromiseLike<unknown>>] extends [never]
    ? unknown
    : 'a processor cannot be asynchronous'

const NAME = /^[A-Za-z_][\w.-]{0,127}$/

/**
 * Defines an entry processor: `defineProcessor('add', (entry: EntryView<string, number>, by: number) => …)`.
 *
 * `name` is what travels: 1–128 letters, digits, `_`, `.` or `-`, beginning with a letter, unique among the modules
 * of a member. `run` gets the entry and the argument, and returns the caller's result, which must be storable
 * (`undefined` becomes null). It runs at the entry's owner alone, and only what it did to the entry is replicated, so it
 * may use the clock and chance; but it may run again where what it did was lost, so it must have no other effect. It
 * cannot be asynchronous: nothing else happens to the partition while it runs. When it throws, nothing is changed and
 * the caller gets `PROCESSOR_FAILED` with the message.
 *
 * @throws GridError `BAD_OPTION`
 */
export function defineProcessor<K extends Key, V, A, R>(
  name: string,
  run: ((entry: EntryView<K, V>, argument: A) => R) & NotAsync<R>,
): Processor<K, V, A, R> {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new GridError('BAD_OPTION', `processor name ${JSON.stringify(name)} must match ${NAME.source}`)
  if (typeof run !== 'function') throw new GridError('BAD_OPTION', `processor ${name} has no function`)
  return Object.freeze({ kind: 'processor', name, run })
}

/** Whether an export of a module is a processor. */
export function isProcessor(value: unknown): value is Processor<Key, unknown, unknown, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const { kind, name, run } = value as Partial<Record<'kind' | 'name' | 'run', unknown>>
  return kind === 'processor' && typeof name === 'string' && typeof run === 'function'
}
