/**
 * How much of the past a member keeps for watchers: one budget for all its partitions.
 *
 * A sealed tail block that replication no longer needs is queued here, in the order of that moment. When the queue
 * holds more than the budget, the oldest block leaves its tail. Blocks that replication still needs do not count:
 * they would be there without any watcher. One budget, because a ring for each of 4,096 partitions would either be
 * too short for the busy ones or too much in all.
 */

import { assert } from '../base/assert.ts'

/** A store whose oldest tail block can be told to leave. */
export interface HistoryKeeper {
  /** Takes the oldest retained block out of the tail and returns its bytes. */
  leaveOldest(): number
}

export class History {
  readonly maxBytes: number
  #usedBytes = 0
  #queue: HistoryKeeper[] = []
  #first = 0

  /** With `maxBytes` 0 nothing is kept. */
  constructor(options: { maxBytes: number }) {
    this.maxBytes = options.maxBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** The keeper's next block is no longer needed by replication. Older blocks, of any keeper, may leave at once. */
  retain(keeper: HistoryKeeper, bytes: number): void {
    this.#queue.push(keeper)
    this.#usedBytes += bytes
    while (this.#usedBytes > this.maxBytes) this.dropOldest()
  }

  /** Lets the oldest block leave, as memory is needed more than history. False when there is none. */
  dropOldest(): boolean {
    const keeper = this.#queue[this.#first]
    if (keeper === undefined) return false
    this.#first++
    if (this.#first > 64 && this.#first * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#first)
      this.#first = 0
    }
    this.#usedBytes -= keeper.leaveOldest()
    assert(this.#usedBytes >= 0, 'history counts below zero')
    return true
  }

  /** Forgets every block of a keeper, `bytes` in all. */
  forget(keeper: HistoryKeeper, bytes: number): void {
    this.#queue = this.#queue.slice(this.#first).filter((other) => other !== keeper)
    this.#first = 0
    this.#usedBytes -= bytes
  }
}
