/**
 * What callers may ask for, and the check of it: an option that nobody knows is refused with the nearest known one,
 * because a misspelt deadline that is silently ignored is found in production.
 */

import { GridError } from '../core/base/errors.ts'
import { defaultLimits, type Limits, TIMEOUT_MAX_MS } from '../core/base/limits.ts'
import { isPlainObject, suggestion } from '../core/query/path.ts'
import type { LocalReader } from '../core/wire/local-reader.ts'
import { TTL_DEFAULT, TTL_NONE } from '../core/wire/message.ts'
import type { Version } from '../core/wire/processor.ts'
import { parseAddress } from '../transport/address.ts'
import type { Transport } from '../transport/transport.ts'

export interface ConnectOptions {
  /** Name of the cluster; members of another one are refused with `WRONG_CLUSTER`. */
  readonly cluster: string
  /** Addresses of NATS servers (`nats://host:4222`), through which members are found. */
  readonly nats?: string | readonly string[] | undefined
  /** Addresses of members (`host:port`), one or a list. One that answers is enough. At least one of `nats` and `members`. */
  readonly members?: string | readonly string[] | undefined
  /**
   * Deadline of `connect` and, unless a call says otherwise, of every call, in milliseconds. Default 10,000; at most
   * 150,000, because members forget after four times that what an idle client has done.
   */
  readonly timeoutMs?: number | undefined
  /** Name of this client, for people to read. */
  readonly name?: string | undefined
  /** Bounds that differ from the defaults; values and keys over the members' bounds are refused there. */
  readonly limits?: Partial<Limits> | undefined
  /**
   * A member of this cluster that runs in this process (`startMember`). Reads of single keys that it owns are answered from
   * its store, without a link: exactly those that it would answer at once over one, with the same consistency. All else
   * goes over links, and so does a read while this client has other calls under way on the same partition. `nats` or
   * `members` is needed all the same.
   */
  readonly local?: LocalReader | undefined
  /** Gives up connecting. */
  readonly signal?: AbortSignal | undefined
  /** What carries the links. Default TCP. @internal */
  readonly transport?: Transport | undefined
}

export interface CallOptions {
  /** Gives the call up: `ABORTED`, with `applied: 'unknown'` for a write that may have been sent. */
  readonly signal?: AbortSignal | undefined
  /** Deadline in milliseconds, at most 150,000; measured to about 50 ms. Default: `timeoutMs` of `connect`. */
  readonly timeoutMs?: number | undefined
}

export interface ReadOptions extends CallOptions {
  /** Both are linearizable. `lease` (default) is answered by the owner alone; `confirmed` trusts no clock. */
  readonly consistency?: 'lease' | 'confirmed' | undefined
}

/** Of a read of single keys. */
export interface GetOptions extends ReadOptions {
  /**
   * Who may answer. `owner` (default): linearizable, see `consistency`, which goes with it alone. `any`: a backup as well, by
   * turns, so that reads of the same keys are spread over the replicas. Then:
   *
   * - It misses no write that was acknowledged more than `maxStaleMs` before the read was made, whoever had made it. It
   *   never sees one that could still be lost.
   * - This client sees its own writes on the key: whichever was made before the read and has not failed. On one partition,
   *   and so on one key, it never sees anything older than what an answer had shown it before the read was made.
   * - Nothing more: it is not linearizable. Two clients may see a write in turn, the one that asks later not at all; and
   *   what is read of two keys need not have been there at the same time. The near cache is neither asked nor filled, and
   *   a read of it may be older than this one.
   *
   * A backup that cannot prove all that leaves the read to the owner: that costs a second way and is no error. An entry past
   * its time (by a member's clock) is gone as it is at the owner. Reads that a backup answers do not count as use for
   * `maxIdleMs` and eviction; that an entry has been idle for too long is seen once its owner has removed it.
   */
  readonly read?: 'owner' | 'any' | undefined
  /**
   * With `read: 'any'`: by how many milliseconds the answer may be stale, whole, 1 to 600,000. Default 1,000. Backups renew their
   * proof every 250 ms or so and are then that old already: below about 700 ms most reads go to the owner.
   */
  readonly maxStaleMs?: number | undefined
}

