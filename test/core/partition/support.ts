/**
 * Partitions on a bench: each with a context that records what it sends, proposes and notes, and a clock that the
 * test moves. Messages are shown as lines of text, and carried from one bench to another by hand.
 */

import { ByteReader, ByteWriter, getU24 } from '../../../src/core/base/bytes.ts'
import { defaultLimits, type Limits } from '../../../src/core/base/limits.ts'
import { seededRandom } from '../../../src/core/base/random.ts'
import { Pulse } from '../../../src/core/engine/pulse.ts'
import { epochOf, type MapConfig, type PartitionConfig } from '../../../src/core/membership/config.ts'
import { packConfigs, unpackConfigs } from '../../../src/core/membership/pack.ts'
import type { Context, Now, Outlet } from '../../../src/core/partition/context.ts'
import { Partition } from '../../../src/core/partition/partition.ts'
import { BlockPool } from '../../../src/core/store/block-pool.ts'
import { History } from '../../../src/core/store/history.ts'
import { RecordView } from '../../../src/core/store/record.ts'
import { decodeKey, encodeKey } from '../../../src/core/wire/key.ts'
import {
  beginMessage,
  CallView,
  EventKind,
  endMessage,
  FLAG_ANY,
  type Freshness,
  MessageType,
  Operation,
  ReplyStatus,
  ReplyView,
  readError,
  readEvent,
  readEventsHeader,
  readId,
  type Watch,
  writeCallHeader,
  writeFreshness,
} from '../../../src/core/wire/message.ts'
import {
  Answer,
  type BeaconEntry,
  ChunkKind,
  Replicate,
  readBeacon,
  readSnapshotBegin,
  readSnapshotChunk,
  writeConfig,
} from '../../../src/core/wire/peer-message.ts'
import type { ProcessorFunction } from '../../../src/core/wire/processor.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { decodeTrusted } from '../../../src/core/wire/value-decode.ts'

export const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(32)) as [string, string, string]
export const MAP = 1

/** One letter for a member of the bench, the first digits for anything else. */
const short = (id: string): string => ([A, B, C].includes(id) ? id[0]! : id.slice(0, 8) || 'nobody')

export function configOf(options: Partial<PartitionConfig> & { n?: number } = {}): PartitionConfig {
  const { n = 1, ...given } = options
  const id = `${n}`.padStart(8, '0').padEnd(32, 'f')
  const prev = n === 1 ? '' : `${n - 1}`.padStart(8, '0').padEnd(32, 'f')
  const owner = given.owner ?? A
  return {
    partition: 0,
    epoch: epochOf(1, n),
    id,
    prev,
    owner,
    ownership: id,
    inSync: [owner],
    era: 1,
    reason: 'test',
    by: owner,
    ...given,
  }
}

/** The end of a link that keeps what is sent. */
export class TestOutlet implements Outlet {
  readonly peer: { readonly id: string }
  readonly out = new ByteWriter(1024)
  queuedBytes = 0
  closed = false

  constructor(id: string) {
    this.peer = { id }
  }

  wake(): void {}

  /** Takes the messages that have been sent since the last time. */
  take(): Message[] {
    const bytes = Buffer.from(this.out.take())
    this.out.clear()
    const messages: Message[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = at + 4 + getU24(bytes, at + 1)
      messages.push(new Message(bytes[at]!, bytes, at + 4, end))
      at = end
    }
    return messages
  }

  /** The same as text. */
  lines(): string[] {
    return this.take().flatMap((message) => message.lines())
  }
}

export class Message {
  readonly type: number
  readonly #bytes: Buffer
  readonly #start: number
  readonly #end: number

  constructor(type: number, bytes: Buffer, start: number, end: number) {
    this.type = type
    this.#bytes = bytes
    this.#start = start
    this.#end = end
  }

  get name(): string {
    return Object.entries(MessageType).find(([, type]) => type === this.type)![0]
  }

