/** What replicas send each other of a partition: records of the log, tables of epochs and sessions, whole states. */

import { ByteReader, ByteWriter } from '../../../src/core/base/bytes.ts'
import type { Context } from '../../../src/core/partition/context.ts'
import { Replica } from '../../../src/core/partition/replica.ts'
import { SessionTable } from '../../../src/core/partition/session-table.ts'
import { EpochTable } from '../../../src/core/replication/epoch-table.ts'
import { BlockPool } from '../../../src/core/store/block-pool.ts'
import { History } from '../../../src/core/store/history.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import {
  blankRecord,
  copyBare,
  paddedAt,
  RecordKind,
  RecordView,
  readRecord,
  recordBytes,
  writeRecord,
} from '../../../src/core/store/record.ts'
import { inputOf } from '../../core/store/support.ts'
import { Broken, type Decoder, decoder } from '../decoder.ts'
import { A, B, bytesOf } from './seed.ts'

const OPEN = bytesOf((w) => {
  w.u32(1)
  w.bytes(Buffer.from(A, 'hex'))
})

const RECORDS = [
  inputOf({ key: 'key', value: 'value', map: 1 }),
  inputOf({
    key: 'key',
    value: 'value with an answer',
    map: 1,
    expiresAt: 1_700_000_000_000,
    envelope: 'reply',
  }),
  inputOf({ kind: RecordKind.remove, cause: 2, key: 'key', map: 1, envelope: '' }),
  inputOf({ kind: RecordKind.clear, map: 2 }),
  { ...blankRecord, kind: RecordKind.sessionOpen, valueBytes: OPEN, valueEnd: OPEN.length },
  { ...blankRecord, kind: RecordKind.noop },
]

function recordsFrom(seq: number, inputs: typeof RECORDS): Uint8Array {
  const parts = inputs.map((input, i) => {
    const bytes = Buffer.alloc(recordBytes(input))
    writeRecord(bytes, 0, seq + i, input)
    return bytes
  })
  return Buffer.concat(parts)
}

const view = new RecordView()

/** Writes a record's fields anew, through the way of our own records. */
function rewrite(record: RecordView, w: ByteWriter): void {
  const { kind, cause, map, hash, keyStart, keyEnd, valueStart, valueEnd, expiresAt, bytes } = record
  const { session, call, ackUpTo, status, replyStart, replyEnd } = record
  const reply = { session, call, ackUpTo, status, replyBytes: bytes, replyStart, replyEnd }
  const envelope = record.hasEnvelope ? reply : undefined
  const spans = { keyBytes: bytes, keyStart, keyEnd, valueBytes: bytes, valueStart, valueEnd }
  const input = { kind, cause, map, hash, expiresAt, envelope, ...spans }
  const count = recordBytes(input)
  w.reserve(count)
  writeRecord(w.buffer, w.length, record.seq, input)
  w.length += count
}

const pool = new BlockPool({ maxBytes: 8 * 1024 * 1024 })
const store = new LogStore({ pool, history: new History({ maxBytes: 0 }), seed: 3 })
const replica = new Replica(0, { pool, history: new History({ maxBytes: 0 }) } as Context)
const spare = new ByteWriter(4096)

function sessionTable(): Uint8Array {
  const table = new SessionTable()
  const first = table.open(1, A)
  first.complete({ call: 5, seq: 40, status: 0, reply: Buffer.from('answer') }, 3)
  first.complete({ call: 6, seq: 41, status: 1, reply: new Uint8Array(0) }, 3)
  table.open(4, B)
  return bytesOf((w) => table.encode(w))
}

function epochTable(): Uint8Array {
  const table = new EpochTable()
  table.begin(2 ** 32 + 1, 1)
  table.begin(2 ** 32 + 4, 200)
  table.begin(2 ** 33, 2 ** 33)
  return bytesOf((w) => table.encode(w))
}

export const stateDecoders: readonly Decoder[] = [
  decoder({
    name: 'record',
    seeds: () => RECORDS.map((input) => recordsFrom(41, [input])),
    decode(bytes, start, end) {
      const next = readRecord(bytes, start, end, view)
      const { keyStart, keyEnd, valueStart, valueEnd, replyStart, replyEnd, hasEnvelope } = view
      const inside = start < keyStart && keyStart <= keyEnd && keyEnd === valueStart && valueStart <= valueEnd
      if (!inside || (hasEnvelope && (replyStart < valueEnd || replyEnd < replyStart || replyEnd > end)))
        throw new Broken('record: a part of it lies outside')
      if (next > end || next !== start + paddedAt(bytes, start))
        throw new Broken('record: its end lies outside')
      spare.clear()
      copyBare(view, spare)
      return view
    },
    encode: rewrite,
    reuses: true,
  }),
  decoder({
    name: 'log',
    seeds: () => [
      recordsFrom(1, RECORDS),
      recordsFrom(1, RECORDS.slice(0, 2)),
      recordsFrom(1, RECORDS.slice(3)),
    ],
    decode(bytes, start, end) {
      replica.reset()
      replica.store.appendBytes(bytes, start, end)
      try {
        replica.store.applyTo(replica.store.head, replica.applied)
      } catch (error) {
        throw new Broken(`log: taken, and refused when it was applied: ${error}`)
      }
      replica.store.audit()
      return replica.store
    },
    encode: (log, w) => void log.copyTail(1, Number.POSITIVE_INFINITY, w, log.head),
    reuses: true,
    ownBytes: 4 * 1024 * 1024,
  }),
  decoder({
    name: 'snapshot-records',
    seeds: () => [
      recordsFrom(7, [RECORDS[0]!]),
      recordsFrom(7, [RECORDS[0]!, inputOf({ key: 'b', value: 'x' })]),
    ],
    decode(bytes, start, end) {
      store.reset()
      store.install(bytes, start, end)
      store.startAt(100)
      store.audit()
      return store
    },
    ownBytes: 4 * 1024 * 1024,
  }),
  decoder({
    name: 'session-table',
    seeds: () => [sessionTable(), bytesOf((w) => new SessionTable().encode(w))],
    decode(bytes, start, end) {
      const table = new SessionTable()
      table.decode(new ByteReader(bytes, start, end))
      for (const { id, number } of table.sessions())
        if (table.find(id)?.number !== number) throw new Broken('session-table: two sessions share an id')
      return table
    },
    encode(table, w) {
      table.encode(w)
      const again = new SessionTable()
      again.decode(new ByteReader(w.buffer, w.start, w.length))
      if (again.bytes !== table.bytes) throw new Broken('session-table: counts bytes that it does not hold')
    },
  }),
  decoder({
    name: 'epoch-table',
    seeds: () => [epochTable(), bytesOf((w) => new EpochTable().encode(w))],
    decode(bytes, start, end) {
      const table = new EpochTable()
      table.decode(new ByteReader(bytes, start, end))
      return table
    },
    encode: (table, w) => table.encode(w),
    reuses: true,
  }),
]
