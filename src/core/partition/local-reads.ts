/**
 * Reads by a program in this member's own process: answered between two turns, from the store, where the owner would
 * answer a call at once; refused in every other case, and then the call goes over a link like anybody's.
 *
 * So there is nothing here that waits, sends or appends. What `Partition.onCall` and `CallHandler` ask of a call is asked
 * of these too, and by the same operations; only who has earlier calls under way has to see to their order itself, for
 * here there is no link that keeps it (`Lane.isQuiet` in the client).
 */

import { asBuffer, ByteWriter } from '../base/bytes.ts'
import { hashBytes, partitionOf } from '../ring/hash.ts'
import { RecordView } from '../store/record.ts'
import { checkKey } from '../wire/key-check.ts'
import { type CallView, FLAG_CONFIRMED, ReplyStatus, type ReplyView } from '../wire/message.ts'
import type { EntryRead } from './call.ts'
import type { Now } from './context.ts'
import { entryReads } from './operation.ts'
import type { Owner } from './owner.ts'
import type { Partition } from './partition.ts'

const PAYLOAD_KEPT_BYTES = 256 * 1024

export class LocalReads implements EntryRead {
  readonly #partitions: readonly Partition[]
  readonly payload = new ByteWriter()
  readonly found = new RecordView()
  dependsOn = 0
  // The read at hand.
  #owner!: Owner
  #view!: CallView
  #now!: Now
  #answer!: ReplyView
  #hash = 0
  #location = -1
  #answered = false

  constructor(partitions: readonly Partition[]) {
    this.#partitions = partitions
  }

  /**
   * Whether the read could be answered, and `answer` holds it, in bytes of the store's own. Otherwise nothing has happened.
   * @throws GridError where a call would be answered with it
   */
  answer(view: CallView, now: Now, answer: ReplyView): boolean {
    const owner = this.#partitions[view.partition]?.owner
    const run = entryReads[view.operation]
    if (owner === undefined || run === undefined || !isServing(owner, view, now)) return false
    const { bytes, keyStart, keyEnd } = view
    const { limits, partitionCount } = owner.context
    checkKey(bytes, keyStart, keyEnd, limits)
    this.#hash = hashBytes(bytes, keyStart, keyEnd)
    if (partitionOf(this.#hash, partitionCount) !== view.partition) return false
    this.#owner = owner
    this.#view = view
    this.#now = now
    this.#answer = answer
    this.#answered = false
    this.payload.reuse(PAYLOAD_KEPT_BYTES)
    run(this)
    return this.#answered
  }

  // ---- what operations use

  lookup(): boolean {
    const { bytes, map, keyStart, keyEnd } = this.#view
    const { housekeeping, lastRemovalSeq, replica } = this.#owner
    const location = replica.store.find(map, this.#hash, bytes, keyStart, keyEnd)
    this.#location = location
    this.dependsOn = lastRemovalSeq
    if (location < 0) return false
    const record = replica.store.view(location, this.found)
    this.dependsOn = record.seq
    if (!housekeeping.isDue(record, location, this.#now)) return true
    // It is gone, by a record that has yet to be written.
    this.dependsOn = Number.POSITIVE_INFINITY
    return false
  }

  read(dependsOn: number): void {
    const { payload } = this
    this.readBytes(dependsOn, payload.buffer, payload.start, payload.length)
  }

  readBytes(dependsOn: number, bytes: Uint8Array, start: number, end: number): void {
    const owner = this.#owner
    if (dependsOn > owner.commit) return
    if (this.#location >= 0) owner.housekeeping.touched(this.#view.map, this.#location, this.#now)
    const answer = this.#answer
    answer.partition = this.#view.partition
    answer.call = this.#view.call
    answer.status = ReplyStatus.ok
    answer.era = owner.config.era
    answer.epoch = owner.config.epoch
    answer.seq = owner.head
    answer.bytes = asBuffer(bytes)
    answer.payloadStart = start
    answer.payloadEnd = end
    this.#answered = true
  }
}

/**
 * What the owner asks of any call before it takes it, and of a read before it answers it from the head of its log. Only how
 * many calls wait is not asked: this one will not be among them.
 */
function isServing(owner: Owner, { map, epoch, flags }: CallView, { monoMs, wallMs }: Now): boolean {
  const { context, log, config } = owner
  if (owner.stopped || epoch > config.epoch || (flags & FLAG_CONFIRMED) !== 0) return false
  return context.mapConfig(map) !== undefined && log.leased(monoMs, wallMs, context.timing.leaseMs)
}
