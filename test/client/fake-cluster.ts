/**
 * Members as a client sees them: they speak the protocol and keep entries in plain maps that they all share, as if
 * replication were perfect. Tests intercept calls, move partitions and send events by hand.
 */

import { randomBytes } from 'node:crypto'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { compileProjection } from '../../src/core/query/project.ts'
import { compileFilter } from '../../src/core/query/scan.ts'
import { compileOrder, TopRows } from '../../src/core/query/sort.ts'
import { applyUpdate, checkUpdate } from '../../src/core/query/update.ts'
import { hashBytes, partitionOf } from '../../src/core/ring/hash.ts'
import { decodeKey, encodeKey, type Key } from '../../src/core/wire/key.ts'
import {
  beginMessage,
  CallView,
  type ClientView,
  endMessage,
  FLAG_ANY,
  type Freshness,
  MessageType,
  Operation,
  type Progress,
  ReplyStatus,
  readFreshness,
  readOpenMap,
  readWatch,
  type Watch,
  type WatchEvent,
  writeError,
  writeEventsHeader,
  writeId,
  writeMapOpened,
  writeProgress,
  writeReplyHeader,
  writeView,
  writeWatchEnd,
} from '../../src/core/wire/message.ts'
import { encodeValue } from '../../src/core/wire/value.ts'
import { decodeValue } from '../../src/core/wire/value-decode.ts'
import type { Link, Listener, Transport } from '../../src/transport/transport.ts'

const NO_BYTES = Buffer.alloc(0)

export interface SeenCall {
  readonly member: FakeMember
  readonly link: Link
  readonly partition: number
  readonly call: number
  readonly ackUpTo: number
  readonly epoch: number
  readonly operation: number
  readonly flags: number
  readonly map: number
  readonly key: Key | undefined
  /** Of a read that any replica may answer. */
  readonly fresh: Freshness | undefined
}

/** What becomes of a call: nothing at all, an error, a redirection, an answer whose reply is lost, or its own way. */
export type Verdict = 'drop' | 'notOwner' | 'loseReply' | GridError | undefined

interface Stored {
  readonly map: number
  readonly keyBytes: Buffer
  readonly hash: number
  value: Buffer
  seq: number
  expiresAt: number
}

interface Partition {
  owner: FakeMember | undefined
  /** Members that answer reads that any replica may answer. */
  backups: readonly FakeMember[]
  epoch: number
  era: number
  seq: number
  entries: Map<string, Stored>
}

export type FakeProcessor = (
  value: unknown,
  argument: unknown,
) => { value?: unknown; remove?: boolean; result: unknown }

export class FakeCluster {
  readonly transport: () => Transport
  readonly clusterId = randomBytes(16).toString('hex')
  readonly partitions: Partition[]
  readonly members: FakeMember[] = []
  readonly maps = new Map<string, number>()
  readonly mapConfigs = new Map<string, unknown>()
  readonly processors = new Map<string, FakeProcessor>()
  readonly completions = new Map<string, Buffer>()
  readonly calls: SeenCall[] = []
  readonly watches: { member: FakeMember; link: Link; watch: Watch }[] = []
  readonly credits: { watch: number; partition: number; events: number }[] = []
  readonly unwatched: { watch: number; partition: number }[] = []
  readonly progressRequests: { member: FakeMember; link: Link; request: number }[] = []
  /** Called with every subscription, and with every question how far a client has been told. */
  onWatch: (seen: { member: FakeMember; link: Link; watch: Watch }) => void = () => {}
  onProgressRequest: (asked: { member: FakeMember; link: Link; request: number }) => void = () => {}
  intercept: (call: SeenCall) => Verdict = () => undefined
  onOpenMap: (name: string) => GridError | 'drop' | undefined = () => undefined
  /** Values in one answer to `getAll`; the client has to ask for the rest. */
  valuesMax = 1000
  version = 1
  boot = randomBytes(16).toString('hex')
  /** Called after anything was received. */
  #watchers: (() => void)[] = []

