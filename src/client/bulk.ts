/**
 * The many calls of a bulk operation, and what becomes of each key.
 *
 * All that fit are made in one go, so each member gets them in few frames; the rest follow as answers come, by count and
 * by bytes, so that a bulk operation never makes itself be refused. There is no transaction: when some fail, the others
 * have taken effect, and the error says which.
 *
 * A call of a bulk operation has no promise and no closure of its own: it settles here, under the number of its key. With
 * promises for each, `putAll` of 1,000 keys took the client 1.5 times as long, and 2.5 times with eight of them at once.
 */

import { type Applied, type ErrorCode, GridError } from '../core/base/errors.ts'
import type { Asked, Settling } from './pending-call.ts'

const IN_FLIGHT_MAX = 8192

/** What became of one key. */
export type Outcome<R> =
  | { readonly ok: true; readonly value: R }
  | { readonly ok: false; readonly error: GridError }

/** Some calls of a bulk operation have failed. `code` is that of the first; `outcomes` has a row for each key. */
export class PartialError extends GridError {
  readonly outcomes: ReadonlyMap<unknown, Outcome<unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    options: { applied: Applied; cause: unknown; outcomes: ReadonlyMap<unknown, Outcome<unknown>> },
  ) {
    super(code, message, options)
    this.outcomes = options.outcomes
  }
}

export class Bulk implements Settling {
  /** In the order in which they were given. */
  readonly keys: unknown[] = []
  /** By the number of the key. */
  readonly results: unknown[] = []
  readonly #isCrowded: () => boolean
  readonly #onSettled: ((key: unknown) => void) | undefined
  readonly #failures = new Map<number, GridError>()
  #inFlight = 0
  #resume: (() => void) | undefined

  /** While `isCrowded` no call is made, unless none is under way. `onSettled` hears of each key when its call has ended. */
  constructor(isCrowded: () => boolean, onSettled?: (key: unknown) => void) {
    this.#isCrowded = isCrowded
    this.#onSettled = onSettled
  }

  /** A call is about to be made for a key, or for one more. Returns the key's number. */
  begin(key: unknown): number {
    this.#inFlight++
    return this.keys.push(key) - 1
  }

  settle(number: number, result: unknown): void {
    this.results[number] = result
    this.#end(number)
  }

  fail(number: number, error: unknown): void {
    this.#failures.set(number, error as GridError)
    this.#end(number)
  }

  /** For calls that are about one key: their tag is its number. */
  readonly resolve = (result: unknown, call: Asked): void => this.settle(call.key as number, result)
  readonly reject = (error: unknown, call: Asked): void => this.fail(call.key as number, error)

  /** For a call that has a promise. */
  follow(key: unknown, answer: Promise<unknown>): void {
    const number = this.begin(key)
    answer.then(
      (result) => this.settle(number, result),
      (error) => this.fail(number, error),
    )
  }

  /** Has a call made for each item, and sees all of them to their end. @throws PartialError */
  async each<T>(items: Iterable<T> | AsyncIterable<T>, make: (item: T) => void): Promise<void> {
    if (Symbol.iterator in items)
      for (const item of items) {
        if (this.isFull(1)) await this.room(1)
        make(item)
      }
    else
      for await (const item of items) {
        if (this.isFull(1)) await this.room(1)
        make(item)
      }
    await this.end()
  }

  /** Whether calls for so many more keys have to wait. */
  isFull(count: number): boolean {
    return this.#inFlight > 0 && (this.#inFlight + count > IN_FLIGHT_MAX || this.#isCrowded())
  }

  async room(count: number): Promise<void> {
    while (this.isFull(count)) await this.#settled()
  }

  /** When all calls have ended. @throws PartialError where one has failed */
  async end(): Promise<void> {
    while (this.#inFlight > 0) await this.#settled()
    if (this.#failures.size > 0) throw this.#partial()
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  #end(number: number): void {
    this.#inFlight--
    if (this.#onSettled !== undefined) this.#onSettled(this.keys[number])
    if (this.#resume === undefined) return
    this.#resume()
    this.#resume = undefined
  }

  #partial(): PartialError {
    const outcomes = new Map<unknown, Outcome<unknown>>()
    let applied: Applied = 'no'
    for (const [number, key] of this.keys.entries()) {
      const error = this.#failures.get(number)
      if (error === undefined || error.applied !== 'no') applied = 'unknown'
      outcomes.set(
        key,
        error === undefined ? { ok: true, value: this.results[number] } : { ok: false, error },
      )
    }
    const [first] = this.#failures.values() as Iterable<GridError> as [GridError]
    const text = first.message.replace(`${first.code}: `, '')
    const message = `${this.#failures.size} of ${outcomes.size} keys failed; the first: ${text}`
    return new PartialError(first.code, message, { applied, cause: first, outcomes })
  }
}
