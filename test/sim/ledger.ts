/**
 * The committed log of each partition and era, as the first to commit each record has it. Whatever anybody commits
 * later at the same place must be the same.
 */

import { hashBytes } from '../../src/core/ring/hash.ts'
import { RecordKind, type RecordView } from '../../src/core/store/record.ts'
import { decodeTrusted } from '../../src/core/wire/value-decode.ts'
import type { Written } from './witness.ts'

export interface CommittedRecord {
  readonly kind: number
  readonly map: number
  /** Hexadecimal. */
  readonly key: string
  readonly value: string
  /** Of a `remove`. */
  readonly cause: number
  readonly expiresAt: number
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
      cause: record.cause,
      expiresAt: record.expiresAt,
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

  /** The entries of a map after a record, by key; undefined where not every record up to there could be seen. */
  entriesAt(partition: number, era: number, map: number, seq: number): Map<string, string> | undefined {
    const log = this.#log(partition, era)
    const entries = new Map<string, string>()
    for (let at = 1; at <= seq; at++) {
      const record = log[at]
      if (!record) return undefined
      if (record.map !== map) continue
      if (record.kind === RecordKind.put) entries.set(record.key, record.value)
      else if (record.kind === RecordKind.remove) entries.delete(record.key)
      else if (record.kind === RecordKind.clear) entries.clear()
    }
    return entries
  }

  /** What was written of one key, in order, as far as anybody could look. */
  written(partition: number, era: number, map: number, key: string): Written[] {
    const found: Written[] = []
    this.#log(partition, era).forEach((record, seq) => {
      if (!record || record.map !== map || record.key !== key) return
      if (record.kind === RecordKind.put) found.push({ seq, value: numberIn(record.value) })
      else if (record.kind === RecordKind.remove) found.push({ seq, value: undefined })
    })
    return found
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

/** The number that a stored value stands for. */
function numberIn(value: string): number {
  const bytes = Buffer.from(value, 'hex')
  return (decodeTrusted(bytes, 0, bytes.length) as { n: number }).n
}
