/**
 * Whether anybody is still at the other end of a connection.
 *
 * TCP alone does not say. A connection whose far end is gone without a word (a host that lost its power, a middlebox that
 * forgot it) takes what is written for a quarter of an hour, and its keepalive only looks at one on which nothing waits
 * to be acknowledged; after a partition it may wait two minutes before it tries again. So both sides show that they are
 * there, with frames that have no body:
 *
 * - The side that was dialled sends one whenever something has come, be it part of a frame, but at most every
 *   `SIGN_EVERY_MS`. However narrow the link, what arrives shows within a moment.
 * - The side that dialled sends one when it has heard nothing for a round, so that something comes on an idle link too.
 *   After `SILENT_ROUNDS` without a byte it closes the link, and dials anew.
 *
 * Only rounds count in which this process ran: one that stood still finds one round of silence afterwards, not many.
 */

export const ROUND_MS = 1000
export const SILENT_ROUNDS = 5
export const SIGN_EVERY_MS = ROUND_MS / 2

export class Silence {
  #read = 0
  #rounds = 0

  /** To be called every `ROUND_MS` with the bytes that have come so far: whether to ask, or to give the link up. */
  round(bytesRead: number): 'heard' | 'ask' | 'gone' {
    this.#rounds = bytesRead === this.#read ? this.#rounds + 1 : 0
    this.#read = bytesRead
    if (this.#rounds === 0) return 'heard'
    return this.#rounds < SILENT_ROUNDS ? 'ask' : 'gone'
  }
}
