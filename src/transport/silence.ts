/**
 * Whether anybody is still at the other end of a connection that brings nothing.
 *
 * TCP alone does not say. A connection whose far end is gone without a word (a host that lost its power, a middlebox that
 * forgot it) takes what is written for a quarter of an hour, and its keepalive only looks at one on which nothing waits
 * to be acknowledged; after a partition it may wait two minutes before it tries again. So the side that dialled asks, by
 * a frame without a body, and the other one answers with the same. What has been silent for `SILENT_ROUNDS` is given up
 * and dialled anew.
 *
 * Only rounds count in which this process ran: one that stood still for long finds one round of silence, not many, and
 * what has come meanwhile before the next.
 */

export const ROUND_MS = 1000
export const SILENT_ROUNDS = 5

/** What a round looks at, of `node:net`'s socket. */
export interface Flow {
  readonly bytesRead: number
  /** Those that still wait in this process count as well. */
  readonly bytesWritten: number
  readonly writableLength: number
}

export class Silence {
  readonly #flow: Flow
  #read = 0
  #taken = 0
  #rounds = 0

  constructor(flow: Flow) {
    this.#flow = flow
  }

  /** To be called every `ROUND_MS`: whether to ask for a sign of life, or to give the connection up. */
  round(): 'heard' | 'ask' | 'gone' {
    const { bytesRead, bytesWritten, writableLength } = this.#flow
    const taken = bytesWritten - writableLength
    // A narrow link brings the question late: while it takes what waits here, its silence says nothing.
    const moves = writableLength > 0 && taken !== this.#taken
    if (bytesRead !== this.#read) this.#rounds = 0
    else if (!moves) this.#rounds++
    this.#read = bytesRead
    this.#taken = taken
    if (this.#rounds >= SILENT_ROUNDS) return 'gone'
    // A question behind what waits would be late too.
    return this.#rounds > 0 && writableLength === 0 ? 'ask' : 'heard'
  }
}
