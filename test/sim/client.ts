/**
 * A simulated client: calls with numbers, retries until a deadline, and subscriptions, over virtual links.
 *
 * Harsher than the real one: attempts overlap, a call may be sent again although its first attempt is well under way,
 * late copies arrive after the answer, and one that has slept sends again what may have taken effect long ago.
 */

import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import type { GridError } from '../../src/core/base/errors.ts'
import {
  beginMessage,
  endMessage,
  FLAG_ANY,
  FLAG_CONFIRMED,
  FLAG_RETRY,
  FLAG_SESSION,
  MessageType,
  ReplyStatus,
  type ReplyView,
  readError,
  writeCallHeader,
  writeFreshness,
} from '../../src/core/wire/message.ts'
import { type AnswerChecker, tookEffect } from './answer-checker.ts'
import type { CallKind, CallRecord } from './history.ts'
import type { Ledger } from './ledger.ts'
import { LinkedClient, type LinkOptions } from './linked-client.ts'
import type { SimMember } from './member.ts'
import type { LinkEnd } from './network.ts'
import { OrderChecker } from './order-checker.ts'
import type { AnyRead, StalenessChecker } from './staleness-checker.ts'
import { WatchClient } from './watch-client.ts'
import {
  type Answer,
  type Bounds,
  drawRequest,
  inBulk,
  isHistory,
  isWrite,
  type Knowledge,
  MapOf,
  type ReadVersion,
  type Request,
  readAnswer,
} from './workload.ts'

const OUTSTANDING_MAX = 8

export interface Pending {
  readonly request: Request
  readonly record: CallRecord
  readonly number: number
  readonly flags: number
  /** Of a read that any replica may answer. */
  readonly any: AnyRead | undefined
  /** (era, epoch, seq) of the newest answer seen before this call was made. */
  readonly floor: readonly [number, number, number]
  deadlineMs: number
  attempts: number
  /** Of the newest attempt. */
  attempt: number
  /** The link of the newest attempt; answers to older ones count for nothing, since this one may yet do otherwise. */
  end: LinkEnd | undefined
  /** Whether it was sent with the newest epoch known; if not, an owner that has been replaced took it too. */
  told: boolean
  /** The owner's wall clock when it was sent there. */
  wallLow: number
  /** Links that owe an answer to an attempt: what is sent there again could not be told from the first. */
  readonly owing: Set<LinkEnd>
  done: boolean
}

interface Lane {
  next: number
  ackUpTo: number
  readonly pending: Map<number, Pending>
  newest: readonly [number, number, number]
  /** The newest place in this era that an answer to a read which any replica may answer has named. */
  shown: number
  /** A write has been answered as applied: the partition must know the session. */
  remembered: boolean
  /** When the newest write that was answered had been made. */
  writtenMs: number
}

export interface ClientStats {
  calls: number
  answered: number
  unknown: number
  refused: number
  expiredSessions: number
  retries: number
  confirmed: number
  anyReads: number
  backupReads: number
  sleeps: number
  sentAfterSleep: number
  storeFull: number
  overloaded: number
  tooLarge: number
}

export interface ClientOptions extends LinkOptions {
  readonly ledger: Ledger
  readonly answers: AnswerChecker
  readonly staleness: StalenessChecker
  /** How often a read of one key may be answered by any replica. */
  readonly anyProbability: number
  readonly partitionCount: number
  readonly bounds: Bounds
  readonly history: CallRecord[]
  readonly stats: ClientStats
  readonly thinkMs: number
  /** How long a call is tried; at most a quarter of `sessionIdleMs`. */
  readonly deadlineMs: number
  readonly sessionIdleMs: number
  /** How often it falls asleep just after a call has left. */
  readonly sleepProbability: number
  readonly confirmedProbability: number
  /** How often a call goes to anybody, by a client that knows nothing of epochs. */
  readonly astrayProbability: number
  readonly unique: () => number
  /** A read of the same key, by a program beside each member. */
  readonly readBeside: (request: Request) => void
}

