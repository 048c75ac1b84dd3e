/**
 * Many calls, one a key, with the outcome of each.
 *
 * All that fit are made in one go, so each member gets them in one frame; the rest follow as answers come, by count and
 * by bytes, so that a bulk operation never makes itself be refused. There is
 * no transaction: when some fail, the others have taken effect, and the error says which.
 */

import { type Applied, type ErrorCode, GridError } from '../core/base/errors.ts'

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

/** Stands in the outcomes, in the order of the items, until the call has ended. */
const PENDING: Outcome<never> = { ok: false, error: new GridError('INTERNAL', 'the call has not ended') }

/**
 * Makes a call for each item, which stands under `key` in the outcomes, in the order of the items. While `isCrowded`
 * none is made, unless none is under way.
 *
 * @throws PartialError where one failed
 */
export async function callEach<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  keyOf: (item: T) => unknown,
  call: (item: T) => Promise<R>,
  isCrowded: () => boolean,
): Promise<Map<unknown, Outcome<R>>> {
  const outcomes = new Map<unknown, Outcome<R>>()
  let inFlight = 0
  let failures = 0
  let first: GridError | undefined
  let resume: (() => void) | undefined
  const end = (): void => {
    inFlight--
    resume?.()
  }
  const make = (item: T): void => {
    const key = keyOf(item)
    outcomes.set(key, PENDING)
    inFlight++
    call(item).then(
      (value) => {
        outcomes.set(key, { ok: true, value })
        end()
      },
      (error: GridError) => {
        failures++
        first ??= error
        outcomes.set(key, { ok: false, error })
        end()
      },
    )
  }
  const isFull = (): boolean => inFlight >= IN_FLIGHT_MAX || (inFlight > 0 && isCrowded())
  const whilst = async (condition: () => boolean): Promise<void> => {
    while (condition())
      await new Promise<void>((resolve) => {
        resume = resolve
      })
  }
  if (Symbol.iterator in items)
    for (const item of items) {
      if (isFull()) await whilst(isFull)
      make(item)
    }
  else
    for await (const item of items) {
      if (isFull()) await whilst(isFull)
      make(item)
    }
  await whilst(() => inFlight > 0)
  if (first !== undefined) throw partial(first, failures, outcomes)
  return outcomes
}

function partial(
  first: GridError,
  failures: number,
  outcomes: ReadonlyMap<unknown, Outcome<unknown>>,
): PartialError {
  let applied: Applied = 'no'
  for (const outcome of outcomes.values())
    if (outcome.ok || outcome.error.applied !== 'no') applied = 'unknown'
  const text = first.message.replace(`${first.code}: `, '')
  const message = `${failures} of ${outcomes.size} keys failed; the first: ${text}`
  return new PartialError(first.code, message, { applied, cause: first, outcomes })
}
