/**
 * Which epoch wrote which stretch of a log: one row for each epoch, so that no record has to carry it.
 *
 * Two logs that agree on the epoch of a seq agree on everything up to it (Raft's log matching; Kafka's leader epochs,
 * KIP-101). The table moves with the partition's state.
 */

import { assert } from '../base/assert.ts'
import type { ByteReader, ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Epoch } from '../membership/config.ts'

/** Rows kept; the oldest lie far below every commit by then, where nobody asks any more. */
const ROWS_MAX = 256

export class EpochTable {
  readonly #epochs: Epoch[] = []
  readonly #firstSeqs: number[] = []

  /** The epoch that wrote `seq`; 0 for seq 0 and for what came before the oldest row. */
  at(seq: number): Epoch {
    return this.#epochs[this.#row(seq)] ?? 0
  }

  /** The first seq of the stretch that `seq` belongs to. */
  firstSeqAt(seq: number): number {
    return this.#firstSeqs[this.#row(seq)] ?? 0
  }

  /** The last seq of the stretch that `seq` belongs to, given where the log ends. */
  lastSeqAt(seq: number, head: number): number {
    const next = this.#firstSeqs[this.#row(seq) + 1]
    return next === undefined ? head : next - 1
  }

  get newest(): Epoch {
    return this.#epochs.at(-1) ?? 0
  }

  /** From `firstSeq` on, records are of `epoch`. */
  begin(epoch: Epoch, firstSeq: number): void {
    assert(epoch > this.newest, `epoch ${epoch} begins after ${this.newest}`)
    assert(firstSeq > (this.#firstSeqs.at(-1) ?? 0), 'an epoch begins above the one before')
    this.#epochs.push(epoch)
    this.#firstSeqs.push(firstSeq)
    if (this.#epochs.length > ROWS_MAX) {
      this.#epochs.shift()
      this.#firstSeqs.shift()
    }
  }

  /** Forgets the epochs that began above `seq`. */
  truncate(seq: number): void {
    while ((this.#firstSeqs.at(-1) ?? 0) > seq) {
      this.#epochs.pop()
      this.#firstSeqs.pop()
    }
  }

  clear(): void {
    this.#epochs.length = 0
    this.#firstSeqs.length = 0
  }

  encode(w: ByteWriter): void {
    w.u16(this.#epochs.length)
    for (let i = 0; i < this.#epochs.length; i++) {
      w.u48(this.#epochs[i]!)
      w.u48(this.#firstSeqs[i]!)
    }
  }

  /** @throws GridError `MALFORMED` */
  decode(r: ByteReader): void {
    this.clear()
    const count = r.u16()
    if (count > ROWS_MAX) throw new GridError('MALFORMED', `a table of ${count} epochs`)
    for (let i = 0; i < count; i++) {
      const epoch = r.u48()
      const firstSeq = r.u48()
      if (epoch <= this.newest || firstSeq <= (this.#firstSeqs.at(-1) ?? 0))
        throw new GridError('MALFORMED', 'epochs out of order')
      this.begin(epoch, firstSeq)
    }
  }

  #row(seq: number): number {
    let row = this.#firstSeqs.length - 1
    while (row >= 0 && this.#firstSeqs[row]! > seq) row--
    return row
  }
}
