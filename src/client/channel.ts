/**
 * A queue between a producer that pushes and a consumer that awaits: the inside of every async iterator here.
 *
 * It has no bound of its own; each producer keeps to one (credit, or a count past which the oldest go).
 */

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void
  readonly reject: (error: unknown) => void
}

export class Channel<T> {
  #items: T[] = []
  #head = 0
  readonly #waiters: Waiter<T>[] = []
  #ended = false
  #error: unknown

  get size(): number {
    return this.#items.length - this.#head
  }

  get ended(): boolean {
    return this.#ended
  }

  push(item: T): void {
    if (this.#ended) return
    const waiter = this.#waiters.shift()
    if (waiter) waiter.resolve({ value: item, done: false })
    else this.#items.push(item)
  }

  /** The oldest item, if there is one. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined as T
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  take(): Promise<IteratorResult<T, undefined>> {
    if (this.size > 0) return Promise.resolve({ value: this.shift() as T, done: false })
    if (this.#ended) return this.#afterEnd()
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  /** Nothing comes after what is queued; then the iterator is done, or throws `error`, once. */
  end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    for (const waiter of this.#waiters.splice(0)) this.#afterEnd().then(waiter.resolve, waiter.reject)
  }

  /** Forgets what is queued. */
  clear(): void {
    this.#items = []
    this.#head = 0
  }

  #afterEnd(): Promise<IteratorResult<T, undefined>> {
    const error = this.#error
    this.#error = undefined
    return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error)
  }
}
