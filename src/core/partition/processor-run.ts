/**
 * One run of an entry processor: user code, in a turn of the owner, on a copy of the entry.
 *
 * What it does to the entry is only noted here; the caller makes one record of it. So an exception changes nothing, and
 * what backups receive is the result, never the code.
 */

import { GridError } from '../base/errors.ts'
import type { RecordView } from '../store/record.ts'
import { decodeKey, type Key } from '../wire/key.ts'
import type { CallView } from '../wire/message.ts'
import type { EntryView, ProcessorFunction, SetOptions, Version } from '../wire/processor.ts'
import { decodeTrusted } from '../wire/value-decode.ts'

export interface Effect {
  readonly kind: 'none' | 'set' | 'remove'
  readonly value: unknown
  /** Undefined: the expiry stays as it was; null: none. */
  readonly ttlMs: number | null | undefined
  readonly result: unknown
}

/** The entry as the processor sees it; decoded when it is looked at. */
class Entry implements EntryView {
  readonly #call: CallView
  readonly #record: RecordView | undefined
  readonly #era: number
  #value: unknown
  #decoded = false
  kind: Effect['kind'] = 'none'
  next: unknown
  ttlMs: number | null | undefined

  constructor(call: CallView, record: RecordView | undefined, era: number) {
    this.#call = call
    this.#record = record
    this.#era = era
  }

  get key(): Key {
    return decodeKey(this.#call.bytes, this.#call.keyStart, this.#call.keyEnd)
  }

  get value(): unknown {
    if (this.#record && !this.#decoded) {
      this.#value = decodeTrusted(this.#record.bytes, this.#record.valueStart, this.#record.valueEnd)
      this.#decoded = true
    }
    return this.#value
  }

  get exists(): boolean {
    return this.#record !== undefined
  }

  get version(): Version | undefined {
    return this.#record && (`${this.#era}.${this.#record.seq}` as Version)
  }

  set(value: unknown, options?: SetOptions): void {
    const ttlMs = options?.ttlMs
    if (typeof ttlMs === 'number' && !(Number.isInteger(ttlMs) && ttlMs > 0)) {
      throw new GridError('BAD_OPTION', `ttlMs must be a whole number of milliseconds above 0, not ${ttlMs}`)
    }
    this.kind = 'set'
    this.next = value
    this.ttlMs = ttlMs
  }

  remove(): void {
    this.kind = 'remove'
    this.next = undefined
  }
}

/** Runs a processor on an entry (`record`, or none). @throws GridError `PROCESSOR_FAILED` */
export function runProcessor(
  processor: ProcessorFunction,
  name: string,
  call: CallView,
  record: RecordView | undefined,
  era: number,
  argument: unknown,
): Effect {
  const entry = new Entry(call, record, era)
  let result: unknown
  try {
    result = processor(entry, argument)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new GridError('PROCESSOR_FAILED', `'${name}' threw: ${reason}`, { cause: error })
  }
  if (result instanceof Promise) {
    result.catch(() => {})
    throw new GridError('PROCESSOR_FAILED', `'${name}' returned a promise; processors are synchronous`)
  }
  return {
    kind: entry.kind,
    value: entry.next,
    ttlMs: entry.ttlMs,
    result: result === undefined ? null : result,
  }
}
