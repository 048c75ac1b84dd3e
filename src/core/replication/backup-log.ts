/**
 * The backup's side of replication: a log that follows its owner's, and a promise not to follow anyone else.
 *
 * Records are appended as they come and indexed only once they are known to be committed, so a tail that an owner's
 * death left uncommitted is cut off without undoing anything. Logs are matched by (seq, epoch) as in Raft and KIP-101:
 * matching by seq alone loses data. Nothing at or below the commit is ever cut off.
 *
 * A beacon's answer is a lease: for `graceMs` after sending it this replica will not try to become the owner.
 *
 * What is indexed is old by a time that this replica can prove by its own clocks alone: its answer to a beacon carries them,
 * the owner's next beacon brings them back, and says that whatever anybody acknowledged until then is at or below a commit.
 */

import { assert } from '../base/assert.ts'
import type { LogStore } from '../store/log-store.ts'
import { paddedAt, type RecordView } from '../store/record.ts'
import type { Replicate } from '../wire/peer-message.ts'
import type { EpochTable } from './epoch-table.ts'

export type Matched =
  /** Everything up to `seq` is held as the owner has it. */
  | { readonly kind: 'ack'; readonly seq: number }
  /** The logs part before; the owner is to begin again after `seq`. */
  | { readonly kind: 'nack'; readonly seq: number }

export class BackupLog {
  readonly #store: LogStore
  readonly #epochs: EpochTable
  readonly #apply: (record: RecordView) => void
  /** Everything up to here is committed, as far as this replica has been told. */
  commit: number
  /** Everything up to here has been matched with the log of the present owner. */
  #matched = 0
  /** When this replica last sent a promise; a takeover waits for `graceMs` from then on. */
  promisedMonoMs: number
  /** A takeover has been proposed: nothing is promised to the old owner any more. */
  revoked = false
  /** The epoch under which the owner last spoke: it has come that far itself. */
  toldEpoch = 0
  /** What was acknowledged before this moment is indexed here; by two clocks, for each may fail (see owner-log.ts). */
  #provenMonoMs = Number.NEGATIVE_INFINITY
  #provenWallMs = Number.NEGATIVE_INFINITY

  constructor(
    store: LogStore,
    epochs: EpochTable,
    commit: number,
    monoMs: number,
    apply: (record: RecordView) => void,
  ) {
    this.#store = store
    this.#epochs = epochs
    this.commit = commit
    this.promisedMonoMs = monoMs
    this.#apply = apply
  }

  /**
   * The configuration changed. Of another ownership's log nothing is matched yet; under the same one everything stays so,
   * for its owner will not send again what was acknowledged.
   */
  follow(monoMs: number, sameOwnership: boolean): void {
    if (!sameOwnership) this.#matched = 0
    this.revoked = false
    this.promisedMonoMs = monoMs
  }

  /** Takes records from the owner. Throws `MALFORMED` or `STORE_FULL` with only whole records taken. */
  replicate(m: Replicate): Matched {
    const store = this.#store
    if (m.prevSeq > store.head) return { kind: 'nack', seq: store.head }
    if (m.prevSeq > this.commit && this.#epochs.at(m.prevSeq) !== m.prevEpoch) {
      // Back to before the stretch that parts; what is committed is the same everywhere.
      return { kind: 'nack', seq: Math.max(this.commit, this.#epochs.firstSeqAt(m.prevSeq) - 1) }
    }
    const last = m.recordsStart < m.recordsEnd ? this.#append(m) : m.prevSeq
    if (last > this.#matched) this.#matched = last
    this.committed(m.commit)
    return { kind: 'ack', seq: last }
  }

  /** The owner says that everything up to `commit` is committed: indexes what is matched of that. */
  committed(commit: number): void {
    const upTo = Math.min(commit, this.#matched)
    if (upTo <= this.commit) return
    this.commit = upTo
    this.#store.applyTo(upTo, this.#apply)
    this.#store.release(upTo + 1)
  }

  /**
   * The owner vouches that whatever was acknowledged before a moment is at or below `commit`. The moment is one of this
   * member's own clocks, which it had told the owner before. It stays true whatever becomes of this configuration, for
   * nothing that is indexed is ever taken back.
   */
  proven(commit: number, monoMs: number, wallMs: number): void {
    if (this.commit < commit || monoMs < this.#provenMonoMs) return
    this.#provenMonoMs = monoMs
    this.#provenWallMs = wallMs
  }

  /** Whether nothing is missing that was acknowledged more than `maxStaleMs` before now. */
  isFresh(monoMs: number, wallMs: number, maxStaleMs: number): boolean {
    return monoMs - this.#provenMonoMs <= maxStaleMs && wallMs - this.#provenWallMs <= maxStaleMs
  }

  /**
   * Whether what a client has seen of this era is indexed here. By epoch, for what an owner answered may have stood at the
   * end of a log of which a later epoch kept less; and by seq, for two replicas that speak of one epoch may know of
   * different commits.
   */
  reaches(epoch: number, seq: number): boolean {
    return this.toldEpoch >= epoch && this.commit >= seq
  }

  #append(m: Replicate): number {
    const store = this.#store
    let at = m.recordsStart
    let seq = m.prevSeq
    // What is here already is skipped; where another epoch stands in its place, that and all after it goes.
    while (at < m.recordsEnd && seq < store.head) {
      if (this.#epochs.at(seq + 1) !== m.recordsEpoch) {
        assert(seq >= this.commit, 'a committed record is never cut off')
        store.truncate(seq)
        this.#epochs.truncate(seq)
        break
      }
      at += paddedAt(m.bytes, at)
      seq++
    }
    if (at === m.recordsEnd) return seq
    store.appendBytes(m.bytes, at, m.recordsEnd)
    if (this.#epochs.newest < m.recordsEpoch) this.#epochs.begin(m.recordsEpoch, seq + 1)
    return store.head
  }
}
