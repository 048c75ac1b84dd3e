/**
 * The committed log of each partition and era, as the first to commit each record has it. Whatever anybody commits
 * later at the same place must be the same.
 */

import { hashBytes } from '../../src/core/ring/hash.ts'
import type { RecordView } from '../../src/core/store/record.ts'

export interface CommittedRecord {
  readonly kind: number
  readonly map: number
  /** Hexadecimal. */
  readonly key: string
  readonly value: string
  readonly digest: number
  /** Of whoever committed it first. */
  readonly epoch: number
}

export class Ledger {
  /** `[partition][era][seq]`; a hole where a record had left the log before it could be seen. */
  readonly #logs: Map<number, (CommittedRecord | undefined)[]>[] = []

  /** Notes a committed record; returns false where another stands in its place. */
  commit(partition: number, era: number, epoch: number, record: RecordView): boolean {
    const log = this.#log(partition, era)
    const end = record.hasEnvelope ? record.replyEnd : record.valueEnd
    const digest = hashBytes(record.bytes, record.offset + 4, end)
    const known = log[record.seq]
    if (known) return known.digest === digest
    log[record.seq] = {
      kind: record.kind,
      map: record.map,
      key: record.bytes.toString('hex', record.keyStart, record.keyEnd),
      value: record.bytes.toString('hex', record.valueStart, record.valueEnd),
      digest,
      epoch,
    }
    return true
  }

  /** The last seq known to have been committed in an epoch before `epoch`. */
  lastBefore(partition: number, era: number, epoch: number): number {
    const log = this.#log(partition, era)
    for (let seq = log.length - 1; seq > 0; seq--) if ((log[seq]?.epoch ?? epoch) < epoch) return seq
    return 0
  }

  /** Undefined where nobody could look. */
  record(partition: number, era: number, seq: number): CommittedRecord | undefined | 'absent' {
    const log = this.#log(partition, era)
    return seq < log.length ? log[seq] : 'absent'
  }

  #log(partition: number, era: number): (CommittedRecord | undefined)[] {
    this.#logs[partition] ??= new Map()
    const eras = this.#logs[partition]
    const log = eras.get(era)
    if (log) return log
    const created: (CommittedRecord | undefined)[] = []
    eras.set(era, created)
    return created
  }
}
