/**
 * Numbers of partitions to be looked at before the turn ends, each once, the first one added first.
 *
 * One that is added again after it was taken comes again. A `Set` does the same, but makes its table anew as it fills and
 * empties in every turn: with 64 puts in flight that was 1.3 % of the processor time of a member.
 */

export class TurnList {
  readonly #ids: number[] = []
  /** By number, whether it is in the list. */
  readonly #isListed: boolean[] = []
  #count = 0
  #taken = 0

  add(id: number): void {
    if (this.#isListed[id] === true) return
    this.#isListed[id] = true
    this.#ids[this.#count++] = id
  }

  /** The next one, or -1 where there is none. */
  take(): number {
    if (this.#taken === this.#count) {
      this.#taken = 0
      this.#count = 0
      return -1
    }
    const id = this.#ids[this.#taken++]!
    this.#isListed[id] = false
    return id
  }
}
