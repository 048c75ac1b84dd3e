/**
 * What the clients of a round asked and were told, as the simulation records it (test/sim/history.ts): a value is one
 * number here, drawn so that it comes once, and the same checkers look at both.
 */

import { GridError } from '../../src/core/base/errors.ts'
import type { CallKind, CallRecord } from '../sim/history.ts'

export type { CallKind, CallRecord }

export interface Failure {
  readonly code: string
  readonly text: string
  readonly atMs: number
  readonly durationMs: number
  readonly record: CallRecord
  readonly applied: string
}

/** An accepted write: when its answer came, and for which partition. */
export interface Accepted {
  readonly partition: number
  readonly atMs: number
}

export class History {
  /** By map and key. */
  readonly calls = new Map<string, CallRecord[]>()
  readonly failures: Failure[] = []
  readonly accepted: Accepted[] = []
  /** Calls that ended; without those that failed. */
  answered = 0

  /** Records a call from its start to its end; rejects as it does. `result` makes the answer's number. */
  async record<T>(
    call: Pick<CallRecord, 'client' | 'key' | 'partition' | 'kind' | 'argument'> & {
      expected?: number | undefined
    },
    make: () => Promise<T>,
    result: (answer: T) => number | undefined,
  ): Promise<T> {
    const record = this.begin(call)
    try {
      const answer = await make()
      this.end(record, result(answer))
      return answer
    } catch (error) {
      this.fail(record, error)
      throw error
    }
  }

  begin(
    call: Pick<CallRecord, 'client' | 'key' | 'partition' | 'kind' | 'argument'> & {
      expected?: number | undefined
    },
  ): CallRecord {
    const place = { keyBytes: '', era: -1, epoch: 0, seq: 0 }
    const open = { callMs: performance.now(), endMs: Number.POSITIVE_INFINITY, result: undefined }
    const record: CallRecord = { ...call, expected: call.expected, ...place, ...open }
    const calls = this.calls.get(call.key)
    if (calls) calls.push(record)
    else this.calls.set(call.key, [record])
    return record
  }

  end(record: CallRecord, result: number | undefined): void {
    record.endMs = performance.now()
    record.result = result
    this.answered++
    if (isWrite(record)) this.accepted.push({ partition: record.partition, atMs: record.endMs })
  }

  /** A call that says that it has not been applied is none; one that does not know stays open. */
  fail(record: CallRecord, error: unknown, isCounted = true): void {
    if (!(error instanceof GridError)) throw error
    const { code, applied, message } = error
    const atMs = performance.now()
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
    if (isCounted)
      this.failures.push({
        code,
        applied,
        text: message + cause,
        atMs,
        durationMs: atMs - record.callMs,
        record,
      })
    if (!isWrite(record) || applied === 'no') {
      const calls = this.calls.get(record.key)!
      calls.splice(calls.lastIndexOf(record), 1)
    }
  }
}

export function isWrite({ kind }: CallRecord): boolean {
  return kind !== 'get' && kind !== 'getEntry'
}