  reader(): ByteReader {
    return new ByteReader(this.#bytes, this.#start, this.#end)
  }

  lines(): string[] {
    const r = this.reader()
    switch (this.type) {
      case MessageType.reply:
        return [replyText(new ReplyView().read(r))]
      case MessageType.replicate: {
        const m = new Replicate().read(r)
        const seqs = records(m.bytes, m.recordsStart, m.recordsEnd).map(({ seq }) => seq)
        const range = seqs.length === 0 ? 'nothing' : `${seqs[0]}..${seqs.at(-1)}`
        return [`replicate ${range} after ${m.prevSeq}@${m.prevEpoch % 2 ** 32}, commit ${m.commit}`]
      }
      case MessageType.ack:
      case MessageType.nack:
      case MessageType.refuse:
      case MessageType.snapshotAck:
        return [`${this.name} ${new Answer().read(r).seq}`]
      case MessageType.config:
        return unpackConfigs(r.view(r.remaining)).map(
          ({ epoch, owner, inSync }) =>
            `config ${epoch % 2 ** 32}: ${short(owner)} of ${inSync.map(short).join('')}`,
        )
      case MessageType.snapshotBegin:
        return [`snapshotBegin at ${readSnapshotBegin(r).base}`]
      case MessageType.snapshotChunk: {
        const chunk = readSnapshotChunk(r)
        if (chunk.kind === ChunkKind.state) return [`snapshotChunk ${chunk.index}: state`]
        const keys = records(chunk.bytes, chunk.start, chunk.end).map(({ key }) => key)
        const last = chunk.kind === ChunkKind.last ? ', the last' : ''
        return [`snapshotChunk ${chunk.index}: ${keys.join(' ')}${last}`]
      }
      case MessageType.confirm:
        return [`confirm ${readBeacon(r).sentMono}`]
      case MessageType.events:
        return eventLines(r)
      case MessageType.watchEnd: {
        r.skip(6)
        return [`watchEnd ${readError(r).code}`]
      }
      default:
        return [this.name]
    }
  }
}

function records(bytes: Buffer, start: number, end: number): { seq: number; key: string }[] {
  const found: { seq: number; key: string }[] = []
  const view = new RecordView()
  for (let at = start; at < end; ) {
    view.at(bytes, at)
    const key = view.keyEnd > view.keyStart ? String(decodeKey(bytes, view.keyStart, view.keyEnd)) : ''
    found.push({ seq: view.seq, key })
    at += (view.size + 7) & ~7
  }
  return found
}

function replyText(reply: ReplyView): string {
  const { call, status, bytes, payloadStart, payloadEnd } = reply
  const r = new ByteReader(bytes, payloadStart, payloadEnd)
  if (status === ReplyStatus.error) return `reply ${call}: ${readError(r).code}`
  if (status === ReplyStatus.notOwner) return `reply ${call}: notOwner ${short(readId(r))}`
  if (status === ReplyStatus.moved) return `reply ${call}: moved ${short(readId(r))}`
  const size = payloadEnd - payloadStart
  return `reply ${call}: ${size === 0 ? 'nothing' : bytes.toString('hex', payloadStart, payloadEnd)}`
}

const EVENT_NAMES = Object.fromEntries(Object.entries(EventKind).map(([name, kind]) => [kind, name]))

function eventLines(r: ByteReader): string[] {
  const { position, count } = readEventsHeader(r)
  const lines: string[] = []
  for (let i = 0; i < count; i++) {
    const { kind, seq, key, value } = readEvent(r)
    const what = key.length > 0 ? ` ${decodeKey(key, 0, key.length)}` : ''
    const which = value.length > 0 ? `=${JSON.stringify(decodeTrusted(value, 0, value.length))}` : ''
    lines.push(`${EVENT_NAMES[kind]}${what}${which} at ${seq}`)
  }
  lines.push(`position ${position}`)
  return lines
}

export interface BenchOptions {
  readonly limits?: Partial<Limits>
  readonly maxBytes?: number
  readonly historyBytes?: number
  readonly minInSync?: number
  readonly processors?: ReadonlyMap<string, ProcessorFunction>
  readonly map?: MapConfig
}

/** One partition of one member. */
export class Bench {
  readonly self: string
  readonly partition: Partition
  readonly pulse: Pulse
  readonly context: Context
  readonly peers = new Map<string, TestOutlet>()
  readonly proposed: PartitionConfig[] = []
  readonly notes: string[] = []
  now: Now = { monoMs: 1_000_000, wallMs: 1_700_000_000_000 }
  #wantsFlush = false
  #ids = 0

