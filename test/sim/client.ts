/**
 * A simulated client: calls with numbers, retries until a deadline, and subscriptions, over virtual links.
 *
 * Harsher than the real one: attempts overlap, a call may be sent again although its first attempt is well under way,
 * and late copies arrive after the answer.
 */

import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import type { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { hashBytes, partitionOf } from '../../src/core/ring/hash.ts'
import { encodeKey } from '../../src/core/wire/key.ts'
import {
  beginMessage,
  type ClientView,
  endMessage,
  FLAG_CONFIRMED,
  FLAG_RETRY,
  FLAG_SESSION,
  MessageType,
  Operation,
  ReplyStatus,
  ReplyView,
  readError,
  readMapOpened,
  readView,
  writeCallHeader,
  writeOpenMap,
} from '../../src/core/wire/message.ts'
import { decodeTrusted, encodeValue } from '../../src/core/wire/value.ts'
import type { CallKind, CallRecord } from './history.ts'
import { UNIQUE_FROM } from './history.ts'
import type { Ledger } from './ledger.ts'
import { type EndHandler, type LinkEnd, type Network, Process } from './network.ts'
import { WatchClient } from './watch-client.ts'

const DEADLINE_MS = 5000
/** Maps that are opened now and then and not used. */
const OTHER_MAPS = 12

interface Pending {
  readonly record: CallRecord
  readonly partition: number
  readonly number: number
  readonly operation: Operation
  readonly flags: number
  readonly map: number
  readonly key: Uint8Array
  readonly argument: Uint8Array
  /** (era, epoch, seq) of the newest answer seen before this call was made. */
  readonly floor: readonly [number, number, number]
  attempts: number
  /** Of the newest attempt. */
  attempt: number
  /** The link of the newest attempt; answers to older ones count for nothing, since this one may yet do otherwise. */
  end: LinkEnd | undefined
  /** Links that owe an answer to an attempt: what is sent there again could not be told from the first. */
  readonly owing: Set<LinkEnd>
  done: boolean
}

interface Lane {
  next: number
  ackUpTo: number
  readonly pending: Map<number, Pending>
  epoch: number
  owner: string
  newest: readonly [number, number, number]
  /** A write has been answered as applied: the partition must know the session. */
  remembered: boolean
}

export interface ClientStats {
  calls: number
  answered: number
  unknown: number
  refused: number
  expiredSessions: number
  retries: number
}

export interface ClientOptions {
  readonly network: Network
  readonly host: string
  readonly id: string
  readonly ledger: Ledger
  readonly addresses: readonly string[]
  readonly partitionCount: number
  readonly keys: number
  readonly history: CallRecord[]
  readonly stats: ClientStats
  readonly thinkMs: number
  readonly padBytes: number
  readonly unique: () => number
  /** Maps to open: the first is checked for linearizability, the second is bounded and its entries expire. */
  readonly maps: readonly { readonly name: string; readonly config: unknown }[]
  /** A map, by the number of the request that stands for its name, has been given this number. */
  readonly opened: (request: number, id: number) => void
}

export class SimClient extends Process {
  readonly #options: ClientOptions
  readonly #links = new Map<string, LinkEnd | 'dialling'>()
  readonly #lanes: Lane[] = []
  readonly watches = new Map<string, WatchClient>()
  #view: ClientView | undefined
  readonly #boots = new WeakMap<LinkEnd, string>()
  readonly #seenBoots = new Set<string>()
  readonly maps: number[] = []
  stopped = false
  /** Versions read by getEntry, for conditional writes. */
  readonly #versions = new Map<
    string,
    { readonly era: number; readonly seq: number; readonly value: number }
  >()
  /** When a partition last answered a read and a write. */
  readonly readMs: number[] = []
  readonly writeMs: number[] = []

  constructor(options: ClientOptions) {
    super(options.network, options.host, options.id)
    this.#options = options
    for (let p = 0; p < options.partitionCount; p++)
      this.#lanes.push({
        next: 1,
        ackUpTo: 0,
        pending: new Map(),
        epoch: 0,
        owner: '',
        newest: [0, 0, 0],
        remembered: false,
      })
    this.#round()
    this.world.after(this.world.between(0, 200), () => this.#think())
  }

  get outstanding(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.pending.size, 0)
  }

  epochOf(partition: number): number {
    return this.#lanes[partition]!.epoch
  }

  /** The link to the owner of a partition as far as this client knows, or undefined. */
  ownerLink(partition: number): LinkEnd | undefined {
    const { owner } = this.#lanes[partition]!
    const address = this.#view?.members.find(({ id }) => id === owner)?.address
    const link = address === undefined ? undefined : this.#links.get(address)
    return link instanceof Object && !link.closed && link.peer.id === owner ? link : undefined
  }

  addWatch(watch: number, partition: number, map: number, filtered: boolean): void {
    const key = `${watch} ${partition}`
    this.watches.set(key, new WatchClient(this, this.#options.ledger, watch, partition, map, filtered))
  }

  // ---- links

  #round(): void {
    const { world } = this
    world.after(world.between(80, 120), () => {
      this.exec(() => {
        for (const address of this.#options.addresses) if (!this.#links.has(address)) this.#dial(address)
        const open = [...this.#links.values()].filter((link) => link instanceof Object)
        if (open.length > 0 && this.maps.filter((map) => map > 0).length < this.#options.maps.length)
          this.#openMaps(world.pick(open) as LinkEnd)
        if (open.length > 0 && world.chance(0.1)) {
          const end = world.pick(open) as LinkEnd
          if (world.chance(0.3)) this.#openAnother(end)
          endMessage(end.out, beginMessage(end.out, MessageType.viewRequest))
          end.wake()
        }
        for (const watch of this.watches.values()) watch.follow()
      })
      this.#round()
    })
  }

  #openMaps(end: LinkEnd): void {
    this.#options.maps.forEach(({ name, config }, request) => {
      if (this.maps[request]) return
      const w = new ByteWriter(64)
      encodeValue(w, config, defaultLimits)
      writeOpenMap(end.out, { request, name, config: w.take() })
    })
    end.wake()
  }

  /** One more map that holds nothing, so that there are definitions to lose. */
  #openAnother(end: LinkEnd): void {
    const request = this.#options.maps.length + this.world.int(OTHER_MAPS)
    writeOpenMap(end.out, { request, name: `other-${request}`, config: new Uint8Array(0) })
  }

  #dial(address: string): void {
    this.#links.set(address, 'dialling')
    let up: LinkEnd | undefined
    const handler: EndHandler = {
      onFrame: (bytes) => this.#frame(up!, bytes),
      onClose: () => this.#closed(address, up),
    }
    this.network.dial(
      this,
      address,
      handler,
      (end) => {
        up = end
        this.#links.set(address, end)
      },
      () => this.#links.delete(address),
    )
  }

  #closed(address: string, end: LinkEnd | undefined): void {
    if (!end || this.#links.get(address) !== end) return
    this.#links.delete(address)
    for (const watch of this.watches.values()) watch.ended(end)
    for (const lane of this.#lanes)
      for (const call of lane.pending.values())
        if (call.end === end && this.world.chance(0.7)) this.#again(call, this.world.between(0, 100))
  }

  #frame(end: LinkEnd, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const size = bytes.readUIntLE(at + 1, 3)
      this.#message(end, bytes[at]!, new ByteReader(bytes, at + 4, at + 4 + size))
      at += 4 + size
    }
  }

  #message(end: LinkEnd, type: number, r: ByteReader): void {
    switch (type) {
      case MessageType.view:
        this.#viewed(end, readView(r))
        return
      case MessageType.reply:
        this.#reply(end, new ReplyView().read(r))
        return
      case MessageType.events: {
        const watch = r.u32()
        const partition = r.u16()
        r.offset -= 6
        this.watches.get(`${watch} ${partition}`)?.onEvents(end, r)
        return
      }
      case MessageType.watchEnd:
        this.watches.get(`${r.u32()} ${r.u16()}`)?.ended(end)
        return
      case MessageType.mapOpened: {
        const { request, outcome } = readMapOpened(r)
        if (typeof outcome === 'number') {
          if (request < this.#options.maps.length) this.maps[request] = outcome
          this.#options.opened(request, outcome)
        } else if (outcome.code !== 'OVERLOADED') this.world.fail(`map: ${outcome.message}`)
        return
      }
      default:
        this.world.fail(`a client is sent a message of type ${type}`)
    }
  }

  #viewed(end: LinkEnd, view: ClientView): void {
    if (!this.#view || this.#supersedes(end, view, this.#view)) this.#view = view
    this.#boots.set(end, view.boot)
    view.epochs.forEach((epoch, p) => {
      const owner = view.members[view.owners[p]!]?.id
      if (owner !== undefined) this.#learn(p, epoch, owner)
    })
  }

  /** As in the real client: versions fall when the log loses its end, and then its boot is another one. */
  #supersedes(end: LinkEnd, view: ClientView, before: ClientView): boolean {
    if (view.boot === before.boot) return view.version >= before.version
    if (this.#seenBoots.has(view.boot) && this.#boots.get(end) !== before.boot) return false
    this.#seenBoots.add(before.boot).add(view.boot)
    return true
  }

  #learn(partition: number, epoch: number, owner: string): void {
    const lane = this.#lanes[partition]
    if (!lane || epoch <= lane.epoch) return
    lane.epoch = epoch
    lane.owner = owner
  }

  // ---- calls

  #think(): void {
    const { world } = this
    world.after(world.between(0, 2 * this.#options.thinkMs), () => {
      if (!this.stopped && this.outstanding < 8 && this.maps[0]) this.exec(() => this.#makeCall())
      this.#think()
    })
  }

  #makeCall(): void {
    const { world } = this
    const map = this.maps[1] && world.chance(0.15) ? this.maps[1] : this.maps[0]!
    const name = `k${world.int(this.#options.keys)}`
    const w = new ByteWriter(64)
    encodeKey(w, name, defaultLimits)
    const key = w.take()
    const partition = partitionOf(hashBytes(key, 0, key.length), this.#options.partitionCount)
    const lane = this.#lanes[partition]!
    const history = map === this.maps[0]
    const key2 = history ? name : `other ${name}`
    const record: CallRecord = {
      client: this.host,
      key: key2,
      keyBytes: Buffer.from(key).toString('hex'),
      partition,
      ...this.#draw(key2),
      callMs: world.nowMs,
      ...none,
    }
    const clear = !history && world.chance(0.03)
    const pending: Pending = {
      record,
      partition,
      number: lane.next++,
      operation: clear ? Operation.clear : operationOf(record.kind),
      flags: world.chance(0.1) ? FLAG_CONFIRMED : 0,
      map,
      key: clear ? new Uint8Array(0) : key,
      argument: clear ? new Uint8Array(0) : this.#argument(record, history ? 0 : world.int(4000)),
      floor: lane.newest,
      attempts: 0,
      attempt: 0,
      end: undefined,
      owing: new Set(),
      done: false,
    }
    lane.pending.set(pending.number, pending)
    this.#options.stats.calls++
    if (history) this.#options.history.push(record)
    this.#send(pending)
  }

  #draw(key: string): { kind: CallKind; argument: number; expected: number | undefined } {
    const x = this.world.random.next()
    const put = UNIQUE_FROM * this.#options.unique()
    const by = 1 + this.world.int(3)
    if (x < 0.3) return { kind: 'get', argument: 0, expected: undefined }
    if (x < 0.4) return { kind: 'getEntry', argument: 0, expected: undefined }
    if (x < 0.55) return { kind: 'put', argument: put, expected: undefined }
    if (x < 0.6) return { kind: 'putIfAbsent', argument: put, expected: undefined }
    if (x < 0.65) return { kind: 'replace', argument: put, expected: undefined }
    if (x < 0.72) {
      const version = this.#versions.get(key)
      if (version) return { kind: 'replaceVersion', argument: put, expected: version.value }
    }
    if (x < 0.77) return { kind: 'remove', argument: 0, expected: undefined }
    return { kind: x < 0.88 ? 'increment' : 'invoke', argument: by, expected: undefined }
  }

  #argument(record: CallRecord, ttlMs: number): Uint8Array {
    const w = new ByteWriter(256)
    const { padBytes } = this.#options
    const value = { n: record.argument, g: this.world.int(2), pad: 'x'.repeat(this.world.int(padBytes + 1)) }
    switch (record.kind) {
      case 'put':
      case 'putIfAbsent':
        w.u48(ttlMs)
        encodeValue(w, value, defaultLimits)
        break
      case 'replace':
      case 'replaceVersion': {
        const version = record.kind === 'replace' ? undefined : this.#versions.get(record.key)
        w.u48(0)
        w.u8(version ? 1 : 0)
        w.u16(version?.era ?? 0)
        w.u48(version?.seq ?? 0)
        encodeValue(w, value, defaultLimits)
        break
      }
      case 'remove':
        w.u8(0)
        w.u16(0)
        w.u48(0)
        break
      case 'increment':
        encodeValue(w, { $inc: { n: record.argument } }, defaultLimits)
        break
      case 'invoke':
        w.text('add')
        w.block(new Uint8Array(0))
        encodeValue(w, record.argument, defaultLimits)
        break
    }
    return w.take()
  }

  #send(call: Pending): void {
    if (call.done) return
    const { world } = this
    if (world.nowMs - call.record.callMs > DEADLINE_MS) {
      this.#options.stats.unknown++
      this.#finish(call)
      return
    }
    const lane = this.#lanes[call.partition]!
    const target = world.chance(0.02) ? this.#anyLink() : this.ownerLink(call.partition)
    const end = target && !call.owing.has(target) ? target : undefined
    if (end) {
      call.end = end
      call.owing.add(end)
      const w = end.out
      const mark = beginMessage(w, MessageType.call)
      const flags = call.flags | (call.attempts > 0 ? FLAG_RETRY : 0) | (lane.remembered ? FLAG_SESSION : 0)
      const { partition, number, operation, map, key } = call
      const epoch = world.chance(0.9) ? lane.epoch : 0
      writeCallHeader(w, partition, number, lane.ackUpTo, epoch, operation, flags, map, key.length)
      w.bytes(key)
      w.bytes(call.argument)
      endMessage(w, mark)
      end.wake()
      call.attempts++
      if (call.attempts > 1) this.#options.stats.retries++
    }
    this.#again(call, end ? world.between(400, 1500) : world.between(30, 80))
  }

  #anyLink(): LinkEnd | undefined {
    const open = [...this.#links.values()].filter((link) => link instanceof Object)
    return open.length > 0 ? (this.world.pick(open) as LinkEnd) : undefined
  }

  #again(call: Pending, delayMs: number): void {
    const attempt = ++call.attempt
    this.world.after(delayMs, () => {
      if (!call.done && call.attempt === attempt) this.exec(() => this.#send(call))
    })
  }

  #finish(call: Pending): void {
    call.done = true
    const lane = this.#lanes[call.partition]!
    lane.pending.delete(call.number)
    while (lane.ackUpTo + 1 < lane.next && !lane.pending.has(lane.ackUpTo + 1)) lane.ackUpTo++
  }

  #reply(end: LinkEnd, reply: ReplyView): void {
    const lane = this.#lanes[reply.partition]!
    const call = lane.pending.get(reply.call)
    if (!call) return
    call.owing.delete(end)
    if (call.end !== end) return
    const { world } = this
    if (reply.status === ReplyStatus.ok) this.#answered(call, lane, reply)
    else if (reply.status === ReplyStatus.error) {
      const error = readError(new ByteReader(reply.bytes, reply.payloadStart, reply.payloadEnd))
      this.#refused(call, error)
    } else {
      const owner = reply.bytes.toString('hex', reply.payloadStart, reply.payloadStart + 16)
      this.#learn(reply.partition, reply.epoch, owner)
      this.#again(call, world.between(5, 60))
    }
  }

  #refused(call: Pending, error: GridError): void {
    const { stats } = this.#options
    if (error.retryable && error.applied === 'no') {
      this.#again(call, this.world.between(20, 80))
      return
    }
    if (error.code !== 'SESSION_EXPIRED') this.world.fail(`${call.record.kind} was refused: ${error.message}`)
    stats.expiredSessions++
    stats.unknown++
    this.#finish(call)
  }

  #answered(call: Pending, lane: Lane, reply: ReplyView): void {
    const { record } = call
    const position = [reply.era, reply.epoch, reply.seq] as const
    if (older(position, call.floor))
      this.world.fail(
        `${this.host} sees partition ${call.partition} at ${position} after it had seen ${call.floor} (${record.kind} ${call.number})`,
      )
    if (reply.era > lane.newest[0]) lane.remembered = false
    if (older(lane.newest, position)) lane.newest = position
    if (record.kind === 'put' || record.kind === 'increment') lane.remembered = true
    this.#finish(call)
    this.#options.stats.answered++
    record.endMs = this.world.nowMs
    record.era = reply.era
    record.epoch = reply.epoch
    record.seq = reply.seq
    if (call.operation !== Operation.clear) record.result = this.#result(call, reply)
    if (record.kind === 'get' || record.kind === 'getEntry') this.readMs[call.partition] = record.callMs
    else this.writeMs[call.partition] = record.callMs
  }

  #result(call: Pending, { bytes, payloadStart, payloadEnd, era }: ReplyView): number | undefined {
    const number = (start: number): number => (decodeTrusted(bytes, start, payloadEnd) as { n: number }).n
    switch (call.record.kind) {
      case 'get':
        return payloadStart === payloadEnd ? undefined : number(payloadStart)
      case 'getEntry': {
        if (payloadStart === payloadEnd) return undefined
        const r = new ByteReader(bytes, payloadStart, payloadEnd)
        r.u48()
        const seq = r.u48()
        const value = number(payloadStart + 12)
        this.#versions.set(call.record.key, { era, seq, value })
        return value
      }
      case 'put':
        return undefined
      case 'increment':
        return number(payloadStart)
      case 'invoke':
        return decodeTrusted(bytes, payloadStart + 1, payloadEnd) as number
      default:
        return bytes[payloadStart]!
    }
  }
}

const none = { endMs: Number.POSITIVE_INFINITY, result: undefined, era: -1, epoch: 0, seq: 0 }

function operationOf(kind: CallKind): Operation {
  if (kind === 'replaceVersion') return Operation.replace
  if (kind === 'increment') return Operation.update
  return Operation[kind]
}

function older(a: readonly [number, number, number], b: readonly [number, number, number]): boolean {
  return a[0] !== b[0] ? a[0] < b[0] : a[1] !== b[1] ? a[1] < b[1] : a[2] < b[2]
}
