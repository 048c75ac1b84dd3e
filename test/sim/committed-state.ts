/**
 * What the committed log of a partition and era amounts to, at any of its places: the fold that every answer, row and event
 * is held against.
 *
 * It follows the ledger lazily and keeps every version of every key, which is little in a simulated run.
 */

import { RecordKind } from '../../src/core/store/record.ts'
import { decodeTrusted } from '../../src/core/wire/value-decode.ts'
import type { CommittedRecord, Ledger } from './ledger.ts'

/** What stands under a key from `seq` on. */
export interface Version {
  readonly seq: number
  /** Undefined: nothing. */
  readonly record: CommittedRecord | undefined
  /** Of whoever first committed it. */
  readonly epoch: number
}

const NOTHING: Version = { seq: 0, record: undefined, epoch: 0 }

class Fold {
  readonly #maps = new Map<number, Map<string, Version[]>>()
  /** Everything up to here is folded in. */
  upTo = 0

  add(seq: number, record: CommittedRecord): void {
    this.upTo = seq
    const { kind, map, key, epoch } = record
    if (kind === RecordKind.put) this.#push(map, key, { seq, record, epoch })
    else if (kind === RecordKind.remove) this.#push(map, key, { seq, record: undefined, epoch })
    else if (kind === RecordKind.clear)
      for (const versions of this.#maps.get(map)?.values() ?? [])
        if (versions.at(-1)!.record) versions.push({ seq, record: undefined, epoch })
  }

  #push(map: number, key: string, version: Version): void {
    const keys = this.#maps.get(map) ?? new Map<string, Version[]>()
    this.#maps.set(map, keys)
    const versions = keys.get(key)
    if (versions) versions.push(version)
    else keys.set(key, [NOTHING, version])
  }

  versions(map: number, key: string): readonly Version[] {
    return this.#maps.get(map)?.get(key) ?? [NOTHING]
  }

  keys(map: number): Iterable<string> {
    return this.#maps.get(map)?.keys() ?? []
  }
}

export class CommittedState {
  readonly #ledger: Ledger
  readonly #folds = new Map<string, Fold>()

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Whether everything up to `seq` has been seen. */
  reaches(partition: number, era: number, seq: number): boolean {
    return this.#fold(partition, era, seq).upTo >= seq
  }

  /** What stood under a key after the record at `seq`. */
  at(partition: number, era: number, map: number, key: string, seq: number): Version {
    const versions = this.#fold(partition, era, seq).versions(map, key)
    return versions[placeOf(versions, seq)]!
  }

  /**
   * What a read may have seen whose owner's log ended at `seq`, under `epoch`: the newest version that had been committed
   * by then, or one behind it in a stretch of the log that others have replaced or taken over since.
   */
  seen(
    partition: number,
    era: number,
    map: number,
    key: string,
    seq: number,
    epoch: number,
  ): readonly Version[] {
    const versions = this.#fold(partition, era, seq).versions(map, key)
    const last = placeOf(versions, seq)
    let first = last
    while (first > 0 && versions[first]!.epoch > epoch) first--
    return versions.slice(first, last + 1)
  }

  /** Everything in a map after the record at `seq`, by key. */
  entries(partition: number, era: number, map: number, seq: number): Map<string, CommittedRecord> {
    const fold = this.#fold(partition, era, seq)
    const found = new Map<string, CommittedRecord>()
    for (const key of fold.keys(map)) {
      const versions = fold.versions(map, key)
      const { record } = versions[placeOf(versions, seq)]!
      if (record) found.set(key, record)
    }
    return found
  }

  #fold(partition: number, era: number, seq: number): Fold {
    const name = `${partition} ${era}`
    const fold = this.#folds.get(name) ?? new Fold()
    this.#folds.set(name, fold)
    while (fold.upTo < seq) {
      const record = this.#ledger.record(partition, era, fold.upTo + 1)
      if (!record || record === 'absent') break
      fold.add(fold.upTo + 1, record)
    }
    return fold
  }
}

/** The last version that is not newer than `seq`. */
function placeOf(versions: readonly Version[], seq: number): number {
  let at = versions.length - 1
  while (versions[at]!.seq > seq) at--
  return at
}

export interface SimValue {
  readonly n: number
  readonly g?: number
  readonly pad?: string
}

export function storedValue({ value }: CommittedRecord): SimValue {
  const bytes = Buffer.from(value, 'hex')
  return decodeTrusted(bytes, 0, bytes.length) as SimValue
}