  constructor(self: string, options: BenchOptions = {}) {
    this.self = self
    for (const id of [A, B, C]) if (id !== self) this.peers.set(id, new TestOutlet(id))
    this.context = {
      self,
      halted: false,
      backups: 2,
      minInSync: options.minInSync ?? 1,
      partitionCount: 1,
      limits: { ...defaultLimits, ...options.limits },
      timing: { beaconMs: 250, suspectMs: 1000, leaseMs: 2000, graceMs: 3000, sessionIdleMs: 600_000 },
      random: seededRandom(self.charCodeAt(0)),
      pool: new BlockPool({ maxBytes: options.maxBytes ?? 64 * 1024 * 1024 }),
      history: new History({ maxBytes: options.historyBytes ?? 1024 * 1024 }),
      processors: options.processors ?? new Map(),
      newId: () => `${self[0]}${++this.#ids}`.padEnd(32, '0'),
      mapConfig: (map) => (map === MAP ? (options.map ?? {}) : undefined),
      peer: (id) => this.peers.get(id),
      propose: (next) => this.proposed.push(next),
      flushLater: () => {
        this.#wantsFlush = true
      },
      workLater: () => {},
      note: ({ kind, detail }) => this.notes.push(`${kind}: ${detail}`),
    }
    this.partition = new Partition(0, this.context)
    this.pulse = new Pulse(this.context, [this.partition])
  }

  get owner(): NonNullable<Partition['owner']> {
    return this.partition.owner!
  }

  /** What is sent to a member, as text. */
  to(id: string): string[] {
    return this.peers.get(id)!.lines()
  }

  passMs(ms: number): void {
    this.now = { monoMs: this.now.monoMs + ms, wallMs: this.now.wallMs + ms }
  }

  adopt(config: PartitionConfig): void {
    this.partition.adopt(config, this.now)
    this.settle()
  }

  /** The end of a turn. */
  settle(): void {
    if (!this.#wantsFlush) return
    this.#wantsFlush = false
    this.partition.owner?.flush()
  }

  /** Background work until there is none. */
  work(): void {
    while (this.partition.work(this.now)) this.settle()
    this.settle()
  }

  round(): void {
    this.owner.round(this.now, this.partition.reference.epoch + 1)
    this.settle()
  }

  /** Shows itself to its peers. */
  beat(): void {
    this.pulse.beat(this.now)
    this.settle()
  }

  /** Every peer promises to follow: reads need no confirmation. */
  lease(): void {
    for (const { id } of this.owner.log.peers.values())
      this.owner.onGrant(id, this.now.monoMs, this.now.wallMs, this.now)
  }

  /** A message from another member. */
  receive(from: string, message: Message): void {
    const { partition, now } = this
    const r = message.reader()
    switch (message.type) {
      case MessageType.replicate:
        partition.onReplicate(from, new Replicate().read(r), now)
        break
      case MessageType.ack:
      case MessageType.nack:
      case MessageType.refuse:
      case MessageType.snapshotAck:
        partition.onAnswer(from, message.type, new Answer().read(r), now)
        break
      case MessageType.snapshotBegin:
        partition.onSnapshotBegin(from, readSnapshotBegin(r))
        break
      case MessageType.snapshotChunk:
        partition.onSnapshotChunk(from, readSnapshotChunk(r), now)
        break
      case MessageType.confirm:
        for (const entry of readBeacon(r).entries) partition.onConfirm(from, entry)
        break
      case MessageType.beacon:
        this.pulse.onBeacon(from, readBeacon(r), now)
        break
      case MessageType.beaconAck:
        this.pulse.onBeaconAck(from, readBeacon(r), now)
        break
      case MessageType.config:
        for (const config of unpackConfigs(r.view(r.remaining))) this.adopt(config)
        break
      case MessageType.configRequest:
        writeConfig(this.peers.get(from)!.out, packConfigs([partition.config!]))
        partition.owner?.untold(from)
        break
      default:
        throw new Error(`the bench does not know ${message.name}`)
    }
    this.settle()
  }

  /** Carries everything that waits for another bench there. Returns it as text. */
  deliver(to: Bench): string[] {
    const messages = this.peers.get(to.self)!.take()
    for (const message of messages) to.receive(this.self, message)
    return messages.flatMap((message) => message.lines())
  }
}

/** Carries messages between benches until none is left. */
export function exchange(...benches: readonly Bench[]): void {
  let more = true
  while (more) {
    more = false
    for (const from of benches)
      for (const to of benches) if (from !== to && from.deliver(to).length > 0) more = true
  }
}

/** What a beacon of the owner says of the partition. */
export function beaconOf(owner: Bench, commit: number, vouched = false): BeaconEntry {
  return { ...owner.partition.reference, commit, vouched }
}

export interface CallOptions {
  readonly flags?: number
  readonly ackUpTo?: number
  readonly epoch?: number
  readonly call?: number
}

/** A client's session at one bench after the other. */
export class TestClient {
  readonly outlet: TestOutlet
  #call = 0

