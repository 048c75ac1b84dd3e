/**
 * The messages of the grid, and how each stands in bytes.
 *
 *     message  u8 type · u24 size of the payload · payload
 *
 * Integers are little-endian. An epoch is a u48 (u16 generation, u32 number), an id is 16 bytes, a position is
 * `u16 era · u48 seq`. Every frame of a link is a run of messages. Hot messages (`call`, `reply`, `replicate`,
 * `ack`) have a fixed layout that is read into a reused view without allocating; the rest follow the same rules.
 *
 * A client's link may carry only the client's messages (1–19), a member's only a member's (40–59): the table that
 * dispatches them is indexed by role, so a client can never speak for a replica.
 */

import { type ByteReader, type ByteWriter, putU24 } from '../base/bytes.ts'
import { type Applied, type ErrorCode, errorCodeOfWire, errorTable, GridError } from '../base/errors.ts'

export const MessageType = {
  // client → member
  call: 1,
  watch: 2,
  credit: 3,
  unwatch: 4,
  viewRequest: 5,
  openMap: 6,
  progressRequest: 7,
  // member → client
  reply: 20,
  events: 21,
  watchEnd: 22,
  view: 23,
  mapOpened: 24,
  progress: 25,
  // member ↔ member
  replicate: 40,
  ack: 41,
  nack: 42,
  beacon: 43,
  beaconAck: 44,
  confirm: 45,
  confirmAck: 46,
  config: 47,
  configRequest: 48,
  snapshotBegin: 49,
  snapshotChunk: 50,
  snapshotAck: 51,
  refuse: 52,
} as const

export type MessageType = (typeof MessageType)[keyof typeof MessageType]

/** Begins a message; the result goes to {@link endMessage}. It stays right when the buffer is replaced. */
export function beginMessage(w: ByteWriter, type: MessageType): number {
  const mark = w.length - w.start
  w.u32(type)
  return mark
}

/** Ends a message: fills in its size. */
export function endMessage(w: ByteWriter, mark: number): void {
  const at = w.start + mark
  putU24(w.buffer, at + 1, w.length - at - 4)
}

/** What a call asks of a partition. The number on the wire is never reused. */
export const Operation = {
  get: 1,
  getEntry: 2,
  has: 3,
  put: 4,
  putIfAbsent: 5,
  replace: 6,
  remove: 7,
  update: 8,
  invoke: 9,
  size: 10,
  clear: 11,
  page: 12,
  query: 13,
  getAll: 14,
} as const

export type Operation = (typeof Operation)[keyof typeof Operation]

/** This call may have been sent before: its first attempt may have taken effect. */
export const FLAG_RETRY = 1
/** Answer this read by a round to the in-sync replicas instead of by leases. */
export const FLAG_CONFIRMED = 2

/**
 * A write of this session on this partition has been answered as applied, so the partition must remember the session.
 * Without it an unknown session is a new one: reads and failed conditions leave no trace of themselves.
 */
export const FLAG_SESSION = 4

/**
 * A backup may answer this read of one key (`get`, `getEntry`, `has`), if its state is new enough, and else sends it on
 * to the owner with `notOwner`. Its argument is a {@link Freshness}; to the owner it is a read like any other.
 */
export const FLAG_ANY = 8

/**
 * How new the answer of a backup must be: `u32 maxStaleMs · u16 era · u48 epoch · u48 seq`. It lacks nothing that was
 * acknowledged more than `maxStaleMs` before the read was made; and no earlier place in the partition's history than the
 * given one, by epoch and by seq, is answered from, for that has been seen by the client.
 */
export interface Freshness {
  readonly maxStaleMs: number
  readonly era: number
  readonly epoch: number
  readonly seq: number
}

export function writeFreshness(w: ByteWriter, freshness: Freshness): void {
  w.u32(freshness.maxStaleMs)
  w.u16(freshness.era)
  w.u48(freshness.epoch)
  w.u48(freshness.seq)
}

