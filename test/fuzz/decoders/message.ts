/** The messages between client and member, one decoder each; what is done with them is in engine.ts and client.ts. */

import { ByteReader, type ByteWriter } from '../../../src/core/base/bytes.ts'
import { type Applied, GridError } from '../../../src/core/base/errors.ts'
import {
  CallView,
  FLAG_RETRY,
  Operation,
  ReplyView,
  readAnnouncement,
  readError,
  readEvent,
  readEventsHeader,
  readMapOpened,
  readOpenMap,
  readProgress,
  readView,
  readWatch,
  type WatchEvent,
  writeAnnouncement,
  writeCallHeader,
  writeError,
  writeEventsHeader,
  writeMapOpened,
  writeOpenMap,
  writeProgress,
  writeReplyHeader,
  writeView,
  writeWatch,
} from '../../../src/core/wire/message.ts'
import { Broken, type Decoder, decoder } from '../decoder.ts'
import { A, B, bytesOf, C, keyBytes, payloadOf, valueBytes } from './seed.ts'

/** Removes the header of the message that `write` appends, for payloads are what is decoded. */
function payload(w: ByteWriter, write: (w: ByteWriter) => void): void {
  const at = w.length
  write(w)
  w.buffer.copyWithin(at, at + 4, w.length)
  w.length -= 4
}

const call = new CallView()
const reply = new ReplyView()

function callSeed(operation: Operation, key: unknown, argument: Uint8Array): Uint8Array {
  return bytesOf((w) => {
    const bytes = keyBytes(key)
    writeCallHeader(w, 3, 77, 70, 2 ** 32 + 5, operation, FLAG_RETRY, 1, bytes.length)
    w.bytes(bytes)
    w.bytes(argument)
  })
}

const ERRORS: readonly [GridError['code'], Applied][] = [
  ['TIMEOUT', 'unknown'],
  ['BAD_FILTER', 'no'],
  ['INTERNAL', 'yes'],
]

const VIEW = {
  version: 912,
  boot: C,
  clusterId: A,
  members: [
    { id: A, address: '10.0.0.1:7400', name: 'm-1' },
    { id: B, address: '10.0.0.2:7400', name: 'm-2' },
  ],
  epochs: [2 ** 32 + 1, 2 ** 32 + 9, 5, 0],
  owners: [0, 1, -1, 1],
  backups: [[1], [], [0, 1], [0]],
}

const WATCH = {
  watch: 9,
  partition: 2,
  epoch: 2 ** 32 + 5,
  map: 1,
  initial: true,
  resume: undefined,
  heldKnown: false,
  keysOnly: false,
  credit: 512,
  where: valueBytes({ temp: { $gt: 5 } }),
  held: [],
}

const EVENTS: readonly WatchEvent[] = [
  { kind: 1, cause: 0, seq: 40, key: keyBytes('k'), value: valueBytes({ a: 1 }) },
  { kind: 3, cause: 2, seq: 41, key: keyBytes(['t', 1]), value: new Uint8Array(0) },
  { kind: 7, cause: 0, seq: 42, key: new Uint8Array(0), value: new Uint8Array(0) },
]

function writeEvents(w: ByteWriter, events: readonly WatchEvent[]): void {
  writeEventsHeader(w, 9, 2, 1, 42, events.length)
  for (const { kind, cause, seq, key, value } of events) {
    w.u8(kind)
    w.u8(cause)
    w.u48(seq)
    w.u16(key.length)
    w.bytes(key)
    w.u32(value.length)
    w.bytes(value)
  }
}