  constructor(digits = '1') {
    this.outlet = new TestOutlet(digits.repeat(32).slice(0, 32))
  }

  /** Takes the answers that have come. */
  answers(): string[] {
    return this.outlet.lines()
  }

  put(bench: Bench, key: string, value: unknown, options: CallOptions = {}): number {
    return this.#send(bench, Operation.put, key, options, (w) => {
      w.u48(0)
      encodeValue(w, value, defaultLimits)
    })
  }

  get(bench: Bench, key: string, options: CallOptions = {}): number {
    return this.#send(bench, Operation.get, key, options, () => {})
  }

  /** `bytes` follow the keys. */
  getAll(bench: Bench, keys: readonly string[], options: CallOptions = {}, bytes = Buffer.alloc(0)): number {
    return this.#send(bench, Operation.getAll, undefined, options, (w) => {
      for (const key of keys) {
        const encoded = new ByteWriter(64)
        encodeKey(encoded, key, defaultLimits)
        w.u16(encoded.length)
        w.bytes(encoded.take())
      }
      w.bytes(bytes)
    })
  }

  /** A read of one key that any replica may answer. */
  readAny(
    bench: Bench,
    key: string,
    fresh: Partial<Freshness> = {},
    operation: Operation = Operation.get,
  ): number {
    return this.#send(bench, operation, key, { flags: FLAG_ANY }, (w) =>
      writeFreshness(w, { maxStaleMs: 1000, era: 0, epoch: 0, seq: 0, ...fresh }),
    )
  }

  remove(bench: Bench, key: string, options: CallOptions = {}): number {
    return this.#send(bench, Operation.remove, key, options, (w) => {
      w.u8(0)
      w.u16(0)
      w.u48(0)
    })
  }

  clear(bench: Bench): number {
    return this.#send(bench, Operation.clear, undefined, {}, () => {})
  }

  update(bench: Bench, key: string, update: unknown, options: CallOptions = {}): number {
    return this.#send(bench, Operation.update, key, options, (w) => encodeValue(w, update, defaultLimits))
  }

  invoke(bench: Bench, key: string, name: string, argument: unknown): number {
    return this.#send(bench, Operation.invoke, key, {}, (w) => {
      w.text(name)
      w.block(new Uint8Array())
      encodeValue(w, argument, defaultLimits)
    })
  }

  #send(
    bench: Bench,
    operation: Operation,
    key: string | undefined,
    options: CallOptions,
    write: (w: ByteWriter) => void,
  ): number {
    const call = options.call ?? ++this.#call
    const w = new ByteWriter(256)
    const k = new ByteWriter(64)
    if (key !== undefined) encodeKey(k, key, defaultLimits)
    const keyBytes = k.take()
    const { flags = 0, ackUpTo = 0, epoch = 0 } = options
    const mark = beginMessage(w, MessageType.call)
    writeCallHeader(w, 0, call, ackUpTo, epoch, operation, flags, MAP, keyBytes.length)
    w.bytes(keyBytes)
    write(w)
    endMessage(w, mark)
    const bytes = Buffer.from(w.take())
    bench.partition.onCall(
      new CallView().read(new ByteReader(bytes, 4, bytes.length)),
      this.outlet,
      bench.now,
    )
    bench.settle()
    return call
  }
}

export function watchOf(options: Partial<Watch> = {}): Watch {
  return {
    watch: 1,
    partition: 0,
    epoch: 0,
    map: MAP,
    initial: true,
    resume: undefined,
    heldKnown: false,
    keysOnly: false,
    credit: 1000,
    where: new Uint8Array(),
    held: [],
    ...options,
  }
}