export function readFreshness(r: ByteReader): Freshness {
  return { maxStaleMs: r.u32(), era: r.u16(), epoch: r.u48(), seq: r.u48() }
}

/** `ttlMs` of a write: the map's own default applies. */
export const TTL_DEFAULT = 0
/** `ttlMs` of a write: the entry never expires, whatever the map's default. */
export const TTL_NONE = 0xffff_ffff_ffff

/**
 * A call on one partition.
 *
 *     u16 partition · u32 call · u32 ackUpTo · u48 epoch · u8 operation · u8 flags · u16 map · u16 keyLength
 *     · key · argument (the rest)
 *
 * `call` numbers the calls of one session on one partition from 1 up, reads too; every number up to `ackUpTo` has
 * been answered and is forgotten by the owner. `epoch` is the newest that the client knows for the partition. With
 * `call` 0 and `map` 0 it only asks whose the partition is: the owner answers an error, others as to any call.
 *
 * Argument by operation (`V` a MessagePack value, `position` = u16 era · u48 seq):
 *
 *     get, getEntry, has                nothing, or with `FLAG_ANY` a `Freshness`
 *     size, clear                       nothing
 *     put, putIfAbsent                  u48 ttlMs · V
 *     replace                           u48 ttlMs · u8 hasVersion · position · V       (ttlMs 0 keeps the expiry)
 *     remove                            u8 hasVersion · position
 *     update                            V (the update document)
 *     invoke                            text name · block where (empty = none) · V (the argument, nil if none)
 *     page                              u8 withValues · u32 fromHash · u16 rows · block where (empty = none)
 *     query                             V { where?, select?, orderBy?, limit? }
 *     getAll                            keys of this partition (u16 keyLength · key)
 */
export class CallView {
  partition = 0
  call = 0
  ackUpTo = 0
  epoch = 0
  operation = 0
  flags = 0
  map = 0
  bytes!: Buffer
  keyStart = 0
  keyEnd = 0
  argumentStart = 0
  argumentEnd = 0

  /** Reads the payload of a `call` message, all of the reader's range. The view points into its bytes. */
  read(r: ByteReader): this {
    this.partition = r.u16()
    this.call = r.u32()
    this.ackUpTo = r.u32()
    this.epoch = r.u48()
    this.operation = r.u8()
    this.flags = r.u8()
    this.map = r.u16()
    const keyLength = r.u16()
    this.bytes = r.bytes
    this.keyStart = r.skip(keyLength)
    this.keyEnd = this.keyStart + keyLength
    this.argumentStart = this.keyEnd
    this.argumentEnd = r.end
    return this
  }
}

/** Where `call`'s fields stand in the whole message (header included), for a client that sends it again. */
export const CALL_OFFSET = {
  partition: 4,
  call: 6,
  ackUpTo: 10,
  epoch: 14,
  operation: 20,
  flags: 21,
  map: 22,
} as const

/** Writes everything of a call up to the key's length; the caller appends key and argument, then ends the message. */
export function writeCallHeader(
  w: ByteWriter,
  partition: number,
  call: number,
  ackUpTo: number,
  epoch: number,
  operation: Operation,
  flags: number,
  map: number,
  keyLength: number,
): void {
  w.u16(partition)
  w.u32(call)
  w.u32(ackUpTo)
  w.u48(epoch)
  w.u8(operation)
  w.u8(flags)
  w.u16(map)
  w.u16(keyLength)
}

/**
 * Status of a reply. `moved` is `notOwner` for a call that had been taken: it may have taken effect, and the client
 * sends it again, marked as a retry, to the new owner, which knows.
 */
export const ReplyStatus = { ok: 0, error: 1, notOwner: 2, moved: 3 } as const