export const messageDecoders: readonly Decoder[] = [
  decoder({
    name: 'call',
    seeds: () => [
      callSeed(Operation.get, 'key', new Uint8Array(0)),
      callSeed(Operation.put, ['tenant', 7], Buffer.concat([Buffer.alloc(6), valueBytes({ a: 1 })])),
      callSeed(Operation.query, '', valueBytes({ where: { a: 1 } })),
    ],
    decode: (bytes, start, end) => call.read(new ByteReader(bytes, start, end)),
    encode(view, w) {
      const { partition, call, ackUpTo, epoch, operation, flags, map, keyStart, keyEnd } = view
      const size = keyEnd - keyStart
      writeCallHeader(w, partition, call, ackUpTo, epoch, operation as Operation, flags, map, size)
      w.bytes(view.bytes, keyStart, keyEnd)
      w.bytes(view.bytes, view.argumentStart, view.argumentEnd)
    },
    reuses: true,
  }),
  decoder({
    name: 'reply',
    seeds: () => [
      bytesOf((w) => {
        writeReplyHeader(w, 3, 77, 0, 1, 2 ** 32 + 5, 9000)
        w.bytes(valueBytes({ a: 1 }))
      }),
    ],
    decode: (bytes, start, end) => reply.read(new ByteReader(bytes, start, end)),
    encode({ partition, call, status, era, epoch, seq, bytes, payloadStart, payloadEnd }, w) {
      writeReplyHeader(w, partition, call, status, era, epoch, seq)
      w.bytes(bytes, payloadStart, payloadEnd)
    },
    reuses: true,
  }),
  decoder({
    name: 'error',
    seeds: () =>
      ERRORS.map(([code, applied]) => bytesOf((w) => writeError(w, new GridError(code, 'why', { applied })))),
    decode: (bytes, start, end) => readError(new ByteReader(bytes, start, end)),
    encode: (error, w) => writeError(w, error),
    reuses: true, // Errors are compared by what they were made with, which is what is written.
  }),
  decoder({
    name: 'open-map',
    seeds: () => [
      payloadOf((w) => writeOpenMap(w, { request: 7, name: 'orders', config: new Uint8Array(0) })),
      payloadOf((w) => writeOpenMap(w, { request: 8, name: 'a.b:c-d', config: valueBytes({ ttlMs: 500 }) })),
    ],
    decode: (bytes, start, end) => readOpenMap(new ByteReader(bytes, start, end)),
    encode: (message, w) => payload(w, () => writeOpenMap(w, message)),
  }),
  decoder({
    name: 'map-opened',
    seeds: () => [
      payloadOf((w) => writeMapOpened(w, 7, 3)),
      payloadOf((w) => writeMapOpened(w, 8, new GridError('MAP_CONFLICT', 'another ttlMs'))),
    ],
    decode: (bytes, start, end) => readMapOpened(new ByteReader(bytes, start, end)),
    encode: ({ request, outcome }, w) => payload(w, () => writeMapOpened(w, request, outcome)),
    reuses: true,
  }),
  decoder({
    name: 'watch',
    seeds: () => [
      payloadOf((w) => writeWatch(w, WATCH)),
      payloadOf((w) =>
        writeWatch(w, { ...WATCH, resume: { era: 1, seq: 500 }, heldKnown: true, held: [1, 2, 3] }),
      ),
      payloadOf((w) => writeWatch(w, { ...WATCH, keysOnly: true, initial: false, where: new Uint8Array(0) })),
    ],
    decode: (bytes, start, end) => readWatch(new ByteReader(bytes, start, end)),
    encode: (message, w) => payload(w, () => writeWatch(w, message)),
  }),
  decoder({
    name: 'events',
    seeds: () => [bytesOf((w) => writeEvents(w, EVENTS)), bytesOf((w) => writeEvents(w, []))],
    decode(bytes, start, end) {
      const r = new ByteReader(bytes, start, end)
      const header = readEventsHeader(r)
      const events: WatchEvent[] = []
      for (let left = header.count; left > 0; left--) events.push(readEvent(r))
      if (events.some(({ kind }) => kind < 1 || kind > 7))
        throw new Broken('events: a kind that there is not')
      return { header, events }
    },
    encode({ events }, w) {
      writeEvents(w, events)
    },
    reuses: true, // The header is not written as it was.
  }),
  decoder({
    name: 'progress',
    seeds: () => [
      payloadOf((w) => writeProgress(w, { request: 7, told: [] })),
      payloadOf((w) =>
        writeProgress(w, {
          request: 2 ** 32 - 1,
          told: [
            { watch: 9, partition: 2 },
            { watch: 10, partition: 65_535 },
          ],
        }),
      ),
    ],
    decode: (bytes, start, end) => readProgress(new ByteReader(bytes, start, end)),
    encode: (message, w) => payload(w, () => writeProgress(w, message)),
  }),
  decoder({
    name: 'view',
    seeds: () => [
      payloadOf((w) => writeView(w, VIEW)),
      payloadOf((w) =>
        writeView(w, { ...VIEW, boot: '', members: [], owners: [-1, -1, -1, -1], backups: [[], [], [], []] }),
      ),
    ],
    decode(bytes, start, end) {
      const view = readView(new ByteReader(bytes, start, end))
      if (view.owners.some((owner) => owner >= view.members.length))
        throw new Broken('view: an owner who is nobody')
      return view
    },
    encode: (view, w) => payload(w, () => writeView(w, view)),
  }),
  decoder({
    name: 'announcement',
    seeds: () => [
      bytesOf((w) => writeAnnouncement(w, { kind: 2, id: '', address: '', info: new Uint8Array(0) })),
      bytesOf((w) => writeAnnouncement(w, { kind: 3, id: A, address: '', info: Buffer.from('secret') })),
      bytesOf((w) =>
        writeAnnouncement(w, { kind: 1, id: B, address: '10.0.0.1:7400', info: valueBytes({ a: 1 }) }),
      ),
    ],
    decode: (bytes, start, end) => readAnnouncement(new ByteReader(bytes, start, end)),
    encode: (message, w) => writeAnnouncement(w, message),
  }),
]