  constructor(transport: () => Transport, partitionCount = 4) {
    this.transport = transport
    this.partitions = Array.from({ length: partitionCount }, () => ({
      owner: undefined,
      backups: [],
      epoch: 1,
      era: 0,
      seq: 1,
      entries: new Map(),
    }))
  }

  /** `told`: whether the others say so at once. */
  async add(address?: string, told = true): Promise<FakeMember> {
    const member = new FakeMember(this, `m${this.members.length + 1}`)
    await member.listen('test', address)
    this.members.push(member)
    for (const [p, partition] of this.partitions.entries())
      if (p % this.members.length === this.members.length - 1) partition.owner = member
    this.version++
    if (told) this.pushView()
    return member
  }

  view(): ClientView {
    const members = this.members.filter((member) => !member.gone)
    return {
      version: this.version,
      boot: this.boot,
      clusterId: this.clusterId,
      members: members.map(({ id, address, name }) => ({ id, address, name })),
      epochs: this.partitions.map(({ epoch }) => epoch),
      owners: this.partitions.map(({ owner }) => (owner === undefined ? -1 : members.indexOf(owner))),
      backups: this.partitions.map(({ backups }) =>
        backups.flatMap((backup) => (members.includes(backup) ? [members.indexOf(backup)] : [])),
      ),
    }
  }

  pushView(): void {
    for (const member of this.members) member.sendView()
  }

  /** Gives a partition to another member; clients find out by themselves unless the view is pushed. */
  move(partition: number, owner: FakeMember | undefined): void {
    this.partitions[partition]!.owner = owner
    this.partitions[partition]!.epoch++
    this.version++
  }

  /** A key that lives in the partition. */
  keyIn(partition: number, n = 0): string {
    for (let i = 0; ; i++) {
      const key = `key-${i}`
      if (this.partitionOf(key) === partition && n-- === 0) return key
    }
  }

  partitionOf(key: Key): number {
    const w = new ByteWriter(64)
    encodeKey(w, key, defaultLimits)
    return partitionOf(hashBytes(w.buffer, w.start, w.length), this.partitions.length)
  }

