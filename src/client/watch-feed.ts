/**
 * One partition of a watch: where it stands, what it holds, and what it makes of the events that arrive.
 *
 * A feed is at first without a position: rows come, then `snapshotEnd` gives it one, then changes move it on. A
 * subscription that is lost goes on at the position, or, without one, begins again, after a `reset` where rows had
 * been handed out. Changes up to the position are duplicates and dropped, so that each comes once.
 *
 * With a filter the feed remembers the keys that the watcher holds, by their bytes: a member that has just become
 * the owner cannot know whether a key matched before, so it may tell too much, and only what concerns a held key is
 * passed on. (Hashes would not do: among 10,000 keys of one partition of 271 three pairs collide.) Past a bound it
 * forgets them all: the watcher may then be told that keys leave which it does not hold.
 */

import { asBuffer } from '../core/base/bytes.ts'
import { hashBytes } from '../core/ring/hash.ts'
import { EventKind, type WatchEvent } from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'

/** More held keys than this are not told to a new owner; it then tells too much, which is dropped here. */
const HELD_SENT_MAX = 16_384

export class Feed {
  readonly partition: number
  /** The subscription under way: its number and link. */
  watch = 0
  link: Link | undefined

  /** Whether `era` and `seq` say where the stream stands. */
  positioned = false
  era = 0
  seq = 0
  /** Whether a new subscription begins with the rows. */
  fromScratch: boolean
  /** Rows or changes were passed on that nothing has voided. */
  dirty = false
  /** Whether the first snapshot, or the beginning of the stream, has arrived. */
  ready = false

  /** Events passed on that have not been taken, and events taken that have not been granted anew. */
  queued = 0
  owed = 0

  retryAtMs = 0
  backoffMs = 0

  /** The keys held and their hashes; undefined without a filter. */
  readonly #held: Map<string, number> | undefined
  /** Whether everything that the watcher holds is known. */
  #heldComplete: boolean
  readonly #heldMax: number

  /** `heldMax`: see `watchKeysMax` among the limits. */
  constructor(
    partition: number,
    fromScratch: boolean,
    filtered: boolean,
    heldComplete: boolean,
    heldMax: number,
  ) {
    this.partition = partition
    this.fromScratch = fromScratch
    this.#held = filtered ? new Map() : undefined
    this.#heldComplete = heldComplete
    this.#heldMax = heldMax
  }

  /** Goes on where another watch was. */
  resume(era: number, seq: number): void {
    this.positioned = true
    this.era = era
    this.seq = seq
  }

  /** Hashes for a member that goes on with this feed, or undefined where it cannot know. */
  heldHashes(): number[] | undefined {
    if (this.#held === undefined || !this.#heldComplete || this.#held.size > HELD_SENT_MAX) return undefined
    return [...this.#held.values()]
  }

  /** Everything told is void: rows will follow. */
  reset(): void {
    this.positioned = false
    this.seq = 0
    this.fromScratch = true
    this.dirty = false
    this.#held?.clear()
    this.#heldComplete = true
  }

  /** Takes note of an event and says whether the watcher is to be told. */
  accept({ kind, seq, key }: WatchEvent): boolean {
    switch (kind) {
      case EventKind.snapshot:
        this.dirty = true
        this.#hold(key)
        return true
      case EventKind.put:
        if (!this.#isNew(seq)) return false
        this.dirty = true
        this.#hold(key)
        return true
      case EventKind.remove:
      case EventKind.leave:
        return this.#isNew(seq) && this.#release(key)
      case EventKind.clear:
        if (!this.#isNew(seq)) return false
        this.#held?.clear()
        this.#heldComplete = true // Nothing is held.
        return true
      case EventKind.reset:
        this.reset()
        return true
      default: // snapshotEnd
        this.positioned = true
        this.seq = seq
        return false
    }
  }

  #isNew(seq: number): boolean {
    if (this.positioned && seq <= this.seq) return false
    if (this.positioned) this.seq = seq
    return true
  }

  #hold(key: Uint8Array): void {
    // What is not complete tells nothing.
    if (this.#held === undefined || !this.#heldComplete) return
    this.#held.set(latin1(key), hashBytes(key, 0, key.length))
    if (this.#held.size <= this.#heldMax) return
    this.#held.clear()
    this.#heldComplete = false
  }

  /** Whether the watcher has, or may have, this key; from now on it has not. */
  #release(key: Uint8Array): boolean {
    if (this.#held === undefined) return true
    return this.#held.delete(latin1(key)) || !this.#heldComplete
  }
}

function latin1(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1')
}
