/**
 * Making calls and ending them.
 *
 * The hot path is `call`: the message is encoded straight into the owner's link, and costs one object and one promise,
 * no closure and no timer. What cannot leave at once is encoded into a buffer of the client's own and waits in its
 * lane. Deadlines are swept by one coarse timer, which runs only while somebody waits for an answer.
 */

import { ByteWriter } from '../core/base/bytes.ts'
import { type Applied, GridError } from '../core/base/errors.ts'
import type { Limits } from '../core/base/limits.ts'
import { hashBytes, partitionOf } from '../core/ring/hash.ts'
import { encodeKey } from '../core/wire/key.ts'
import type { LocalReader } from '../core/wire/local-reader.ts'
import {
  beginMessage,
  endMessage,
  FLAG_ANY,
  FLAG_CONFIRMED,
  MessageType,
  type Operation,
  writeCallHeader,
} from '../core/wire/message.ts'
import type { ClientMetrics } from './client-metrics.ts'
import type { Lane } from './lane.ts'
import { LocalCalls } from './local-calls.ts'
import type { MapGate } from './map-catalog.ts'
import { type AnyCallOptions, READ_STALE_MS } from './options.ts'
import type { Peer } from './peer.ts'
import { type Decoder, isWrite, PendingCall, type Settling } from './pending-call.ts'
import { Spread, writeFreshnessOf } from './spread.ts'
import { Sweeper } from './sweeper.ts'

/** Left free in a frame for its header. */
const FRAME_SPARE_BYTES = 64

/** Appends what follows the key of a call. */
export type ArgumentWriter = (w: ByteWriter, a: unknown, b: unknown, limits: Limits) => void

export interface CallsHandler {
  /** By partition. */
  readonly lanes: readonly Lane[]
  readonly closed: boolean
  /** Something waits in the lane. */
  pump(lane: Lane): void
  /** Opens the link to a member unless it is open. */
  connect(peer: Peer): void
  /** The call's map is not open yet. Never throws: the gate has been asked for room. */
  hold(gate: MapGate, call: PendingCall): void
  /** Every 50 ms while calls are pending or `isWatching`. */
  sweep(nowMs: number): void
  readonly isWatching: boolean
}

export interface CallsOptions {
  readonly limits: Limits
  readonly timeoutMs: number
  readonly nowMs: () => number
  /** The wall clock. */
  readonly wallMs: () => number
  /** A member in this process, which may answer reads without a link. */
  readonly local?: LocalReader | undefined
}

// The executor of every call's promise: it hands the two functions over without a closure for each.
const taken: { resolve: Settling['resolve']; reject: Settling['reject'] } = {
  resolve: () => {},
  reject: () => {},
}
const take = (resolve: (result: unknown) => void, reject: (error: unknown) => void): void => {
  taken.resolve = resolve
  taken.reject = reject
}

export class Calls {
  readonly limits: Limits
  readonly metrics: ClientMetrics
  readonly #timeoutMs: number
  readonly #nowMs: () => number
  readonly #sweeper: Sweeper
  readonly #handler: CallsHandler
  readonly #local: LocalCalls | undefined
  /** Where messages are written that cannot leave at once. */
  readonly #parking = new ByteWriter(64 * 1024)
  /** The key of the call at hand. */
  readonly #scratch = new ByteWriter(2048)
  readonly #spread: Spread
  #encoding = false
  #pending = 0
  #pendingBytes = 0
  /** Lanes that calls have left, so that waiting ones may move up. */
  readonly #stirred = new Set<Lane>()