export interface PutOptions extends CallOptions {
  /** Time to live in whole milliseconds; `null`: none. Left out: the map's own. */
  readonly ttlMs?: number | null | undefined
}

export interface ReplaceOptions extends CallOptions {
  /** Time to live in whole milliseconds; `null`: none. Left out: the entry keeps its expiry. */
  readonly ttlMs?: number | null | undefined
  /** Replace only if the entry still has this version. */
  readonly ifVersion?: Version | undefined
}

export interface RemoveOptions extends CallOptions {
  /** Remove only if the entry still has this version. */
  readonly ifVersion?: Version | undefined
}

/** Configuration of a map, given by whoever creates it. Another configuration is refused with `MAP_CONFLICT`. */
export interface MapOptions {
  /** Time to live of entries that are put without one, in whole milliseconds. Default: none. */
  readonly ttlMs?: number | undefined
  /** Time after its last read or write after which an entry expires, in whole milliseconds. Default: none. */
  readonly maxIdleMs?: number | undefined
  /** Which entries go when there are too many: the least recently (`lru`) or least often used (`lfu`). */
  readonly eviction?: EvictionOptions | undefined
  /** Keeps entries that are read in this client. No part of the map's configuration: each client has it or not. */
  readonly nearCache?: NearCacheOptions | undefined
}

/**
 * Entries of a map kept by this client, for `get`, `has` and `getAll`: a read that finds its entry costs no message.
 *
 * It may be stale by `maxStaleMs`: it never misses a write that was acknowledged, or an expiry that was carried out, longer
 * ago than that before the read began. It always sees the writes that this client made before it. Where that cannot be
 * proven (an owner that does not answer, a lost connection) the read goes to the owner as without a near cache, and
 * so does `consistency: 'confirmed'`, always. Other reads do not use it.
 *
 * Values are shared by all who read them, and frozen to their depth. The bytes of a `Uint8Array` and the time of a `Date`
 * cannot be frozen: do not change them. Reads that are served here do not count for `maxIdleMs` or eviction.
 */
export interface NearCacheOptions {
  /** Entries to keep, absent ones that were asked for included; then the least recently read go. 1 to 1,000,000. Default 10,000. */
  readonly maxEntries?: number | undefined
  /** Bytes to keep: encoded keys and values, and about 300 for each. From 1,024 up. Default 16 MiB. */
  readonly maxBytes?: number | undefined
  /** By how many milliseconds a read may be stale, 20 to 600,000. Members are asked four times as often. Default 1,000. */
  readonly maxStaleMs?: number | undefined
}

export interface EvictionOptions {
  readonly policy: 'lru' | 'lfu'
  /** Entries that the map may hold, in all. */
  readonly maxEntries?: number | undefined
  /** Bytes that the map may hold, in all. */
  readonly maxBytes?: number | undefined
}

export const CALL_OPTIONS = ['signal', 'timeoutMs'] as const
export const READ_OPTIONS = [...CALL_OPTIONS, 'consistency'] as const
export const GET_OPTIONS = [...READ_OPTIONS, 'read', 'maxStaleMs'] as const
export const PUT_OPTIONS = [...CALL_OPTIONS, 'ttlMs'] as const
export const REPLACE_OPTIONS = [...PUT_OPTIONS, 'ifVersion'] as const
export const REMOVE_OPTIONS = [...CALL_OPTIONS, 'ifVersion'] as const
const CONNECT_OPTIONS = [
  'cluster',
  'nats',
  'members',
  'timeoutMs',
  'name',
  'limits',
  'local',
  'signal',
  'transport',
] as const
const MAP_OPTIONS = ['ttlMs', 'maxIdleMs', 'eviction', 'nearCache'] as const
const EVICTION_OPTIONS = ['policy', 'maxEntries', 'maxBytes'] as const
/** Least and most. */
const NEAR_CACHE_OPTIONS = {
  maxEntries: [1, 1_000_000],
  maxBytes: [1024, Number.MAX_SAFE_INTEGER],
  maxStaleMs: [20, 600_000],
} as const

