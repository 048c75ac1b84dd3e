/**
 * Reads of many keys: one call for all keys of a partition.
 *
 * Such a call is a read of its lane like any other, in order with the client's writes there, and answered by the same
 * rules; each key is read at a moment of its own. A member ends an answer that becomes long early, and is asked for the
 * rest. Values are decoded straight into the results.
 *
 * Measured with 1,000 keys, 3.7 a partition, and values of 119 B, against a call for each key: 0.75 µs a key instead of 1.3 at
 * the client and 0.6 instead of 1.05 at the member. With eight such reads at once the client took 4.5, for the collector moved
 * thousands of calls and promises that lived too long; it takes 0.75 now, and 1.3 million keys a second come instead of 0.27.
 */

import { assert } from '../core/base/assert.ts'
import { type ByteWriter, getU32, putU16 } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import type { Limits } from '../core/base/limits.ts'
import { encodeKey } from '../core/wire/key.ts'
import { Operation, type ReplyView } from '../core/wire/message.ts'
import { decodeValue } from '../core/wire/value-decode.ts'
import type { Bulk } from './bulk.ts'
import type { Calls } from './calls.ts'
import type { MapGate } from './map-catalog.ts'
import type { GetOptions } from './options.ts'
import type { Asked, Settling } from './pending-call.ts'

/** Keys that are sorted by partition in one go. */
const BATCH = 4096
/** Bytes of keys after which a call ends. */
const KEYS_BYTES = 16 * 1024

/** One call: the keys from `first` on along the chain of their partition. */
interface Ask {
  readonly partition: number
  first: number
  /** How many are asked for, at most until the call is written. */
  count: number
  /** The key after those, or -1. */
  rest: number
}

class BulkRead implements Settling {
  readonly #bulk: Bulk
  readonly #calls: Calls
  readonly #gate: MapGate
  readonly #options: GetOptions | undefined
  /** By the number of a key: the next one of its partition, or -1. */
  readonly #next: Int32Array

  constructor(bulk: Bulk, calls: Calls, gate: MapGate, count: number, options: GetOptions | undefined) {
    this.#bulk = bulk
    this.#calls = calls
    this.#gate = gate
    this.#options = options
    this.#next = new Int32Array(count)
  }

  /** Asks for the keys with numbers in `[from, end)`. */
  ask(from: number, end: number): void {
    const heads = new Int32Array(this.#calls.partitionCount).fill(-1)
    assert(heads.length > 0, 'a client has a view before it has maps')
    // From the last to the first, so that each chain is in their order.
    for (let number = end - 1; number >= from; number--)
      try {
        const partition = this.#calls.partitionOfKey(this.#bulk.keys[number])
        this.#next[number] = heads[partition]!
        heads[partition] = number
      } catch (error) {
        this.#bulk.fail(number, error)
      }
    for (let partition = 0; partition < heads.length; partition++) {
      let first = heads[partition]!
      while (first >= 0) {
        const ask: Ask = { partition, first, count: Number.POSITIVE_INFINITY, rest: -1 }
        this.#send(ask)
        first = ask.rest
      }
    }
  }

  #send(ask: Ask): void {
    try {
      this.#calls.callPartitionFor(
        this,
        ask,
        this.#gate,
        Operation.getAll,
        ask.partition,
        this.#write,
        ask,
        undefined,
        this.#decode,
        this.#options,
      )
    } catch (error) {
      ask.rest = -1
      this.#fail(ask, error)
    }
  }

  readonly #write = (w: ByteWriter, a: unknown, _: unknown, limits: Limits): void => {
    const ask = a as Ask
    const begin = w.length - w.start
    const bytesMax = Math.min(KEYS_BYTES, limits.frameBytesMax >>> 2)
    let number = ask.first
    let count = 0
    while (number >= 0 && count < ask.count && w.length - w.start - begin < bytesMax) {
      const mark = w.length - w.start
      w.u16(0)
      encodeKey(w, this.#bulk.keys[number], limits)
      const at = w.start + mark
      putU16(w.buffer, at, w.length - at - 2)
      number = this.#next[number]!
      count++
    }
    ask.count = count
    ask.rest = number
  }

  /** Settles the keys that are answered. */
  readonly #decode = (reply: ReplyView, call: Asked, limits: Limits): void => {
    const ask = call.key as Ask
    const { bytes, payloadStart, payloadEnd } = reply
    let at = payloadStart + 4
    const count = at <= payloadEnd ? getU32(bytes, payloadStart) : 0
    if (count === 0 || count > ask.count)
      throw new GridError('MALFORMED', `an answer for ${count} of ${ask.count} keys`)
    for (let i = 0; i < count; i++) {
      const size = at + 4 <= payloadEnd ? getU32(bytes, at) : Number.POSITIVE_INFINITY
      if (size > payloadEnd - at - 4) throw new GridError('MALFORMED', 'an answer is cut short')
      at += 4
      const value = size === 0 ? undefined : decodeValue(bytes, at, at + size, limits)
      at += size
      const number = ask.first
      ask.first = this.#next[number]!
      ask.count--
      this.#bulk.settle(number, value)
    }
  }

  readonly resolve = (_: unknown, call: Asked): void => {
    const ask = call.key as Ask
    if (ask.count > 0) this.#send(ask)
  }

  readonly reject = (error: unknown, call: Asked): void => this.#fail(call.key as Ask, error)

  /** All that the call has asked for and has not been told. */
  #fail(ask: Ask, error: unknown): void {
    for (let number = ask.first; number >= 0 && ask.count > 0; ask.count--) {
      this.#bulk.fail(number, error)
      number = this.#next[number]!
    }
  }
}

/** Reads `keys` at their owners into the results of `bulk`. @throws PartialError */
export async function readAll(
  bulk: Bulk,
  calls: Calls,
  gate: MapGate,
  keys: readonly unknown[],
  options: GetOptions | undefined,
): Promise<void> {
  const read = new BulkRead(bulk, calls, gate, keys.length, options)
  for (let from = 0; from < keys.length; from += BATCH) {
    const end = Math.min(keys.length, from + BATCH)
    if (bulk.isFull(end - from)) await bulk.room(end - from)
    for (let number = from; number < end; number++) bulk.begin(keys[number])
    read.ask(from, end)
  }
  await bulk.end()
}
