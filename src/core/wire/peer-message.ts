/**
 * The messages between members: replication, leases, state transfer. See message.ts for the rules of layout.
 *
 * Each names the configuration that it was sent under by `(partition, epoch, tag)`, where the tag is the first 32 bits
 * of the configuration's id: enough to see that two members hold different configurations of one epoch, which is a
 * `CONFLICT`. A `session` is the owner's number for one (re)join of one replica. An acknowledgement carries it back, so that
 * one from before a removal can never count after it; and it rises, so that a transfer that comes late, on an older
 * link, is not taken for a new one. Between two members nothing but the order on one link is taken for granted.
 */

import {
  type ByteReader,
  type ByteWriter,
  getU16,
  getU32,
  getU48,
  putU16,
  putU32,
  putU48,
} from '../base/bytes.ts'
import { beginMessage, endMessage, MessageType } from './message.ts'

/** `u16 partition · u48 epoch · u32 tag`: the head of every message between replicas of a partition. */
export interface Reference {
  partition: number
  epoch: number
  tag: number
}

const REFERENCE_BYTES = 12
/** Of a `replicate` before its records. */
const REPLICATE_BYTES = REFERENCE_BYTES + 5 * 6
const ANSWER_BYTES = REFERENCE_BYTES + 2 * 6
/** Of one entry of a beacon: reference, commit, whether it is vouched for. */
const ENTRY_BYTES = REFERENCE_BYTES + 6 + 1

export function writeReference(w: ByteWriter, ref: Readonly<Reference>): void {
  w.reserve(REFERENCE_BYTES)
  putReference(w.buffer, w.length, ref)
  w.length += REFERENCE_BYTES
}

export function readReference(r: ByteReader, into: Reference): void {
  getReference(r.bytes, r.skip(REFERENCE_BYTES), into)
}

function putReference(b: Buffer, at: number, ref: Readonly<Reference>): void {
  putU16(b, at, ref.partition)
  putU48(b, at + 2, ref.epoch)
  putU32(b, at + 8, ref.tag)
}

function getReference(b: Buffer, at: number, into: Reference): void {
  into.partition = getU16(b, at)
  into.epoch = getU48(b, at + 2)
  into.tag = getU32(b, at + 8)
}

/**
 * Records of the log, from `prevSeq + 1` on, all of one epoch: `reference · u48 session · u48 prevSeq · u48 prevEpoch ·
 * u48 recordsEpoch · u48 commit · records`. None at all asks whether the logs match up to `prevSeq`.
 */
export class Replicate implements Reference {
  partition = 0
  epoch = 0
  tag = 0
  session = 0
  prevSeq = 0
  prevEpoch = 0
  recordsEpoch = 0
  commit = 0
  bytes!: Buffer
  recordsStart = 0
  recordsEnd = 0

  read(r: ByteReader): this {
    const b = r.bytes
    const at = r.skip(REPLICATE_BYTES)
    getReference(b, at, this)
    this.session = getU48(b, at + 12)
    this.prevSeq = getU48(b, at + 18)
    this.prevEpoch = getU48(b, at + 24)
    this.recordsEpoch = getU48(b, at + 30)
    this.commit = getU48(b, at + 36)
    this.bytes = b
    this.recordsStart = r.offset
    this.recordsEnd = r.end
    return this
  }
}

/** Writes a `replicate` up to its records; append them and end the message. */
export function writeReplicateHeader(
  w: ByteWriter,
  ref: Readonly<Reference>,
  session: number,
  prevSeq: number,
  prevEpoch: number,
  recordsEpoch: number,
  commit: number,
): void {
  w.reserve(REPLICATE_BYTES)
  const b = w.buffer
  const at = w.length
  putReference(b, at, ref)
  putU48(b, at + 12, session)
  putU48(b, at + 18, prevSeq)
  putU48(b, at + 24, prevEpoch)
  putU48(b, at + 30, recordsEpoch)
  putU48(b, at + 36, commit)
  w.length = at + REPLICATE_BYTES
}

/**
 * `ack`: everything up to `seq` is held. `nack`: the logs do not match there; begin again after `seq`. `refuse`: this
 * replica cannot hold the partition (seq 0); take it out. `snapshotAck`: chunk number `seq` has been taken.
 * All: `reference · u48 session · u48 seq`.
 */
export class Answer implements Reference {
  partition = 0
  epoch = 0
  tag = 0
  session = 0
  seq = 0

  read(r: ByteReader): this {
    const b = r.bytes
    const at = r.skip(ANSWER_BYTES)
    getReference(b, at, this)
    this.session = getU48(b, at + 12)
    this.seq = getU48(b, at + 18)
    return this
  }
}

export type AnswerType =
  | typeof MessageType.ack
  | typeof MessageType.nack
  | typeof MessageType.refuse
  | typeof MessageType.snapshotAck

export function writeAnswer(
  w: ByteWriter,
  type: AnswerType,
  ref: Readonly<Reference>,
  session: number,
  seq: number,
): void {
  const mark = beginMessage(w, type)
  w.reserve(ANSWER_BYTES)
  const b = w.buffer
  const at = w.length
  putReference(b, at, ref)
  putU48(b, at + 12, session)
  putU48(b, at + 18, seq)
  w.length = at + ANSWER_BYTES
  endMessage(w, mark)
}

