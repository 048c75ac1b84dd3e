/**
 * What a watcher is told: one change, with the token from which a later watch goes on after it.
 */

import type { Key } from '../core/wire/key.ts'
import type { Version } from '../core/wire/processor.ts'
import { formatVersion } from './version.ts'
import type { Positions } from './watch-token.ts'

/** Why an entry is gone. */
export type RemoveCause = 'removed' | 'expired' | 'evicted'

interface Common {
  readonly partition: number
  /**
   * Opaque text that `watch({ resume })` accepts: it goes on after this change. Taken while this is the newest change
   * that the iterator has returned, it is exact; taken later, changes of other partitions may come a second time, but
   * none is left out.
   */
  readonly token: string
}

/** The entry as it was when the watch began or was reset (`snapshot`), or as it has become (`put`). */
export interface ValueChange<K, V, T extends string = 'snapshot' | 'put'> extends Common {
  readonly type: T
  readonly key: K
  readonly value: V
  readonly cause: undefined
  readonly version: Version
}

/**
 * The entry is gone (`remove`), or does not match the filter any more (`leave`). While snapshots are being told, it may be one
 * that was not told of: it went before its turn came.
 */
export interface GoneChange<K, T extends string = 'remove' | 'leave'> extends Common {
  readonly type: T
  readonly key: K
  readonly value: undefined
  readonly cause: RemoveCause | undefined
  readonly version: Version
}

/**
 * Every entry of the partition is gone (`clear`), or nothing that was told of it holds any more and what there is now
 * follows as `snapshot` (`reset`). Whoever keeps a copy drops the keys that `covers` says yes to.
 */
export interface PartitionChange<K, T extends string = 'clear' | 'reset'> extends Common {
  readonly type: T
  readonly key: undefined
  readonly value: undefined
  readonly cause: undefined
  readonly version: Version
  covers(key: K): boolean
}

/** One of six kinds, by `type`. One member of the union for each, so that the compiler can rule them out one by one. */
export type Change<K extends Key = Key, V = unknown> =
  | ValueChange<K, V, 'snapshot'>
  | ValueChange<K, V, 'put'>
  | GoneChange<K, 'remove'>
  | GoneChange<K, 'leave'>
  | PartitionChange<K, 'clear'>
  | PartitionChange<K, 'reset'>

export type ChangeType = Change['type']

/** Makes tokens and knows partitions: the watch that a change came through. */
export interface ChangeSource {
  tokenOf(change: ChangeRecord): string
  covers(partition: number, key: unknown): boolean
}

/** All kinds of changes in one shape; programs see it as a {@link Change}. */
export class ChangeRecord {
  readonly type: ChangeType
  readonly key: unknown
  readonly value: unknown
  readonly cause: RemoveCause | undefined
  readonly version: Version
  readonly partition: number
  readonly #source: ChangeSource
  /** Positions at or before the moment when this change was handed out. */
  #base: Positions | undefined
  #era = 0
  #seq = -1

  constructor(
    source: ChangeSource,
    type: ChangeType,
    partition: number,
    key: unknown,
    value: unknown,
    cause: RemoveCause | undefined,
    era: number,
    seq: number,
  ) {
    this.#source = source
    this.type = type
    this.partition = partition
    this.key = key
    this.value = value
    this.cause = cause
    this.version = formatVersion(era, seq)
  }

  /** The iterator hands this change out. */
  handOut(base: Positions, era: number, seq: number): void {
    this.#base = base
    this.#era = era
    this.#seq = seq
  }

  /** Positions that leave out nothing after this change. */
  positions(): Positions {
    const positions = this.#base!.copy()
    positions.set(this.partition, this.#era, this.#seq)
    return positions
  }

  get token(): string {
    return this.#source.tokenOf(this)
  }

  covers(key: unknown): boolean {
    return this.#source.covers(this.partition, key)
  }
}
