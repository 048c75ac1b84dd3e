/**
 * Keeps the calls of a client on one partition in the order in which they were made, across refusals.
 *
 * Calls are sent without waiting for each other. When one is refused for the moment and the next, already under way,
 * were accepted, two writes to a key would change places. So after a refusal everything later on that link is refused, too,
 * until the refused call comes again or the client says that it no longer waits for it. Each of them is remembered: those
 * behind a refused one come again one by one, and one that another owner has carried out never does.
 *
 * By link and not by client, for only what comes over one link is in order; and when an old one is found to have ended,
 * calls may long be under way on the next.
 */

import type { Outlet } from './context.ts'

/** Refused calls remembered of one link, at least: clients may have larger windows than this member has. */
const CALLS_MIN = 4096

export class CallOrder {
  /** The calls of each link that were refused and have not come again, in ascending order. */
  readonly #refused = new Map<Outlet, number[]>()
  readonly #callsMax: number

  /** `windowMax` calls of a client may be under way; of those far beyond it the lowest are remembered. */
  constructor(windowMax: number) {
    this.#callsMax = Math.max(windowMax, CALLS_MIN)
  }

  /** Whether a call may be carried out now. */
  admits(link: Outlet, call: number, ackUpTo: number): boolean {
    if (this.#refused.size === 0) return true
    const calls = this.#refused.get(link)
    if (calls === undefined) return true
    passOver(calls, ackUpTo)
    const lowest = calls[0]
    if (lowest !== undefined && call > lowest) return false
    if (call === lowest) calls.shift()
    if (calls.length === 0) this.#refused.delete(link)
    return true
  }

  /** A call was refused for the moment. Number 0 is no call but a question. */
  refused(link: Outlet, call: number, ackUpTo: number): void {
    if (call === 0) return
    const calls = this.#refused.get(link)
    if (calls === undefined) {
      this.#refused.set(link, [call])
      return
    }
    passOver(calls, ackUpTo)
    // They come in order, nearly always.
    let at = calls.length
    while (at > 0 && calls[at - 1]! > call) at--
    if (calls[at - 1] === call) return
    calls.splice(at, 0, call)
    if (calls.length > this.#callsMax) calls.pop()
  }

  /** The link is gone: whatever its client still wants comes again in order, on another. */
  forget(link: Outlet): void {
    this.#refused.delete(link)
  }
}

/** The client no longer waits for calls up to `ackUpTo`. */
function passOver(calls: number[], ackUpTo: number): void {
  let count = 0
  while (count < calls.length && calls[count]! <= ackUpTo) count++
  if (count > 0) calls.splice(0, count)
}