/**
 * `beacon`: the owner of these partitions is alive; `sentMono` and `sentWall` are its clocks at sending, and an answer
 * that lists a partition is a lease for it from that moment. `f64 sentMono · f64 sentWall · f64 backupMono · f64 backupWall
 * · u16 count · count × (reference · u48 commit · u8 vouched)`. `beaconAck`: the clocks again, those of the backup when
 * it answers, and the references granted. The next beacon takes the backup's clocks back to it; of a partition that is
 * `vouched` for it may then say that everything acknowledged before that moment is at or below the commit.
 * `confirm`, `confirmAck`: the same without clocks' meaning (sentMono is the round), for reads that trust no clock.
 */
export interface Beacon {
  readonly sentMono: number
  readonly sentWall: number
  /** -Infinity where nothing has been heard of the backup yet. */
  readonly backupMono: number
  readonly backupWall: number
  readonly entries: readonly BeaconEntry[]
}

export interface BeaconEntry extends Reference {
  commit: number
  vouched: boolean
}

export type BeaconType =
  | typeof MessageType.beacon
  | typeof MessageType.beaconAck
  | typeof MessageType.confirm
  | typeof MessageType.confirmAck

export function writeBeacon(w: ByteWriter, type: BeaconType, beacon: Beacon): void {
  const mark = beginMessage(w, type)
  w.f64(beacon.sentMono)
  w.f64(beacon.sentWall)
  w.f64(beacon.backupMono)
  w.f64(beacon.backupWall)
  w.u16(beacon.entries.length)
  for (const entry of beacon.entries) {
    writeReference(w, entry)
    w.u48(entry.commit)
    w.u8(entry.vouched ? 1 : 0)
  }
  endMessage(w, mark)
}

export function readBeacon(r: ByteReader): Beacon {
  const sentMono = r.f64()
  const sentWall = r.f64()
  const backupMono = r.f64()
  const backupWall = r.f64()
  const count = r.u16()
  const entries: BeaconEntry[] = []
  if (count * ENTRY_BYTES > r.remaining) r.skip(count * ENTRY_BYTES)
  for (let i = 0; i < count; i++) {
    const entry = { partition: 0, epoch: 0, tag: 0, commit: 0, vouched: false }
    readReference(r, entry)
    entry.commit = r.u48()
    entry.vouched = r.u8() === 1
    entries.push(entry)
  }
  return { sentMono, sentWall, backupMono, backupWall, entries }
}

/**
 * State transfer begins: `reference · u48 session · u48 base`. What follows in chunks is the content at `base`: first
 * what belongs to it besides the entries (epochs, sessions), cut in pieces, then the entries.
 */
export interface SnapshotBegin extends Reference {
  session: number
  base: number
}

export function writeSnapshotBegin(
  w: ByteWriter,
  ref: Readonly<Reference>,
  session: number,
  base: number,
): void {
  const mark = beginMessage(w, MessageType.snapshotBegin)
  writeReference(w, ref)
  w.u48(session)
  w.u48(base)
  endMessage(w, mark)
}

export function readSnapshotBegin(r: ByteReader): SnapshotBegin {
  const reference = { partition: 0, epoch: 0, tag: 0 }
  readReference(r, reference)
  return { ...reference, session: r.u48(), base: r.u48() }
}

/** What a chunk of a state transfer holds; the last one holds records, too. */
export const ChunkKind = { records: 0, last: 1, state: 2 } as const

/** One chunk of a state transfer: `reference · u48 session · u32 index · u8 kind · records, or a piece of the state`. */
export interface SnapshotChunk extends Reference {
  session: number
  index: number
  kind: number
  bytes: Buffer
  start: number
  end: number
}

export function writeSnapshotChunkHeader(
  w: ByteWriter,
  ref: Readonly<Reference>,
  session: number,
  index: number,
  kind: number,
): void {
  writeReference(w, ref)
  w.u48(session)
  w.u32(index)
  w.u8(kind)
}

/** Offset of `kind` in the payload of a `snapshotChunk`: which one is last is known only once its records are written. */
export const CHUNK_KIND_OFFSET = REFERENCE_BYTES + 10

export function readSnapshotChunk(r: ByteReader): SnapshotChunk {
  const message = { partition: 0, epoch: 0, tag: 0 }
  readReference(r, message)
  const session = r.u48()
  const index = r.u32()
  const kind = r.u8()
  return { ...message, session, index, kind, bytes: r.bytes, start: r.offset, end: r.end }
}

/** Asks a member for the configuration of a partition that it spoke of: `u16 partition`. Answer: `config`. */
export function writeConfigRequest(w: ByteWriter, partition: number): void {
  const mark = beginMessage(w, MessageType.configRequest)
  w.u16(partition)
  endMessage(w, mark)
}

/** A configuration, encoded by membership: the answer to a request, and to any message from an older epoch. */
export function writeConfig(w: ByteWriter, encoded: Uint8Array): void {
  const mark = beginMessage(w, MessageType.config)
  w.bytes(encoded)
  endMessage(w, mark)
}