/** How stale a read from a backup may be, unless it says so itself, and at most. */
export const READ_STALE_MS = 1000
const READ_STALE_MAX_MS = 600_000

/** Longer deadlines and times to live are refused: they are mistakes of unit. About 3,000 years. */
const DURATION_MAX_MS = 1e14

/** Every option that any kind of call takes, by name. */
export interface AnyCallOptions extends GetOptions {
  readonly ttlMs?: number | null | undefined
  readonly ifVersion?: Version | undefined
}

/** @throws GridError `BAD_OPTION` */
export function checkCallOptions(options: AnyCallOptions, known: readonly string[]): void {
  checkNames(options, known, 'option')
  const { timeoutMs, signal, consistency, ttlMs } = options
  if (timeoutMs !== undefined) checkTimeout(timeoutMs)
  if (ttlMs !== undefined && ttlMs !== null) checkDuration('ttlMs', ttlMs)
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new GridError('BAD_OPTION', 'signal must be an AbortSignal')
  if (consistency !== undefined && consistency !== 'lease' && consistency !== 'confirmed')
    throw new GridError('BAD_OPTION', `consistency is ${show(consistency)}; must be 'lease' or 'confirmed'`)
  if (options.read !== undefined || options.maxStaleMs !== undefined) checkRead(options)
}

function checkRead({ read, maxStaleMs, consistency }: AnyCallOptions): void {
  if (read !== undefined && read !== 'owner' && read !== 'any')
    throw new GridError('BAD_OPTION', `read is ${show(read)}; must be 'owner' or 'any'`)
  if (read === 'any' && consistency !== undefined)
    throw new GridError(
      'BAD_OPTION',
      "consistency says how the owner answers: it does not go with read: 'any'",
    )
  if (maxStaleMs === undefined) return
  if (read !== 'any')
    throw new GridError(
      'BAD_OPTION',
      "maxStaleMs goes with read: 'any' alone; the owner's answers are never stale",
    )
  if (!(Number.isInteger(maxStaleMs) && maxStaleMs >= 1 && maxStaleMs <= READ_STALE_MAX_MS))
    throw new GridError(
      'BAD_OPTION',
      `maxStaleMs is ${show(maxStaleMs)}; must be a whole number of milliseconds, 1 to ${READ_STALE_MAX_MS}`,
    )
}

/** A `ttlMs` as it stands on the wire, before its check. */
export function wireTtl(ttlMs: number | null | undefined): number {
  return ttlMs === undefined ? TTL_DEFAULT : ttlMs === null ? TTL_NONE : ttlMs
}

/** @throws GridError `BAD_OPTION` */
export function checkConnectOptions(options: ConnectOptions): void {
  checkNames(options, CONNECT_OPTIONS, 'option')
  const { cluster, nats, members, timeoutMs, name, limits, local } = options
  if (typeof cluster !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(cluster))
    throw new GridError(
      'BAD_OPTION',
      `cluster is ${show(cluster)}; must be 1 to 64 letters, digits, "-" or "_"`,
    )
  const servers = [nats ?? []].flat()
  const addresses: readonly unknown[] = addressesOf(members)
  if (servers.length + addresses.length === 0)
    throw new GridError('BAD_OPTION', 'give nats (where to find members) or members (their addresses)')
  for (const text of [...servers, ...addresses])
    if (typeof text !== 'string' || text === '')
      throw new GridError('BAD_OPTION', `${show(text)} is no address`)
  for (const text of addresses)
    if (parseAddress(text as string).port === 0)
      throw new GridError('BAD_OPTION', `${show(text)} has port 0, which cannot be connected to`)
  if (timeoutMs !== undefined) checkTimeout(timeoutMs)
  if (name !== undefined && typeof name !== 'string')
    throw new GridError('BAD_OPTION', `name is ${show(name)}; must be a string`)
  if (limits !== undefined) checkLimits(limits)
  if (local !== undefined && typeof local?.readLocal !== 'function')
    throw new GridError('BAD_OPTION', 'local must be a member that startMember has returned')
}

