/**
 * Reads that a member in this process answers by itself: no message, no frame, no turn of the event loop.
 *
 * The member is asked where this client believes it to be the owner and has nothing under way on the partition; what
 * it cannot answer at once goes over a link as if it had not been asked. What comes back is judged as any reply:
 * one that is older than what this client has seen is not taken.
 *
 * Such an answer is there before anything else can happen, and a program that awaits nothing else would keep timers and
 * links from running: the member would look dead to the others. So after `TURN_BYTES` of reads, a millisecond or two,
 * answers are held back until the event loop has turned.
 */

import type { ByteWriter } from '../core/base/bytes.ts'
import type { Limits } from '../core/base/limits.ts'
import type { LocalReader } from '../core/wire/local-reader.ts'
import { CallView, type Operation, ReplyView } from '../core/wire/message.ts'
import { isBefore, type Lane } from './lane.ts'
import type { Decoder } from './pending-call.ts'

/** Read before the event loop has to turn; each read counts as its value and `READ_BYTES`. */
const TURN_BYTES = 512 * 1024
const READ_BYTES = 256
/** Answers that wait for that; then reads go over the link, where there are bounds of their own. */
const HELD_MAX = 4096

export class LocalCalls {
  readonly #reader: LocalReader
  readonly #limits: Limits
  // Used again for every read.
  readonly #view = new CallView()
  readonly #reply = new ReplyView()
  readonly #asked = { partition: 0, key: undefined as unknown, sizeBytes: 0 }
  #readBytes = 0
  #held: (() => void)[] = []

  constructor(reader: LocalReader, limits: Limits) {
    this.#reader = reader
    this.#limits = limits
  }

  /** The result of a read whose key's bytes stand in `scratch`, or undefined where it has to go over a link. */
  read(
    lane: Lane,
    map: number,
    operation: Operation,
    key: unknown,
    scratch: ByteWriter,
    decode: Decoder,
  ): Promise<unknown> | undefined {
    if (lane.owner?.id !== this.#reader.id || !lane.isQuiet || this.#held.length >= HELD_MAX) return undefined
    const view = this.#view
    view.partition = lane.partition
    view.epoch = lane.epoch
    view.operation = operation
    view.map = map
    view.bytes = scratch.buffer
    view.keyStart = scratch.start
    view.keyEnd = scratch.length
    const reply = this.#reply
    if (!this.#reader.readLocal(view, reply)) return undefined
    const { era, epoch, seq } = reply
    if (isBefore(era, epoch, seq, lane.era, lane.seenEpoch, lane.seq)) return undefined
    lane.saw(era, epoch, seq)
    return this.#answer(decode, key, scratch.length - scratch.start)
  }

  #answer(decode: Decoder, key: unknown, keyBytes: number): Promise<unknown> {
    const reply = this.#reply
    const asked = this.#asked
    asked.partition = reply.partition
    asked.key = key
    asked.sizeBytes = keyBytes
    this.#readBytes += READ_BYTES + reply.payloadEnd - reply.payloadStart
    let result: unknown
    try {
      result = decode(reply, asked, this.#limits)
    } catch (error) {
      return Promise.reject(error)
    }
    return this.#readBytes < TURN_BYTES ? Promise.resolve(result) : this.#hold(result)
  }

  #hold(result: unknown): Promise<unknown> {
    if (this.#held.length === 0) setImmediate(this.#release)
    return new Promise((resolve) => this.#held.push(() => resolve(result)))
  }

  readonly #release = (): void => {
    const held = this.#held
    this.#held = []
    this.#readBytes = 0
    for (const answer of held) answer()
  }
}
