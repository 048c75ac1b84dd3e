/**
 * What is to happen, by its moment; of one moment, in the order in which it was put in.
 *
 * A heap in which each node has four children. Moments and orders lie in arrays of numbers of their own, so that finding
 * the next event touches no objects: a run takes hundreds of thousands of them.
 */

const CHILDREN = 4
const CAPACITY = 1024

export class EventQueue {
  #times = new Float64Array(CAPACITY)
  #orders = new Float64Array(CAPACITY)
  readonly #runs: (() => void)[] = []
  #size = 0
  #order = 0

  /** When the next one is; infinite where there is none. */
  get firstMs(): number {
    return this.#size > 0 ? this.#times[0]! : Number.POSITIVE_INFINITY
  }

  add(atMs: number, run: () => void): void {
    if (this.#size === this.#times.length) this.#grow()
    const times = this.#times
    const orders = this.#orders
    const runs = this.#runs
    let i = this.#size++
    // The newest comes after all of the same moment.
    while (i > 0) {
      const parent = ((i - 1) / CHILDREN) | 0
      if (times[parent]! <= atMs) break
      times[i] = times[parent]!
      orders[i] = orders[parent]!
      runs[i] = runs[parent]!
      i = parent
    }
    times[i] = atMs
    orders[i] = this.#order++
    runs[i] = run
  }

  /** Takes the next one out. */
  take(): () => void {
    const times = this.#times
    const orders = this.#orders
    const runs = this.#runs
    const first = runs[0]!
    const size = --this.#size
    const atMs = times[size]!
    const order = orders[size]!
    const run = runs.pop()!
    if (size === 0) return first
    let i = 0
    for (;;) {
      const from = CHILDREN * i + 1
      if (from >= size) break
      const to = Math.min(from + CHILDREN, size)
      let child = from
      let childMs = times[from]!
      for (let other = from + 1; other < to; other++) {
        const otherMs = times[other]!
        if (otherMs < childMs || (otherMs === childMs && orders[other]! < orders[child]!)) {
          child = other
          childMs = otherMs
        }
      }
      if (atMs < childMs || (atMs === childMs && order < orders[child]!)) break
      times[i] = childMs
      orders[i] = orders[child]!
      runs[i] = runs[child]!
      i = child
    }
    times[i] = atMs
    orders[i] = order
    runs[i] = run
    return first
  }

  #grow(): void {
    const times = new Float64Array(2 * this.#times.length)
    const orders = new Float64Array(times.length)
    times.set(this.#times)
    orders.set(this.#orders)
    this.#times = times
    this.#orders = orders
  }
}
