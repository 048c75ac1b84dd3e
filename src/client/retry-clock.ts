/**
 * Lanes and subscriptions that wait before they try again, under one timer for all of a kind.
 *
 * A pause doubles from the first one to 200 ms, with a quarter of chance on either side, until whoever waits has been
 * answered and sets `backoffMs` to 0. The timer keeps the process alive: while it runs, somebody waits for an answer.
 */

const BACKOFF_MAX_MS = 200

/** What may wait. */
export interface Retrying {
  /** When to try again; 0 while nothing stands in the way. */
  retryAtMs: number
  /** The last pause. */
  backoffMs: number
}

export class RetryClock<T extends Retrying> {
  readonly #nowMs: () => number
  readonly #due: (one: T) => void
  readonly #firstMs: number
  readonly #waiting = new Set<T>()
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = 0

  constructor(nowMs: () => number, due: (one: T) => void, firstMs = 1) {
    this.#nowMs = nowMs
    this.#due = due
    this.#firstMs = firstMs
  }

  /** Comes back to it after a pause longer than the last one, unless that is arranged already. */
  backOff(one: T): void {
    if (one.retryAtMs !== 0) return
    one.backoffMs = Math.min(BACKOFF_MAX_MS, Math.max(this.#firstMs, one.backoffMs * 2))
    this.after(one, one.backoffMs * (0.75 + Math.random() / 2))
  }

  /** Comes back to it after `pauseMs`. */
  after(one: T, pauseMs: number): void {
    one.retryAtMs = this.#nowMs() + pauseMs
    this.#waiting.add(one)
    this.#arm(one.retryAtMs)
  }

  /** Nothing stands in its way any more. */
  release(one: T): void {
    if (one.retryAtMs === 0) return
    one.retryAtMs = 0
    this.#waiting.delete(one)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#waiting.clear()
  }

  #arm(atMs: number): void {
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return
    clearTimeout(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = setTimeout(() => this.#fire(), Math.max(1, atMs - this.#nowMs()))
  }

  #fire(): void {
    this.#timer = undefined
    const nowMs = this.#nowMs()
    const due = [...this.#waiting].filter((one) => one.retryAtMs <= nowMs)
    for (const one of due) this.release(one)
    for (const one of due) this.#due(one)
    let nextMs = Number.POSITIVE_INFINITY
    for (const one of this.#waiting) if (one.retryAtMs < nextMs) nextMs = one.retryAtMs
    if (Number.isFinite(nextMs)) this.#arm(nextMs)
  }
}