  constructor(options: CallsOptions, metrics: ClientMetrics, handler: CallsHandler) {
    this.limits = options.limits
    this.metrics = metrics
    this.#timeoutMs = options.timeoutMs
    this.#nowMs = options.nowMs
    this.#handler = handler
    this.#local = options.local && new LocalCalls(options.local, options.limits)
    this.#spread = new Spread((peer) => handler.connect(peer))
    this.#sweeper = new Sweeper({
      nowMs: options.nowMs,
      wallMs: options.wallMs,
      isIdle: () => this.#pending === 0 && !handler.isWatching,
      sweep: (nowMs) => this.#sweep(nowMs),
      slept: (sleptMs) => this.#slept(sleptMs),
    })
  }

  /** Whether so many bytes await their answers that whoever can wait should: half of what may. */
  get isCrowded(): boolean {
    return this.#pendingBytes > 2 * this.limits.outputBytesMax
  }

  /** Whether a member in this process may answer reads. */
  get isBeside(): boolean {
    return this.#local !== undefined
  }

  /** How many partitions there are. */
  get partitionCount(): number {
    return this.#handler.lanes.length
  }

  /** Calls that have not been answered. */
  get pending(): number {
    return this.#pending
  }

  /** The partition of a key. @throws GridError `BAD_KEY`, `TOO_LARGE` */
  partitionOfKey(key: unknown): number {
    const scratch = this.#scratch
    scratch.clear()
    encodeKey(scratch, key, this.limits)
    return partitionOf(hashBytes(scratch.buffer, scratch.start, scratch.length), this.#handler.lanes.length)
  }

  /** Makes a call on one key. `write(w, a, b, limits)` appends the argument. Never throws: it rejects. */
  call(
    gate: MapGate,
    operation: Operation,
    key: unknown,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: AnyCallOptions | undefined,
  ): Promise<unknown> {
    try {
      const partition = this.partitionOfKey(key)
      const answer = this.#local && this.#readLocal(gate, operation, partition, key, decode, options)
      if (answer !== undefined) return answer
      return this.#promised(gate, operation, partition, key, write, a, b, decode, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** As `callPartition`, for `settling`: no promise is made, and it throws. */
  callPartitionFor(
    settling: Settling,
    tag: unknown,
    gate: MapGate,
    operation: Operation,
    partition: number,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: AnyCallOptions | undefined,
  ): void {
    this.#scratch.clear()
    this.submit(settling, tag, gate, operation, partition, write, a, b, decode, options)
  }

  /** The result of what the member in this process can answer; undefined for all else, whatever is wrong with it. */
  #readLocal(
    gate: MapGate,
    operation: Operation,
    partition: number,
    key: unknown,
    decode: Decoder,
    options: AnyCallOptions | undefined,
  ): Promise<unknown> | undefined {
    const lane = this.#handler.lanes[partition]
    if (gate.id === 0 || lane === undefined || isWrite(operation)) return undefined
    if (this.#handler.closed || this.#encoding) return undefined
    if (options !== undefined && (options.consistency === 'confirmed' || options.signal?.aborted))
      return undefined
    const answer = this.#local!.read(lane, gate.id, operation, key, this.#scratch, decode)
    if (answer === undefined) return undefined
    this.metrics.calls++
    this.metrics.localReads++
    return answer
  }

  /** Makes a call on a partition as a whole. */
  callPartition(
    gate: MapGate,
    operation: Operation,
    partition: number,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: AnyCallOptions | undefined,
  ): Promise<unknown> {
    try {
      this.#scratch.clear()
      return this.#promised(gate, operation, partition, undefined, write, a, b, decode, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #promised(
    gate: MapGate,
    operation: Operation,
    partition: number,
    key: unknown,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: AnyCallOptions | undefined,
  ): Promise<unknown> {
    const promise = new Promise<unknown>(take)
    this.submit(taken, key, gate, operation, partition, write, a, b, decode, options)
    return promise
  }

  /**
   * Makes a call on the key that `partitionOfKey` was asked for last. `settling`, of which only the two functions are kept,
   * knows it by `tag`: many calls may have one end, and none of them a promise. @throws GridError instead of rejecting
   */
  submit(
    settling: Settling,
    tag: unknown,
    gate: MapGate,
    operation: Operation,
    partition: number,
    write: ArgumentWriter,
    a: unknown,
    b: unknown,
    decode: Decoder,
    options: AnyCallOptions | undefined,
  ): void {
    // Before a getter of a value can make a call of its own, which is refused after its promise was made.
    const { resolve, reject } = settling
    const lane = this.#handler.lanes[partition]
    if (this.#handler.closed || lane === undefined)
      throw new GridError('CLOSED', 'the client has been closed')
    if (this.#encoding) throw new GridError('BAD_VALUE', 'a getter of a value may not use the grid')
    let timeoutMs = this.#timeoutMs
    let flags = 0
    if (options !== undefined) {
      if (options.signal?.aborted) throw aborted(options.signal, 'no')
      timeoutMs = options.timeoutMs ?? timeoutMs
      if (options.consistency === 'confirmed') flags = FLAG_CONFIRMED
    }
    if (this.#pendingBytes > 4 * this.limits.outputBytesMax)
      throw new GridError('OVERLOADED', `${this.#pendingBytes} bytes of calls await their answers`)
    const nowMs = this.#nowMs()
    const isAny = options?.read === 'any'
    const backup = isAny && gate.id !== 0 ? this.#spread.next(lane, nowMs) : undefined
    if (isAny) flags = FLAG_ANY
    const peer = backup ?? lane.owner
    const link = gate.id === 0 ? undefined : (backup?.link ?? lane.direct)
    if (link === undefined) this.#checkRoom(lane, gate)
    const w = link === undefined ? this.#parking : link.out
    const scratch = this.#scratch
    const mark = beginMessage(w, MessageType.call)
    const keyLength = scratch.length - scratch.start
    writeCallHeader(w, partition, lane.next, lane.ackUpTo, lane.epoch, operation, flags, gate.id, keyLength)
    w.bytes(scratch.buffer, scratch.start, scratch.length)
    this.#encoding = true
    try {
      if (isAny) writeFreshnessOf(w, lane, options.maxStaleMs ?? READ_STALE_MS)
      else write(w, a, b, this.limits)
    } catch (error) {
      w.length = w.start + mark
      throw error
    } finally {
      this.#encoding = false
    }
    endMessage(w, mark)
    if (w.length - w.start - mark > this.limits.frameBytesMax - FRAME_SPARE_BYTES) {
      w.length = w.start + mark
      throw new GridError('TOO_LARGE', `the call is over frameBytesMax (${this.limits.frameBytesMax})`)
    }
    const at = w.start + mark
    const size = w.length - at
    const call = new PendingCall(
      partition,
      operation,
      decode,
      tag,
      nowMs + timeoutMs,
      timeoutMs,
      w.buffer,
      at,
      size,
      lane,
    )
    call.resolve = resolve
    call.reject = reject
    this.metrics.calls++
    this.#pendingBytes += size
    if (this.#pending++ === 0) this.startSweeping()
    if (options?.signal !== undefined) this.#heed(call, options.signal)

    if (link !== undefined) {
      call.link = link
      call.away = backup !== undefined
      lane.admit(call)
      peer!.wrote(size)
      link.wake()
    } else {
      w.start = w.length // These bytes are the call's own now.
      if (gate.id === 0) this.#handler.hold(gate, call)
      else this.enqueue(lane, call)
    }
  }

  /** Before anything is counted, so that a refused call leaves nothing behind. */
  #checkRoom(lane: Lane, gate: MapGate): void {
    if (gate.id === 0 && !gate.hasRoom)
      throw new GridError('OVERLOADED', `${gate.calls.length} calls wait for map ${gate.name} to be opened`)
    if (!lane.hasRoom)
      throw new GridError('OVERLOADED', `${lane.queued} calls wait for partition ${lane.partition}`)
    if (lane.exhausted)
      throw new GridError(
        'OVERLOADED',
        `partition ${lane.partition} has used up its call numbers; connect again`,
      )
  }

  /** Takes a call that cannot leave at once. */
  enqueue(lane: Lane, call: PendingCall): void {
    lane.enqueue(call)
    this.#handler.pump(lane)
  }

  #heed(call: PendingCall, signal: AbortSignal): void {
    call.signal = signal
    call.onAbort = () => this.giveUp(call, aborted(signal, call.applied))
    signal.addEventListener('abort', call.onAbort)
  }

  /** Takes a call out that is answered or given up. */
  settle(lane: Lane, call: PendingCall): void {
    call.done = true
    lane.remove(call)
    this.#pending--
    this.#pendingBytes -= call.sizeBytes
    if (call.signal !== undefined) call.signal.removeEventListener('abort', call.onAbort!)
    if (lane.hungry) this.#stirred.add(lane)
  }

  /** A backup has answered from there. */
  answeredAway(lane: Lane, era: number, seq: number): void {
    this.metrics.backupReads++
    lane.sawCommitted(era, seq)
  }

  /** A backup has left a read to the owner. That says nothing of the owner, which is asked at once. */
  sentBack(lane: Lane, call: PendingCall): void {
    this.metrics.backupRefusals++
    this.#spread.refused(lane, this.#nowMs())
    lane.refused(call)
    this.stir(lane)
  }

  /** Rejects a call that is not waited for any more. */
  giveUp(call: PendingCall, error: GridError): void {
    if (call.done) return
    this.settle(this.#handler.lanes[call.partition]!, call)
    call.reject(error, call)
    this.pumpStirred()
  }

  timedOut(call: PendingCall, refusal: unknown): void {
    const lane = this.#handler.lanes[call.partition]!
    const cause = refusal ?? lane.refusal ?? lane.owner?.lastError
    this.metrics.timeouts++
    const because = cause instanceof Error ? `; last: ${cause.message}` : ''
    const owner = lane.owner === undefined ? 'which has no known owner' : `owned by ${lane.owner.address}`
    const text = `no answer within ${call.timeoutMs} ms from partition ${call.partition}, ${owner}${because}`
    this.giveUp(call, new GridError('TIMEOUT', text, { applied: call.applied, cause }))
  }

  startSweeping(): void {
    if (!this.#handler.closed) this.#sweeper.start()
  }

  stopSweeping(): void {
    this.#sweeper.stop()
  }

  /** To be asked before a call is sent again. */
  heedSleep(): void {
    this.#sweeper.heedSleep()
  }

  #sweep(nowMs: number): void {
    for (const lane of this.#handler.lanes)
      if (lane.nextDeadlineMs <= nowMs) lane.expire(nowMs, (call) => this.timedOut(call, undefined))
    this.#handler.sweep(nowMs)
    this.pumpStirred()
  }

  /**
   * Gives up what may have taken effect: no deadline counts the time of a sleep, and the members may have forgotten the
   * session meanwhile, so that a call sent again would take effect again.
   */
  #slept(sleptMs: number): void {
    const text = `this machine slept for about ${Math.round(sleptMs / 1000)} s after the call was sent`
    for (const lane of this.#handler.lanes)
      for (const call of lane.calls())
        if (call.applied === 'unknown')
          this.giveUp(call, new GridError('TIMEOUT', text, { applied: 'unknown' }))
  }

  /** The lane may have something to send; it is looked at when the frame at hand has been read. */
  stir(lane: Lane): void {
    this.#stirred.add(lane)
  }

  isStirred(lane: Lane): boolean {
    return this.#stirred.has(lane)
  }

  pumpStirred(): void {
    if (this.#stirred.size === 0) return
    for (const lane of this.#stirred) this.#handler.pump(lane)
    this.#stirred.clear()
  }
}

function aborted(signal: AbortSignal, applied: Applied): GridError {
  return new GridError('ABORTED', 'the caller gave the call up', { applied, cause: signal.reason })
}