/**
 * The answer to a call.
 *
 *     u16 partition · u32 call · u8 status · u16 era · u48 epoch · u48 seq · payload (the rest)
 *
 * `(era, epoch, seq)` is the place in the partition's history at which the call took effect; replies that a client
 * gets for calls made one after the other never go back. Payload:
 *
 *     ok, by operation:
 *       get                         V, or nothing when there is no entry
 *       getEntry                    nothing, or u48 expiresAt (0 = never) · u48 version seq · V
 *       has, putIfAbsent, replace, remove   u8 (1 = yes, applied)
 *       put                         nothing
 *       update                      V, the new value
 *       invoke                      u8 matched (0: `where` did not match, nothing ran) · V, the result
 *       size, clear                 u48 count
 *       page                        u8 more · u32 nextHash · u32 count · rows (u16 keyLength · key · u32 valueLength · V)
 *       query                       u32 count · rows (as page), in the order asked for
 *       getAll                      u32 count · count × (u32 valueLength (0 = no entry) · V), of the first keys asked for; at
 *                                   least one, and fewer than all where the answer would become too long
 *     error                         u8 code · u8 applied (0 no, 1 yes, 2 unknown) · text message
 *     notOwner, moved               the 16-byte id of the owner as far as this member knows (zeros: none); the epoch
 *                                   of the reply is the one that it knows
 */
export class ReplyView {
  partition = 0
  call = 0
  status = 0
  era = 0
  epoch = 0
  seq = 0
  bytes!: Buffer
  payloadStart = 0
  payloadEnd = 0

  read(r: ByteReader): this {
    this.partition = r.u16()
    this.call = r.u32()
    this.status = r.u8()
    this.era = r.u16()
    this.epoch = r.u48()
    this.seq = r.u48()
    this.bytes = r.bytes
    this.payloadStart = r.offset
    this.payloadEnd = r.end
    return this
  }
}

export function writeReplyHeader(
  w: ByteWriter,
  partition: number,
  call: number,
  status: number,
  era: number,
  epoch: number,
  seq: number,
): void {
  w.u16(partition)
  w.u32(call)
  w.u8(status)
  w.u16(era)
  w.u48(epoch)
  w.u48(seq)
}

const APPLIED: readonly Applied[] = ['no', 'yes', 'unknown']

/** Writes an error as `u8 code · u8 applied · text message`. */
export function writeError(w: ByteWriter, error: GridError): void {
  w.u8(errorTable[error.code].wire)
  w.u8(APPLIED.indexOf(error.applied))
  const prefix = `${error.code}: `
  const message = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message
  w.text(message.slice(0, 2000))
}

export function readError(r: ByteReader): GridError {
  const code: ErrorCode = errorCodeOfWire(r.u8())
  const applied = APPLIED[r.u8()] ?? 'unknown'
  return new GridError(code, r.text(), { applied })
}

/**
 * Asks for a map's number by its name: `u32 request · text name · block config` (MessagePack of the map's
 * configuration, empty when the caller gives none). Answer, `mapOpened`:
 * `u32 request · u8 ok · (u16 map | error)`. Creating a map is a record of the configuration log, so the answer
 * comes once that is decided; asking again is harmless.
 */
/** What a map may be called. */
export const MAP_NAME = /^[A-Za-z0-9_.:-]{1,128}$/

export interface OpenMap {
  readonly request: number
  readonly name: string
  readonly config: Uint8Array
}

export function writeOpenMap(w: ByteWriter, message: OpenMap): void {
  const mark = beginMessage(w, MessageType.openMap)
  w.u32(message.request)
  w.text(message.name)
  w.block(message.config)
  endMessage(w, mark)
}

export function readOpenMap(r: ByteReader): OpenMap {
  return { request: r.u32(), name: r.text(), config: r.block() }
}

export function writeMapOpened(w: ByteWriter, request: number, outcome: number | GridError): void {
  const mark = beginMessage(w, MessageType.mapOpened)
  w.u32(request)
  w.u8(typeof outcome === 'number' ? 1 : 0)
  if (typeof outcome === 'number') w.u16(outcome)
  else writeError(w, outcome)
  endMessage(w, mark)
}