export class SimClient extends LinkedClient {
  readonly #options: ClientOptions
  readonly #lanes: Lane[] = []
  #stopped = false
  /** Versions read by getEntry, by map and key, for conditional writes. */
  readonly #versions = new Map<string, ReadVersion>()
  /** Walks through pages that wait for their next, by map and partition. */
  readonly #walks = new Map<string, { readonly walk: number; readonly fromHash: number }>()
  readonly #order: OrderChecker
  readonly #knowledge: Knowledge
  #wokenMs = 0
  /** Its reads of this partition go to this host, whoever owns it, without a word of its epochs, and ask to be confirmed. */
  misled: { readonly partition: number; readonly host: string } | undefined
  /** When a partition last answered a read and a write. */
  readonly readMs: number[] = []
  readonly writeMs: number[] = []

  constructor(options: ClientOptions) {
    super(options)
    this.#options = options
    this.#order = new OrderChecker(this.world)
    this.#knowledge = {
      unique: options.unique,
      version: (map, name) => this.#versions.get(`${map} ${name}`),
      page: (map, partition) => this.#nextPage(map, partition),
    }
    for (let p = 0; p < options.partitionCount; p++)
      this.#lanes.push({
        next: 1,
        ackUpTo: 0,
        pending: new Map(),
        newest: [0, 0, 0],
        shown: 0,
        remembered: false,
        writtenMs: Number.NEGATIVE_INFINITY,
      })
    this.world.after(this.world.between(0, 200), () => this.#think())
  }

  /** Makes no more calls, and is awake to hear of those that it has made. */
  stop(): void {
    this.#stopped = true
    if (this.asleep) this.exec(() => this.#wake())
  }

  get outstanding(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.pending.size, 0)
  }

  addWatch(watch: number, partition: number, map: number, filtered: boolean): void {
    const key = `${watch} ${partition}`
    this.watches.set(key, new WatchClient(this, this.#options.ledger, watch, partition, map, filtered))
  }

  // ---- calls

  #think(): void {
    const { world } = this
    world.after(world.between(0, 2 * this.#options.thinkMs), () => {
      const free = this.outstanding < OUTSTANDING_MAX && !this.asleep && !this.#waking
      if (!this.#stopped && free && this.maps[0]) this.exec(() => this.#makeCall())
      this.#think()
    })
  }

  #makeCall(): void {
    const { world } = this
    const { bounds, partitionCount, stats, history, deadlineMs, confirmedProbability } = this.#options
    const maps = this.allOpened ? this.maps : this.maps.slice(0, 1)
    const drawn = drawRequest(world, bounds, maps, partitionCount, this.#knowledge)
    const any = this.#drawAny(drawn)
    const request = any
      ? { ...drawn, argument: this.#freshness(drawn, any) }
      : inBulk(drawn, bounds, partitionCount)
    const { partition, name, keyHex, kind, number } = request
    this.#options.readBeside(drawn)
    const lane = this.#lanes[partition]!
    const expected = request.version?.value
    const record: CallRecord = {
      client: this.host,
      key: name,
      keyBytes: keyHex,
      partition,
      kind: kind as CallKind,
      argument: number,
      expected,
      callMs: world.nowMs,
      ...none,
    }
    const pending: Pending = {
      request,
      record,
      number: lane.next++,
      flags: any
        ? FLAG_ANY
        : world.chance(this.#misledBy(request) ? 1 : confirmedProbability)
          ? FLAG_CONFIRMED
          : 0,
      any,
      floor: lane.newest,
      deadlineMs: world.nowMs + deadlineMs,
      attempts: 0,
      attempt: 0,
      end: undefined,
      told: false,
      wallLow: 0,
      owing: new Set(),
      done: false,
    }
    lane.pending.set(pending.number, pending)
    stats.calls++
    if (pending.flags === FLAG_CONFIRMED && !isWrite(kind)) stats.confirmed++
    if (any) stats.anyReads++
    else if (isHistory(request)) history.push(record)
    this.#send(pending)
  }

  /** Whether the read may be answered by any replica. Where no reads are, nothing is drawn, either. */
  #drawAny(request: Request): AnyRead | undefined {
    const { world } = this
    const { anyProbability, staleness } = this.#options
    if (anyProbability === 0 || !['get', 'getEntry', 'has'].includes(request.kind)) return undefined
    if (this.#misledBy(request) || !world.chance(anyProbability)) return undefined
    return staleness.made(this.host, request, world.pick([300, 600, 1000, 3000]))
  }

  /** As the real client says it: what it has seen of the partition, and how old the answer may be. */
  #freshness({ partition }: Request, { maxStaleMs }: AnyRead): Uint8Array {
    const { newest, shown } = this.#lanes[partition]!
    const [era, epoch, seq] = newest
    const w = new ByteWriter(32)
    writeFreshness(w, { maxStaleMs, era, epoch, seq: Math.max(seq, shown) })
    return w.take()
  }

  /** The next page of a walk that has been answered so far, or the first one of another. */
  #nextPage(map: number, partition: number): { walk: number; fromHash: number } {
    const name = `${map} ${partition}`
    const open = this.#walks.get(name)
    this.#walks.delete(name)
    return open ?? { walk: this.#options.unique(), fromHash: 0 }
  }

  #send(call: Pending): void {
    if (call.done || this.asleep) return
    const { world } = this
    if (world.nowMs > call.deadlineMs) {
      this.#options.stats.unknown++
      this.#finish(call)
      return
    }
    const { partition } = call.request
    const astray = world.chance(this.#options.astrayProbability)
    const misled = this.#misledBy(call.request)
    const anyone = astray || (call.any !== undefined && call.attempts === 0)
    const target = misled ? this.#linkTo(misled.host) : anyone ? this.#anyLink() : this.ownerLink(partition)
    const end = target && !call.owing.has(target) ? target : undefined
    if (end) this.#sendOn(end, call, misled ? 0 : astray ? 0.3 : 0.9)
    this.#again(call, end ? world.between(400, 1500) : world.between(30, 80))
  }

  /** `told`: how often the owner is told of the newest epoch that this client knows of. */
  #sendOn(end: LinkEnd, call: Pending, told: number): void {
    const { world } = this
    const { partition, operation, map, key, argument } = call.request
    const lane = this.#lanes[partition]!
    call.end = end
    call.wallLow = wallOf(end)
    call.owing.add(end)
    const w = end.out
    const mark = beginMessage(w, MessageType.call)
    const flags = call.flags | (call.attempts > 0 ? FLAG_RETRY : 0) | (lane.remembered ? FLAG_SESSION : 0)
    const epoch = world.chance(told) ? this.epochOf(partition) : 0
    call.told = epoch > 0 && epoch >= lane.newest[1]
    writeCallHeader(w, partition, call.number, lane.ackUpTo, epoch, operation, flags, map, key.length)
    w.bytes(key)
    w.bytes(argument)
    endMessage(w, mark)
    end.wake()
    call.attempts++
    if (call.attempts > 1) this.#options.stats.retries++
    this.#order.sent(call, end, lane.pending.keys())
    if (!this.#stopped && world.chance(this.#options.sleepProbability)) this.#sleep()
  }

  // ---- sleep

  /** Calls that are sent again after a sleep are over: only then others are made. */
  get #waking(): boolean {
    for (const lane of this.#lanes)
      for (const call of lane.pending.values()) if (call.record.callMs < this.#wokenMs) return true
    return false
  }

  /**
   * Its machine sleeps, for longer perhaps than its sessions are remembered: its links end. Then it does what the real
   * one does not: it sends its writes again, though they may have taken effect before. Only where the owner can know that
   * it must know the session, and before anything else, does it get an answer that tells.
   */
  #sleep(): void {
    const { world } = this
    this.#options.stats.sleeps++
    world.after(world.between(0.5, 6), () => {
      if (this.#stopped) return
      this.asleep = true
      for (const link of this.openLinks) link.close()
    })
    const idleMs = Math.min(this.#options.sessionIdleMs, 8000)
    world.after(world.chance(0.3) ? world.between(500, 5000) : idleMs + world.between(0, 12_000), () => {
      if (this.asleep) this.exec(() => this.#wake())
    })
  }

  #wake(): void {
    const { world } = this
    const { stats, deadlineMs } = this.#options
    this.asleep = false
    this.#wokenMs = world.nowMs
    for (const lane of this.#lanes)
      for (const call of [...lane.pending.values()]) {
        if (isWrite(call.request.kind) && call.attempts > 0 && lane.remembered && !this.#stopped) {
          call.deadlineMs = world.nowMs + deadlineMs
          stats.sentAfterSleep++
          this.#again(call, world.between(50, 500))
        } else {
          stats.unknown++
          this.#finish(call)
        }
      }
  }

  #misledBy({ partition, kind }: Request): { readonly host: string } | undefined {
    return this.misled?.partition === partition && !isWrite(kind) ? this.misled : undefined
  }

  #linkTo(host: string): LinkEnd | undefined {
    return this.openLinks.find(({ other }) => other.process.host === host)
  }

  #anyLink(): LinkEnd | undefined {
    return this.openLinks.length > 0 ? this.world.pick(this.openLinks) : undefined
  }

  protected override lost(end: LinkEnd): void {
    for (const lane of this.#lanes)
      for (const call of lane.pending.values())
        if (call.end === end && this.world.chance(0.7)) this.#again(call, this.world.between(0, 100))
  }

  #again(call: Pending, delayMs: number): void {
    const attempt = ++call.attempt
    this.world.after(delayMs, () => {
      if (!call.done && call.attempt === attempt) this.exec(() => this.#send(call))
    })
  }

  #finish(call: Pending): void {
    call.done = true
    this.#order.forget(call)
    const lane = this.#lanes[call.request.partition]!
    lane.pending.delete(call.number)
    while (lane.ackUpTo + 1 < lane.next && !lane.pending.has(lane.ackUpTo + 1)) lane.ackUpTo++
  }

  protected override replied(end: LinkEnd, reply: ReplyView): void {
    const lane = this.#lanes[reply.partition]!
    const call = lane.pending.get(reply.call)
    if (!call || this.asleep) return
    call.owing.delete(end)
    if (call.end !== end) return
    const { world } = this
    if (reply.status === ReplyStatus.ok) this.#answered(call, lane, reply)
    else if (reply.status === ReplyStatus.error) {
      const error = readError(new ByteReader(reply.bytes, reply.payloadStart, reply.payloadEnd))
      this.#refused(call, lane, error, reply)
    } else {
      const owner = reply.bytes.toString('hex', reply.payloadStart, reply.payloadStart + 16)
      this.learn(reply.partition, reply.epoch, owner)
      this.#again(call, world.between(5, 60))
    }
  }

  #checkStaleness(call: Pending, answer: Answer, { era, seq }: ReplyView): void {
    const { request, any } = call
    const { staleness, stats } = this.#options
    if (any) {
      staleness.answered(this.host, request, any, { era, seq })
      if (!(call.end!.other.process as SimMember).engine.partitions[request.partition]?.owner)
        stats.backupReads++
    } else if (namesVersion(request, answer))
      staleness.told(this.host, request, { era, seq: request.kind === 'getEntry' ? answer.seq : seq })
  }

  #refused(call: Pending, lane: Lane, error: GridError, reply: ReplyView): void {
    const { stats, history } = this.#options
    const { code } = error
    if (code === 'OVERLOADED') stats.overloaded++
    if (code === 'STORE_FULL') stats.storeFull++
    if (code === 'OVERLOADED' || code === 'NOT_READY') this.#order.refused(call)
    // Nothing else of it is under way: it has not taken effect and never will.
    if (code === 'STORE_FULL' && call.attempts === 1 && this.world.chance(0.7)) {
      const at = isHistory(call.request) ? history.lastIndexOf(call.record) : -1
      if (at >= 0) history.splice(at, 1)
      stats.refused++
      this.#finish(call)
      return
    }
    if (error.retryable && error.applied === 'no') {
      this.#again(call, this.world.between(20, 80))
      return
    }
    if (code === 'RESULT_TOO_LARGE' && call.request.kind === 'query') stats.tooLarge++
    else if (code === 'SESSION_EXPIRED') this.#expired(call, lane, reply)
    else this.world.fail(`${call.request.kind} was refused: ${error.message}`)
    stats.unknown++
    this.#finish(call)
  }

  /**
   * The partition has forgotten this session, which it may only when nothing has been heard of it for long. A member that
   * was replaced before it heard that it was the owner may say so too, to whom does not tell it what epochs there are.
   */
  #expired(call: Pending, lane: Lane, reply: ReplyView): void {
    const { stats, sessionIdleMs } = this.#options
    stats.expiredSessions++
    const idleMs = this.world.nowMs - lane.writtenMs
    if (call.told && reply.era === lane.newest[0] && idleMs < 0.95 * sessionIdleMs)
      this.world.fail(
        `the session of ${this.host} in partition ${reply.partition} has expired after ${Math.round(idleMs)} ms`,
      )
  }

  #answered(call: Pending, lane: Lane, reply: ReplyView): void {
    const { record, request } = call
    const { kind, partition, map, name } = request
    const position = [reply.era, reply.epoch, reply.seq] as const
    if (older(position, call.floor))
      this.world.fail(
        `${this.host} sees partition ${partition} at ${position} after it had seen ${call.floor} (${kind} ${call.number})`,
      )
    if (reply.era > lane.newest[0]) {
      lane.remembered = false
      lane.writtenMs = Number.NEGATIVE_INFINITY
    }
    if (reply.era > lane.newest[0]) lane.shown = 0
    if (older(lane.newest, position)) lane.newest = position
    if (call.any && reply.era === lane.newest[0]) lane.shown = Math.max(lane.shown, reply.seq)
    if (kind === 'put' || kind === 'increment') {
      lane.remembered = true
      lane.writtenMs = Math.max(lane.writtenMs, record.callMs)
    }
    this.#options.stats.answered++
    const answer = readAnswer(request, reply)
    record.endMs = this.world.nowMs
    record.era = reply.era
    record.epoch = reply.epoch
    record.seq = reply.seq
    record.result = answer.result
    const { era, epoch, seq } = reply
    // The owner's clock may have been set in between, either way.
    const walls = [call.wallLow, wallOf(call.end!)] as const
    const [wallLow, wallHigh] = [Math.min(...walls), Math.max(...walls)]
    this.#options.answers.check(request, answer, { era, epoch, seq, wallLow, wallHigh })
    this.#checkStaleness(call, answer, reply)
    this.#order.answered(call)
    this.#finish(call)
    if (kind === 'getEntry' && answer.result !== undefined)
      this.#versions.set(`${map} ${name}`, { era, seq: answer.seq, value: answer.result })
    if (kind === 'page' && answer.nextHash >= 0)
      this.#walks.set(`${map} ${partition}`, { walk: request.page.walk, fromHash: answer.nextHash })
    if (request.place !== MapOf.plain || call.any) return
    if (kind === 'get' || kind === 'getEntry') this.readMs[partition] = record.callMs
    else if (isWrite(kind)) this.writeMs[partition] = record.callMs
  }
}

/** Whether the answer names the record that its key has had since. */
function namesVersion({ kind }: Request, { result }: Answer): boolean {
  if (kind === 'getEntry') return result !== undefined
  return isWrite(kind) && kind !== 'clear' && tookEffect(kind, result)
}

const none = { endMs: Number.POSITIVE_INFINITY, result: undefined, era: -1, epoch: 0, seq: 0 }

/** The wall clock at the other end of a link. */
function wallOf({ other }: LinkEnd): number {
  return (other.process as SimMember).clocks().wallMs
}

function older(a: readonly [number, number, number], b: readonly [number, number, number]): boolean {
  return a[0] !== b[0] ? a[0] < b[0] : a[1] !== b[1] ? a[1] < b[1] : a[2] < b[2]
}