  noteReceived(): void {
    for (const check of [...this.#watchers]) check()
  }

  /** Resolves as soon as `condition` holds; it is looked at whenever a member has received something. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return
        this.#watchers = this.#watchers.filter((other) => other !== check)
        resolve()
      }
      this.#watchers.push(check)
      check()
    })
  }

  async close(): Promise<void> {
    for (const member of this.members) await member.close()
  }
}

export class FakeMember {
  readonly id = randomBytes(16).toString('hex')
  readonly name: string
  address = ''
  gone = false
  readonly links = new Set<Link>()
  readonly sessions = new Set<string>()
  accepted = 0
  readonly #cluster: FakeCluster
  readonly #view = new CallView()
  #listener: Listener | undefined

  constructor(cluster: FakeCluster, name: string) {
    this.#cluster = cluster
    this.name = name
  }

  async listen(cluster = 'test', address = '127.0.0.1:0'): Promise<void> {
    const hello = { role: 'member', cluster, id: this.id } as const
    this.#listener = await this.#cluster.transport().listen(address, hello, (link) => {
      this.links.add(link)
      this.sessions.add(link.peer.id)
      this.accepted++
      queueMicrotask(() => this.sendView(link))
      return {
        onFrame: (_, bytes, start, end) => this.#onFrame(link, bytes, start, end),
        onClose: () => {
          this.links.delete(link)
          this.#cluster.noteReceived()
        },
      }
    })
    this.address = this.#listener.address
  }

  sendView(only?: Link): void {
    for (const link of only === undefined ? this.links : [only]) {
      if (link.closed) continue
      writeView(link.out, this.#cluster.view())
      link.wake()
    }
  }

  /** Closes every connection; new ones are accepted. */
  cut(): void {
    for (const link of this.links) link.close()
  }

  async close(): Promise<void> {
    this.gone = true
    await this.#listener?.close()
    for (const link of this.links) link.close()
  }

  sendEvents(
    link: Link,
    watch: number,
    partition: number,
    position: number,
    events: readonly Partial<WatchEvent>[],
    era = this.#cluster.partitions[partition]!.era,
  ): void {
    const w = link.out
    const mark = beginMessage(w, MessageType.events)
    writeEventsHeader(w, watch, partition, era, position, events.length)
    for (const { kind = 0, cause = 0, seq = 0, key = NO_BYTES, value = NO_BYTES } of events) {
      w.u8(kind)
      w.u8(cause)
      w.u48(seq)
      w.u16(key.length)
      w.bytes(key)
      w.block(value)
    }
    endMessage(w, mark)
    link.wake()
  }

  sendProgress(link: Link, progress: Progress): void {
    writeProgress(link.out, progress)
    link.wake()
  }

  endWatch(link: Link, watch: number, partition: number, error: GridError): void {
    writeWatchEnd(link.out, watch, partition, error)
    link.wake()
  }

  #onFrame(link: Link, bytes: Buffer, start: number, end: number): void {
    const frame = new ByteReader(bytes, start, end)
    while (frame.remaining > 0) {
      const type = frame.u8()
      const size = frame.u24()
      const at = frame.skip(size)
      this.#onMessage(link, type, new ByteReader(bytes, at, at + size))
    }
    this.#cluster.noteReceived()
  }

  #onMessage(link: Link, type: number, r: ByteReader): void {
    const cluster = this.#cluster
    switch (type) {
      case MessageType.call:
        this.#onCall(link, this.#view.read(r))
        return
      case MessageType.viewRequest:
        this.sendView(link)
        return
      case MessageType.openMap: {
        const { request, name, config } = readOpenMap(r)
        const refusal = cluster.onOpenMap(name)
        if (refusal === 'drop') return
        if (config.length > 0)
          cluster.mapConfigs.set(name, decodeValue(config, 0, config.length, defaultLimits))
        if (!cluster.maps.has(name)) cluster.maps.set(name, cluster.maps.size + 1)
        writeMapOpened(link.out, request, refusal ?? cluster.maps.get(name)!)
        link.wake()
        return
      }
      case MessageType.watch: {
        const watch = readWatch(r)
        const seen = { member: this, link, watch: { ...watch, where: Uint8Array.from(watch.where) } }
        cluster.watches.push(seen)
        cluster.onWatch(seen)
        return
      }
      case MessageType.progressRequest: {
        const asked = { member: this, link, request: r.u32() }
        cluster.progressRequests.push(asked)
        cluster.onProgressRequest(asked)
        return
      }
      case MessageType.credit:
        cluster.credits.push({ watch: r.u32(), partition: r.u16(), events: r.u32() })
        return
      case MessageType.unwatch:
        cluster.unwatched.push({ watch: r.u32(), partition: r.u16() })
        return
      default:
        throw new Error(`a client sent a message of type ${type}`)
    }
  }