export function readMapOpened(r: ByteReader): { request: number; outcome: number | GridError } {
  const request = r.u32()
  return { request, outcome: r.u8() === 1 ? r.u16() : readError(r) }
}

/**
 * Subscribes to one partition of a map: `u32 watch · u16 partition · u48 epoch · u16 map · u8 flags · u16 era ·
 * u48 seq · u32 credit · block where (empty = every entry) · u32 count · count × u32 key hash`.
 *
 * `watch` is the client's number for the subscription, one for all partitions. With `initial` the stream begins with
 * the rows that match; with `resume` it begins after (era, seq), or with a `reset` where that is too old. `credit` is
 * how many events the client will take before it grants more. `held` are the hashes of the keys that the client holds
 * (only with a filter and resume): a `leave` is sent only for a key among them, or, where `heldKnown` is false, for
 * any key that no longer matches. With `keysOnly` no event carries a value and no rows are ever sent, not even after a
 * `reset`: the client wants to know what has changed, not to what.
 */
export interface Watch {
  readonly watch: number
  readonly partition: number
  readonly epoch: number
  readonly map: number
  readonly initial: boolean
  readonly resume: { readonly era: number; readonly seq: number } | undefined
  readonly heldKnown: boolean
  readonly keysOnly: boolean
  readonly credit: number
  readonly where: Uint8Array
  readonly held: readonly number[]
}

export function writeWatch(w: ByteWriter, m: Watch): void {
  const mark = beginMessage(w, MessageType.watch)
  w.u32(m.watch)
  w.u16(m.partition)
  w.u48(m.epoch)
  w.u16(m.map)
  w.u8((m.initial ? 1 : 0) | (m.resume ? 2 : 0) | (m.heldKnown ? 4 : 0) | (m.keysOnly ? 8 : 0))
  w.u16(m.resume?.era ?? 0)
  w.u48(m.resume?.seq ?? 0)
  w.u32(m.credit)
  w.block(m.where)
  w.u32(m.held.length)
  for (const hash of m.held) w.u32(hash)
  endMessage(w, mark)
}

export function readWatch(r: ByteReader): Watch {
  const watch = r.u32()
  const partition = r.u16()
  const epoch = r.u48()
  const map = r.u16()
  const flags = r.u8()
  const era = r.u16()
  const seq = r.u48()
  const credit = r.u32()
  const where = r.block()
  const count = r.u32()
  if (count * 4 > r.remaining) throw new GridError('MALFORMED', 'a watch names more keys than it carries')
  const held: number[] = []
  for (let i = 0; i < count; i++) held.push(r.u32())
  const resume = (flags & 2) !== 0 ? { era, seq } : undefined
  return {
    watch,
    partition,
    epoch,
    map,
    initial: (flags & 1) !== 0,
    resume,
    heldKnown: (flags & 4) !== 0,
    keysOnly: (flags & 8) !== 0,
    credit,
    where,
    held,
  }
}

/** Grants `events` more events to one partition of a watch: `u32 watch · u16 partition · u32 events`. */
export function writeCredit(w: ByteWriter, watch: number, partition: number, events: number): void {
  const mark = beginMessage(w, MessageType.credit)
  w.u32(watch)
  w.u16(partition)
  w.u32(events)
  endMessage(w, mark)
}

/** Ends a subscription to one partition: `u32 watch · u16 partition`. */
export function writeUnwatch(w: ByteWriter, watch: number, partition: number): void {
  const mark = beginMessage(w, MessageType.unwatch)
  w.u32(watch)
  w.u16(partition)
  endMessage(w, mark)
}

/** What happened to a key, as a watcher is told. */
export const EventKind = {
  /** The entry as it was when the subscription began (or was reset). */
  snapshot: 1,
  put: 2,
  /** The entry is gone; the cause says why. */
  remove: 3,
  /** The entry is there but matches the filter no more. */
  leave: 4,
  /** Every entry of the map in this partition is gone. */
  clear: 5,
  /** What was known of this partition is void; rows follow as after a new subscription. */
  reset: 6,
  /** All rows of the snapshot have been sent. */
  snapshotEnd: 7,
} as const