/** The addresses of members, of which there may be one or many. */
export function addressesOf(members: ConnectOptions['members']): readonly string[] {
  return members === undefined ? [] : [members].flat()
}

function checkLimits(limits: Partial<Limits>): void {
  checkNames(limits, Object.keys(defaultLimits), 'limit')
  for (const [name, value] of Object.entries(limits))
    if (value !== undefined && !(Number.isInteger(value) && value > 0))
      throw new GridError('BAD_OPTION', `limit ${name} is ${show(value)}; must be a whole number above 0`)
  if ((limits.keyBytesMax ?? 0) > 0xffff)
    throw new GridError('BAD_OPTION', `limit keyBytesMax is ${limits.keyBytesMax}; must be at most 65,535`)
}

/** @throws GridError `BAD_OPTION` */
export function checkMapOptions(options: MapOptions): void {
  checkNames(options, MAP_OPTIONS, 'map option')
  const { ttlMs, maxIdleMs, eviction, nearCache } = options
  if (ttlMs !== undefined) checkDuration('ttlMs', ttlMs)
  if (maxIdleMs !== undefined) checkDuration('maxIdleMs', maxIdleMs)
  if (nearCache !== undefined) checkNearCache(nearCache)
  if (eviction === undefined) return
  checkNames(eviction, EVICTION_OPTIONS, 'eviction option')
  const { policy, maxEntries, maxBytes } = eviction
  if (policy !== 'lru' && policy !== 'lfu')
    throw new GridError('BAD_OPTION', `eviction policy is ${show(policy)}; must be 'lru' or 'lfu'`)
  if (maxEntries === undefined && maxBytes === undefined)
    throw new GridError('BAD_OPTION', 'eviction needs maxEntries or maxBytes')
  for (const [name, value] of Object.entries({ maxEntries, maxBytes }))
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
      throw new GridError('BAD_OPTION', `eviction ${name} is ${show(value)}; must be a whole number above 0`)
}

function checkNearCache(options: NearCacheOptions): void {
  checkNames(options, Object.keys(NEAR_CACHE_OPTIONS), 'near cache option')
  for (const [name, [min, max]] of Object.entries(NEAR_CACHE_OPTIONS)) {
    const value = options[name as keyof NearCacheOptions]
    if (value !== undefined && !(Number.isInteger(value) && value >= min && value <= max))
      throw new GridError(
        'BAD_OPTION',
        `near cache ${name} is ${show(value)}; must be a whole number, ${min} to ${max}`,
      )
  }
}

/** What was given, and not as undefined. */
export function withoutUndefined<T extends object>(
  options: T,
): { [N in keyof T]?: Exclude<T[N], undefined> } {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given) as { [N in keyof T]?: Exclude<T[N], undefined> }
}

/** Refuses a member of `given` that is not among `known`. */
export function checkNames(given: object, known: readonly string[], what: string): void {
  if (!isPlainObject(given)) throw new GridError('BAD_OPTION', `${what}s must be a plain object`)
  for (const name of Object.keys(given))
    if (!known.includes(name))
      throw new GridError('BAD_OPTION', `unknown ${what} ${JSON.stringify(name)}: ${suggestion(name, known)}`)
}

function checkTimeout(timeoutMs: unknown): void {
  if (!(typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= TIMEOUT_MAX_MS))
    throw new GridError(
      'BAD_OPTION',
      `timeoutMs is ${show(timeoutMs)}; must be 1 to ${TIMEOUT_MAX_MS} milliseconds`,
    )
}

function checkDuration(name: string, value: unknown): void {
  if (!(Number.isInteger(value) && (value as number) >= 1 && (value as number) <= DURATION_MAX_MS))
    throw new GridError(
      'BAD_OPTION',
      `${name} is ${show(value)}; must be a whole number of milliseconds from 1`,
    )
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
