/**
 * Reads that a backup answers in the owner's place, for clients that have asked for it (`read: 'any'`).
 *
 * It answers from what it has indexed, a state of the committed log, under three conditions: it can prove that nothing
 * is missing that was acknowledged longer ago than the client allows (backup-log.ts); its commit has reached whatever the
 * client has seen, so that nobody sees their own reads and writes go back; and the entry is not past its time. That
 * last one takes a record, which only the owner can make: an entry that was gone here by one clock and there again by
 * another would have gone back. Where one of them fails the client is sent to the owner. A read here is no use of the
 * entry (`maxIdleMs`, eviction), and does not notice that it has been idle for too long.
 */

import { ByteReader, ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { BackupLog } from '../replication/backup-log.ts'
import type { LogStore } from '../store/log-store.ts'
import { RecordView } from '../store/record.ts'
import { type CallView, type Freshness, ReplyStatus, readFreshness } from '../wire/message.ts'
import type { EntryRead } from './call.ts'
import { hashOfKey } from './call-handler.ts'
import type { Context, Now, Outlet } from './context.ts'
import { entryReads } from './operation.ts'
import { type Position, sendReply } from './reply-queue.ts'

/** What this replica is at the moment. */
export interface BackupState {
  readonly era: number
  readonly backup: BackupLog
  readonly store: LogStore
}

const PAYLOAD_BYTES = 64
/** A large answer is not kept as room by every partition that has given one. */
const PAYLOAD_KEPT_BYTES = 64 * 1024
const EMPTY = Buffer.alloc(0)

export class BackupReads implements EntryRead {
  readonly #partition: number
  readonly #context: Context
  readonly #argument = new ByteReader(EMPTY)
  // the call at hand, valid during one turn
  #view!: CallView
  #client!: Outlet
  #position!: Position
  #exists = false
  readonly found = new RecordView()
  payload = new ByteWriter(PAYLOAD_BYTES)
  /** All that is indexed is committed. */
  readonly dependsOn = 0

  constructor(partition: number, context: Context) {
    this.#partition = partition
    this.#context = context
  }

  /** Answers a call, or returns false: its client is to ask the owner, who also says what is wrong with it. */
  answer(view: CallView, client: Outlet, now: Now, state: BackupState): boolean {
    const read = entryReads[view.operation]
    if (!read || !this.#context.mapConfig(view.map)) return false
    try {
      const { bytes, keyStart, keyEnd, map, argumentStart, argumentEnd } = view
      const wanted = readFreshness(this.#argument.reset(bytes, argumentStart, argumentEnd))
      if (!isNewEnough(state, wanted, now)) return false
      const { era, backup } = state
      let place = backup.commit
      const location = state.store.find(map, hashOfKey(view, this.#context), bytes, keyStart, keyEnd)
      this.#exists = location >= 0
      if (this.#exists) {
        const { expiresAt, seq } = state.store.view(location, this.found)
        if (expiresAt !== 0 && expiresAt <= now.wallMs) return false
        // It holds from there on, and other replicas may not know of this commit yet (see `CallHandler.#shown`).
        place = Math.min(place, Math.max(seq, wanted.seq))
      }
      // The epoch that the owner has reached: after a newer one its own next answer would look like an older one.
      this.#position = { era, epoch: backup.toldEpoch, seq: place }
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      return false
    }
    this.#view = view
    this.#client = client
    if (this.payload.buffer.length > PAYLOAD_KEPT_BYTES) this.payload = new ByteWriter(PAYLOAD_BYTES)
    else this.payload.clear()
    read(this)
    return true
  }

  lookup(): boolean {
    return this.#exists
  }

  read(dependsOn: number): void {
    const { payload } = this
    this.readBytes(dependsOn, payload.buffer, payload.start, payload.length)
  }

  readBytes(_dependsOn: number, bytes: Uint8Array, start: number, end: number): void {
    const { call } = this.#view
    sendReply(this.#client, this.#partition, call, ReplyStatus.ok, this.#position, bytes, start, end)
  }
}

function isNewEnough({ era, backup }: BackupState, wanted: Freshness, now: Now): boolean {
  if (era < wanted.era || (era === wanted.era && !backup.reaches(wanted.epoch, wanted.seq))) return false
  return backup.isFresh(now.monoMs, now.wallMs, wanted.maxStaleMs)
}