export type EventKind = (typeof EventKind)[keyof typeof EventKind]

/**
 * Events of one partition of a watch, in order: `u32 watch · u16 partition · u16 era · u48 position · u32 count` and
 * then, for each, `u8 kind · u8 cause · u48 seq · u16 keyLength · key · u32 valueLength · value`.
 *
 * `position` is where a subscription resumes that has taken them all. During the snapshot it is the position that the
 * stream will begin after only once `snapshotEnd` has come; before that `position` is 0: begin again.
 */
export interface WatchEvent {
  kind: number
  cause: number
  seq: number
  key: Uint8Array
  value: Uint8Array
}

export function writeEventsHeader(
  w: ByteWriter,
  watch: number,
  partition: number,
  era: number,
  position: number,
  count: number,
): void {
  w.u32(watch)
  w.u16(partition)
  w.u16(era)
  w.u48(position)
  w.u32(count)
}

/** Offset of `position` and `count` in the payload of an `events` message, to be filled in at its end. */
export const EVENTS_OFFSET = { position: 8, count: 14 } as const

export interface EventsHeader {
  readonly watch: number
  readonly partition: number
  readonly era: number
  readonly position: number
  readonly count: number
}

export function readEventsHeader(r: ByteReader): EventsHeader {
  return { watch: r.u32(), partition: r.u16(), era: r.u16(), position: r.u48(), count: r.u32() }
}

/** Reads the next event; key and value are views into the frame. */
export function readEvent(r: ByteReader): WatchEvent {
  const kind = r.u8()
  if (kind < EventKind.snapshot || kind > EventKind.snapshotEnd)
    throw new GridError('MALFORMED', `an event of kind ${kind}`)
  return { kind, cause: r.u8(), seq: r.u48(), key: r.view(r.u16()), value: r.view(r.u32()) }
}

/**
 * Asks how far this client has been told, `u32 request`, and the answer, `u32 request · u32 count · count × (u32 watch ·
 * u16 partition)`: the client's `keysOnly` subscriptions that have been sent every event up to a commit which, when the
 * request had arrived, was that of an owner that could answer reads by itself. The answer follows those events on the
 * link. One that is not named is not vouched for; a long answer comes in several messages of the same number.
 */
export interface Progress {
  readonly request: number
  readonly told: readonly { readonly watch: number; readonly partition: number }[]
}

export function writeProgressRequest(w: ByteWriter, request: number): void {
  const mark = beginMessage(w, MessageType.progressRequest)
  w.u32(request)
  endMessage(w, mark)
}

export function writeProgress(w: ByteWriter, { request, told }: Progress): void {
  const mark = beginMessage(w, MessageType.progress)
  w.u32(request)
  w.u32(told.length)
  for (const { watch, partition } of told) {
    w.u32(watch)
    w.u16(partition)
  }
  endMessage(w, mark)
}

export function readProgress(r: ByteReader): Progress {
  const request = r.u32()
  const count = r.u32()
  if (count * 6 > r.remaining) throw new GridError('MALFORMED', 'a progress names more than it carries')
  const told: { watch: number; partition: number }[] = []
  for (let i = 0; i < count; i++) told.push({ watch: r.u32(), partition: r.u16() })
  return { request, told }
}

/** The member has ended a subscription to one partition: `u32 watch · u16 partition · error`. The client resumes. */
export function writeWatchEnd(w: ByteWriter, watch: number, partition: number, error: GridError): void {
  const mark = beginMessage(w, MessageType.watchEnd)
  w.u32(watch)
  w.u16(partition)
  writeError(w, error)
  endMessage(w, mark)
}

