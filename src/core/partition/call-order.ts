/**
 * Keeps the calls of a client on one partition in the order in which they were made, across refusals.
 *
 * Calls are sent without waiting for each other. When one is refused for the moment and the next, already under way,
 * were accepted, two writes to a key would change places. So after a refusal everything later of that client is
 * refused, too, until the refused call comes again or the client says that it no longer waits for it.
 */

export class CallOrder {
  /** The lowest call of each session that was refused and has not come again. */
  readonly #refused = new Map<string, number>()

  /** Whether a call may be carried out now. */
  admits(session: string, call: number, ackUpTo: number): boolean {
    if (this.#refused.size === 0) return true
    const refused = this.#refused.get(session)
    if (refused === undefined || call < refused) return true
    if (call > refused && ackUpTo < refused) return false
    this.#refused.delete(session)
    return true
  }

  /** A call was refused for the moment. Number 0 is no call but a question. */
  refused(session: string, call: number): void {
    if (call === 0) return
    const lowest = this.#refused.get(session)
    if (lowest === undefined || call < lowest) this.#refused.set(session, call)
  }

  /** The session's link is gone: whatever it still wants comes again in order, on another. */
  forget(session: string): void {
    this.#refused.delete(session)
  }
}
