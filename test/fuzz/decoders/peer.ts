/** The messages between members. */

import { ByteReader, type ByteWriter } from '../../../src/core/base/bytes.ts'
import { packConfigs, unpackConfigs } from '../../../src/core/membership/pack.ts'
import { MessageType } from '../../../src/core/wire/message.ts'
import {
  Answer,
  ChunkKind,
  Replicate,
  readBeacon,
  readSnapshotBegin,
  readSnapshotChunk,
  writeAnswer,
  writeBeacon,
  writeReplicateHeader,
  writeSnapshotBegin,
  writeSnapshotChunkHeader,
} from '../../../src/core/wire/peer-message.ts'
import { configOf } from '../../core/partition/support.ts'
import { type Decoder, decoder } from '../decoder.ts'
import { A, B, bytesOf, C, payloadOf } from './seed.ts'

const CLOCKS = { sentMono: 12.5, sentWall: 1.7e12, backupMono: Number.NEGATIVE_INFINITY, backupWall: 1.6e12 }
const REF = { partition: 3, epoch: 2 ** 32 + 5, tag: 0xdeadbeef }
const replicate = new Replicate()
const answer = new Answer()

function dropHeader(w: ByteWriter, write: () => void): void {
  const at = w.length
  write()
  w.buffer.copyWithin(at, at + 4, w.length)
  w.length -= 4
}

export const peerDecoders: readonly Decoder[] = [
  decoder({
    name: 'replicate',
    seeds: () => [
      bytesOf((w) => writeReplicateHeader(w, REF, 0xabcdef, 40, 2 ** 32 + 5, 2 ** 32 + 5, 39)),
      bytesOf((w) => {
        writeReplicateHeader(w, REF, 0xabcdef, 40, 2 ** 32 + 5, 2 ** 32 + 5, 39)
        w.bytes(Buffer.alloc(48, 3))
      }),
    ],
    decode: (bytes, start, end) => replicate.read(new ByteReader(bytes, start, end)),
    encode(m, w) {
      writeReplicateHeader(w, m, m.session, m.prevSeq, m.prevEpoch, m.recordsEpoch, m.commit)
      w.bytes(m.bytes, m.recordsStart, m.recordsEnd)
    },
    reuses: true,
  }),
  decoder({
    name: 'answer',
    seeds: () => [payloadOf((w) => writeAnswer(w, MessageType.ack, REF, 0xabcdef, 41))],
    decode: (bytes, start, end) => answer.read(new ByteReader(bytes, start, end)),
    encode: (m, w) => dropHeader(w, () => writeAnswer(w, MessageType.ack, m, m.session, m.seq)),
    reuses: true,
  }),
  decoder({
    name: 'beacon',
    seeds: () => [
      payloadOf((w) => writeBeacon(w, MessageType.beacon, { ...CLOCKS, entries: [] })),
      payloadOf((w) => {
        const entries = [1, 2, 3].map((partition) => {
          return { ...REF, partition, commit: 40 + partition, vouched: partition === 2 }
        })
        writeBeacon(w, MessageType.beacon, { ...CLOCKS, entries })
      }),
    ],
    decode: (bytes, start, end) => readBeacon(new ByteReader(bytes, start, end)),
    encode: (beacon, w) => dropHeader(w, () => writeBeacon(w, MessageType.beacon, beacon)),
  }),
  decoder({
    name: 'snapshot-begin',
    seeds: () => [payloadOf((w) => writeSnapshotBegin(w, REF, 0xabcdef, 900))],
    decode: (bytes, start, end) => readSnapshotBegin(new ByteReader(bytes, start, end)),
    encode: (m, w) => dropHeader(w, () => writeSnapshotBegin(w, m, m.session, m.base)),
  }),
  decoder({
    name: 'snapshot-chunk',
    seeds: () => [
      bytesOf((w) => writeSnapshotChunkHeader(w, REF, 0xabcdef, 1, ChunkKind.state)),
      bytesOf((w) => {
        writeSnapshotChunkHeader(w, REF, 0xabcdef, 2, ChunkKind.last)
        w.bytes(Buffer.alloc(40, 5))
      }),
    ],
    decode: (bytes, start, end) => readSnapshotChunk(new ByteReader(bytes, start, end)),
    encode(m, w) {
      writeSnapshotChunkHeader(w, m, m.session, m.index, m.kind)
      w.bytes(m.bytes, m.start, m.end)
    },
    reuses: true,
  }),
  decoder({
    name: 'config',
    seeds: () => [
      packConfigs([configOf({ owner: A, inSync: [A, B, C], by: B })]),
      packConfigs([
        configOf({ owner: B, inSync: [A, B], n: 7, by: C, ownership: A }),
        configOf({ owner: C }),
      ]),
      packConfigs([configOf({ reason: 'x'.repeat(40_000) })]),
      packConfigs([]),
    ],
    decode: (bytes, start, end) => unpackConfigs(bytes.subarray(start, end)),
    encode: (configs, w) => w.bytes(packConfigs(configs)),
    ownBytes: 512 * 1024,
  }),
]