  #onCall(link: Link, view: CallView): void {
    const cluster = this.#cluster
    const { partition, call, ackUpTo, epoch, operation, flags, map, keyStart, keyEnd } = view
    const key = keyEnd > keyStart ? decodeKey(view.bytes, keyStart, keyEnd) : undefined
    const isAny = (flags & FLAG_ANY) !== 0
    const fresh = isAny
      ? readFreshness(new ByteReader(view.bytes, view.argumentStart, view.argumentEnd))
      : undefined
    const seen = { member: this, link, partition, call, ackUpTo, epoch, operation, flags, map, key, fresh }
    cluster.calls.push(seen)
    const state = cluster.partitions[partition]!
    const verdict = cluster.intercept(seen)
    if (verdict === 'drop') return
    const id = `${link.peer.id} ${partition} ${call}`
    const payload = cluster.completions.get(id)
    if (verdict instanceof GridError) this.reply(seen, ReplyStatus.error, (w) => writeError(w, verdict))
    else if (verdict === 'notOwner' || (state.owner !== this && !(isAny && state.backups.includes(this))))
      this.reply(seen, ReplyStatus.notOwner, (w) => writeId(w, state.owner?.id ?? ''))
    else if (payload !== undefined) this.reply(seen, ReplyStatus.ok, (w) => w.bytes(payload))
    else this.#execute(view, seen, verdict !== 'loseReply')
  }

  #execute(view: CallView, seen: SeenCall, answer: boolean): void {
    const w = new ByteWriter(256)
    try {
      const wrote = this.#run(view, this.#cluster.partitions[seen.partition]!, w)
      const id = `${seen.link.peer.id} ${seen.partition} ${seen.call}`
      if (wrote) this.#cluster.completions.set(id, Buffer.from(w.take()))
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      this.reply(seen, ReplyStatus.error, (out) => writeError(out, error))
      return
    }
    if (answer) this.reply(seen, ReplyStatus.ok, (out) => out.bytes(w.buffer, w.start, w.length))
  }

  reply(
    { link, partition, call }: Pick<SeenCall, 'link' | 'partition' | 'call'>,
    status: number,
    write: (w: ByteWriter) => void,
    position = this.#cluster.partitions[partition]!,
  ): void {
    if (link.closed) return
    const mark = beginMessage(link.out, MessageType.reply)
    writeReplyHeader(link.out, partition, call, status, position.era, position.epoch, position.seq)
    write(link.out)
    endMessage(link.out, mark)
    link.wake()
  }

  /** Carries a call out; says whether it changed anything. */
  #run(view: CallView, state: Partition, out: ByteWriter): boolean {
    const { bytes, keyStart, keyEnd, argumentStart, argumentEnd, map } = view
    const keyBytes = Buffer.from(bytes.subarray(keyStart, keyEnd))
    const id = `${map} ${keyBytes.toString('latin1')}`
    const entry = state.entries.get(id)
    const r = new ByteReader(bytes, argumentStart, argumentEnd)
    const rest = (): Buffer => Buffer.from(bytes.subarray(r.offset, argumentEnd))
    const store = (value: Buffer, ttlMs: number, keep: boolean): true => {
      const hash = hashBytes(keyBytes, 0, keyBytes.length)
      const expiresAt = keep ? (entry?.expiresAt ?? 0) : ttlMs > 0 && ttlMs < 1e14 ? 1_000_000 + ttlMs : 0
      state.entries.set(id, { map, keyBytes, hash, value, seq: ++state.seq, expiresAt })
      return true
    }
    const hasVersion = (): boolean => {
      const wanted = r.u8() === 1
      const era = r.u16()
      const seq = r.u48()
      return !wanted || (entry !== undefined && era === state.era && seq === entry.seq)
    }
    const rows = (where: unknown): Stored[] => {
      const filter = compileFilter(where, defaultLimits)
      return [...state.entries.values()].filter(
        (row) => row.map === map && filter.matches(row.value, 0, row.value.length),
      )
    }
    switch (view.operation) {
      case Operation.get:
        if (entry) out.bytes(entry.value)
        return false
      case Operation.getAll: {
        const countAt = out.length - out.start
        out.u32(0)
        let count = 0
        while (r.remaining > 0 && count < this.#cluster.valuesMax) {
          const found = state.entries.get(`${map} ${r.view(r.u16()).toString('latin1')}`)
          out.u32(found?.value.length ?? 0)
          out.bytes(found?.value ?? NO_BYTES)
          count++
        }
        out.buffer.writeUInt32LE(count, out.start + countAt)
        return false
      }
      case Operation.getEntry:
        if (!entry) return false
        out.u48(entry.expiresAt)
        out.u48(entry.seq)
        out.bytes(entry.value)
        return false
      case Operation.has:
        out.u8(entry ? 1 : 0)
        return false
      case Operation.put: {
        const ttlMs = r.u48()
        return store(rest(), ttlMs, false)
      }
      case Operation.putIfAbsent: {
        const ttlMs = r.u48()
        out.u8(entry ? 0 : 1)
        return entry === undefined && store(rest(), ttlMs, false)
      }
      case Operation.replace: {
        const ttlMs = r.u48()
        const applies = hasVersion() && entry !== undefined
        out.u8(applies ? 1 : 0)
        return applies && store(rest(), ttlMs, ttlMs === 0)
      }
      case Operation.remove: {
        const applies = hasVersion() && entry !== undefined
        out.u8(applies ? 1 : 0)
        if (applies) state.entries.delete(id)
        if (applies) state.seq++
        return applies
      }
      case Operation.update: {
        const update = checkUpdate(decodeValue(bytes, r.offset, argumentEnd, defaultLimits), defaultLimits)
        const current = entry && decodeValue(entry.value, 0, entry.value.length, defaultLimits)
        encodeValue(out, applyUpdate(current, update), defaultLimits)
        return store(Buffer.from(out.take()), 0, true)
      }
      case Operation.invoke: {
        const name = r.text()
        const where = r.block()
        const argument = decodeValue(bytes, r.offset, argumentEnd, defaultLimits)
        const processor = this.#cluster.processors.get(name)
        if (!processor) throw new GridError('UNKNOWN_PROCESSOR', `no processor ${name}`)
        if (where.length > 0) {
          const filter = compileFilter(decodeValue(where, 0, where.length, defaultLimits), defaultLimits)
          if (!entry || !filter.matches(entry.value, 0, entry.value.length)) {
            out.u8(0)
            return false
          }
        }
        const current = entry && decodeValue(entry.value, 0, entry.value.length, defaultLimits)
        const { value, remove, result } = processor(current, argument)
        out.u8(1)
        encodeValue(out, result ?? null, defaultLimits)
        if (remove) state.entries.delete(id)
        if (value === undefined) return false
        const w = new ByteWriter(64)
        encodeValue(w, value, defaultLimits)
        return store(Buffer.from(w.take()), 0, true)
      }
      case Operation.size:
        out.u48(rows(undefined).length)
        return false
      case Operation.clear: {
        const gone = rows(undefined)
        for (const row of gone) state.entries.delete(`${map} ${row.keyBytes.toString('latin1')}`)
        out.u48(gone.length)
        state.seq++
        return true
      }
      case Operation.page: {
        const withValues = r.u8() === 1
        const fromHash = r.u32()
        const count = r.u16()
        const where = r.block()
        const filter = where.length > 0 ? decodeValue(where, 0, where.length, defaultLimits) : undefined
        const sorted = rows(filter)
          .filter((row) => row.hash >= fromHash)
          .sort((a, b) => a.hash - b.hash)
        const next = sorted[count]
        out.u8(next ? 1 : 0)
        out.u32(next?.hash ?? 0)
        writeRows(out, sorted.slice(0, count), (row) => (withValues ? row.value : NO_BYTES))
        return false
      }
      case Operation.query: {
        const document = decodeValue(bytes, r.offset, argumentEnd, defaultLimits) as Record<string, unknown>
        const { where, select, orderBy, limit } = document
        const found = rows(where)
        const most = (limit as number | undefined) ?? found.length
        const top = new TopRows(compileOrder(orderBy), most)
        for (const { keyBytes: k, value } of found) top.offer(k, 0, k.length, value, 0, value.length)
        const projection = compileProjection(select)
        const kept = top.rows().map(({ key, value }) => {
          const w = new ByteWriter(64)
          projection.project(value, 0, value.length, w)
          return { keyBytes: key, value: Buffer.from(w.take()) }
        })
        writeRows(out, kept, (row) => row.value)
        return false
      }
      default:
        throw new GridError('MALFORMED', `operation ${view.operation}`)
    }
  }
}

function writeRows<R extends { keyBytes: Buffer }>(
  w: ByteWriter,
  rows: readonly R[],
  valueFor: (row: R) => Buffer,
): void {
  w.u32(rows.length)
  for (const row of rows) {
    w.u16(row.keyBytes.length)
    w.bytes(row.keyBytes)
    w.block(valueFor(row))
  }
}

/** A key or value as an event carries it. */
export function encoded(value: unknown): Uint8Array {
  const w = new ByteWriter(64)
  encodeValue(w, value, defaultLimits)
  return w.take()
}