/**
 * What a client needs to know of the cluster, pushed when a client connects, asks (`viewRequest`, no payload) and on
 * every change: `u48 version · id boot · id cluster · u16 partitionCount · u16 members · members × (id · text address · text
 * name) · partitionCount × (u48 epoch · u16 member index + 1, 0 = no owner · u8 backups · backups × u16 member index)`.
 * The backups are those in sync.
 * `version` is the place in the configuration log up to which it is true. It falls when the log is rolled back; then
 * `boot`, which names the log's present run, is another one.
 */
export interface ClientView {
  readonly version: number
  readonly boot: string
  readonly clusterId: string
  readonly members: readonly { readonly id: string; readonly address: string; readonly name: string }[]
  /** By partition. */
  readonly epochs: readonly number[]
  /** By partition: index in `members`, or -1. */
  readonly owners: readonly number[]
  /** By partition: indexes in `members` of the other replicas in sync. */
  readonly backups: readonly (readonly number[])[]
}

export function writeView(w: ByteWriter, view: ClientView): void {
  const mark = beginMessage(w, MessageType.view)
  w.u48(view.version)
  writeId(w, view.boot)
  writeId(w, view.clusterId)
  w.u16(view.epochs.length)
  w.u16(view.members.length)
  for (const member of view.members) {
    writeId(w, member.id)
    w.text(member.address)
    w.text(member.name)
  }
  for (let p = 0; p < view.epochs.length; p++) {
    w.u48(view.epochs[p]!)
    w.u16(view.owners[p]! + 1)
    const backups = view.backups[p]!
    w.u8(backups.length)
    for (const member of backups) w.u16(member)
  }
  endMessage(w, mark)
}

export function readView(r: ByteReader): ClientView {
  const version = r.u48()
  const boot = readId(r)
  const clusterId = readId(r)
  const partitionCount = r.u16()
  const memberCount = r.u16()
  const members: { id: string; address: string; name: string }[] = []
  for (let i = 0; i < memberCount; i++) members.push({ id: readId(r), address: r.text(), name: r.text() })
  const epochs: number[] = []
  const owners: number[] = []
  const backups: number[][] = []
  const memberOf = (index: number, partition: number): number => {
    if (index < memberCount) return index
    throw new GridError('MALFORMED', `partition ${partition} has a replica outside the roster`)
  }
  for (let p = 0; p < partitionCount; p++) {
    epochs.push(r.u48())
    owners.push(memberOf(r.u16() - 1, p))
    const count = r.u8()
    backups.push(Array.from({ length: count }, () => memberOf(r.u16(), p)))
  }
  return { version, boot, clusterId, members, epochs, owners, backups }
}

/** 16 bytes of an id that the program holds as 32 hexadecimal digits. The empty id is all zeros. */
export function writeId(w: ByteWriter, id: string): void {
  w.reserve(16)
  if (id === '') w.buffer.fill(0, w.length, w.length + 16)
  else w.buffer.write(id, w.length, 16, 'hex')
  w.length += 16
}

export function readId(r: ByteReader): string {
  const at = r.skip(16)
  const id = r.bytes.toString('hex', at, at + 16)
  return id === '00000000000000000000000000000000' ? '' : id
}

/**
 * What members tell all over the control plane, as hints: `u8 kind · id · text address · block info`. Kind `member`
 * says that a member is there (`info` is for members: MessagePack of what the roster holds of it); kind `who`, sent
 * by a client or a newcomer with empty fields, asks every member to say so now. Kind `death` is a death certificate:
 * `id` is the incarnation that has ended and `info` the secret whose hash the roster holds.
 */
export const AnnouncementKind = { member: 1, who: 2, death: 3 } as const

export interface Announcement {
  readonly kind: number
  readonly id: string
  readonly address: string
  readonly info: Uint8Array
}

export function writeAnnouncement(w: ByteWriter, announcement: Announcement): void {
  w.u8(announcement.kind)
  writeId(w, announcement.id)
  w.text(announcement.address)
  w.block(announcement.info)
}

export function readAnnouncement(r: ByteReader): Announcement {
  return { kind: r.u8(), id: readId(r), address: r.text(), info: r.block() }
}
