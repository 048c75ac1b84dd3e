/**
 * The call at hand, as an operation sees it: its argument, the entry that it is about, and the ways to end.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts'
import type { Limits } from '../base/limits.ts'
import type { LogStore } from '../store/log-store.ts'
import type { RecordView } from '../store/record.ts'
import type { CallView } from '../wire/message.ts'
import type { Now, Outlet } from './context.ts'
import type { Housekeeping } from './housekeeping.ts'
import type { Ownership } from './ownership.ts'

/** A read of one entry, by a call at its owner, a program beside the owner, or a call at a backup. */
export interface EntryRead {
  /** The answer, as the operation writes it. */
  readonly payload: ByteWriter
  /** The entry found by `lookup`; valid until something is written. */
  readonly found: RecordView
  /** The record that the outcome of `lookup` depends on. */
  readonly dependsOn: number
  /**
   * Finds the entry of the call's key: true, and `found` is it, or false. Either way `dependsOn` is the record that made
   * it so. An entry whose time has come is removed by a record first.
   */
  lookup(): boolean
  /** Answers with `payload`, once `dependsOn` is committed and nobody else can have become the owner. */
  read(dependsOn: number): void
  /** The same with bytes that may be anyone's. */
  readBytes(dependsOn: number, bytes: Uint8Array, start: number, end: number): void
}

export interface Call extends EntryRead {
  /** Makes other bytes of the call its key, for an operation on many. @throws GridError where they are none of this partition */
  setKey(start: number, end: number): void
  readonly owner: Ownership
  readonly housekeeping: Housekeeping
  readonly store: LogStore
  readonly limits: Limits
  readonly view: CallView
  readonly client: Outlet
  readonly now: Now
  /** Reads the argument. */
  readonly argument: ByteReader
  /** A new value, as the operation encodes it. */
  readonly value: ByteWriter
  /**
   * Answers with `payload` a write that turned out to change nothing. Of a call that was sent before, this too is remembered
   * by a record: else its first copy, late on another link, could take effect after the answer.
   */
  unchanged(dependsOn: number): void
  /** Stores a value under the call's key and answers with `payload`. */
  put(bytes: Uint8Array, start: number, end: number, expiresAt: number): void
  /** Removes the call's key and answers with `payload`. */
  remove(): void
  /** Removes every entry of the map in this partition and answers with `payload`. */
  clear(): void
  /** Answers later, with the rows of the query in the argument. */
  query(): void
}
