/** Whole frames into a running client, as a member gone wrong may send them: calls under way, watches, and a view. */

import { Bulk } from '../../../src/client/bulk.ts'
import { readAll } from '../../../src/client/bulk-read.ts'
import { MapGate } from '../../../src/client/map-catalog.ts'
import { Near } from '../../../src/client/near-caches.ts'
import { toCount, toEntry, toNothing, toValue, toYes, writeNothing } from '../../../src/client/operation.ts'
import { Peer } from '../../../src/client/peer.ts'
import type { Decoder as ResultDecoder } from '../../../src/client/pending-call.ts'
import { Router } from '../../../src/client/router.ts'
import { watchMap } from '../../../src/client/watch.ts'
import { ByteWriter, putU24 } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import {
  beginMessage,
  type ClientView,
  endMessage,
  MessageType,
  Operation,
  ReplyStatus,
  writeError,
  writeEventsHeader,
  writeId,
  writeMapOpened,
  writeProgress,
  writeReplyHeader,
  writeView,
  writeWatchEnd,
} from '../../../src/core/wire/message.ts'
import type { Link } from '../../../src/transport/transport.ts'
import { type Decoder, decoder } from '../decoder.ts'
import { A, B, bytesOf, C, keyBytes, VALUES, valueBytes } from './seed.ts'

const PARTITIONS = 3
/** Calls under way on each partition, as many as there are inputs that may answer them. */
const CALLS = 24

const VIEW: ClientView = {
  version: 5,
  boot: C,
  clusterId: C,
  members: [
    { id: A, address: '10.0.0.1:7400', name: 'm-1' },
    { id: B, address: '10.0.0.2:7400', name: 'm-2' },
  ],
  epochs: Array.from({ length: PARTITIONS }, () => 2 ** 32 + 1),
  owners: [0, 0, 1],
  backups: [[1], [], [0]],
}

const RESULTS: readonly [Operation, ResultDecoder][] = [
  [Operation.get, toValue],
  [Operation.getEntry, toEntry],
  [Operation.has, toYes],
  [Operation.size, toCount],
  [Operation.put, toNothing],
]

function linkTo(id: string): Link {
  return {
    peer: { role: 'member', cluster: 'green', id },
    remote: '10.0.0.9:7400',
    out: new ByteWriter(4096),
    queuedBytes: 0,
    closed: false,
    postpone() {},
    wake() {},
    close() {},
  }
}

interface World {
  readonly router: Router
  readonly peer: Peer
  readonly link: Link
}

function startWorld(): World {
  let nowMs = 1000
  const unreachable = new GridError('UNREACHABLE', 'nobody is there')
  const router = new Router(
    {
      hello: { role: 'client', cluster: 'green', id: C },
      transport: { listen: () => Promise.reject(unreachable), connect: () => Promise.reject(unreachable) },
      seeds: [],
      announcements: undefined,
      nowMs: () => ++nowMs,
      wallMs: () => 1_750_000_000_000 + nowMs,
      limits: defaultLimits,
      timeoutMs: 60_000,
    },
    { onView() {}, onConnection() {} },
  )
  const link = linkTo(A)
  const peer = new Peer(A, '10.0.0.1:7400', 'm-1', 1 << 20)
  peer.opened(link, nowMs)
  router.roster.peers.set(A, peer)
  const view = bytesOf((w) => writeView(w, VIEW))
  router.onFrame(peer, link, Buffer.from(view), 0, view.length)
  const gate = new MapGate('orders', new Uint8Array(0))
  gate.id = 1
  for (let i = 0; i < PARTITIONS * CALLS; i++) {
    const [operation, decode] = RESULTS[i % RESULTS.length]!
    const call = router.calls.callPartition(
      gate,
      operation,
      i % PARTITIONS,
      writeNothing,
      0,
      0,
      decode,
      undefined,
    )
    call.catch(() => {})
  }
  const keys = Array.from({ length: 24 }, (_, i) => `key ${i}`)
  readAll(new Bulk(() => false), router.calls, gate, keys, undefined).catch(() => {})
  watchMap(router, gate, {})
  watchMap(router, gate, { where: { temp: { $gt: 5 } }, initial: false } as never)
  const clocks = { nowMs: () => nowMs, wallMs: () => nowMs }
  const near = new Near(router, gate, { maxEntries: 100, maxBytes: 10_000, maxStaleMs: 1000 }, clocks)
  near.get('key 0', undefined).catch(() => {})
  return { router, peer, link }
}

function message(type: MessageType, write: (w: ByteWriter) => void): Uint8Array {
  return bytesOf((w) => {
    const mark = beginMessage(w, type)
    write(w)
    endMessage(w, mark)
  })
}

function replySeeds(): Uint8Array[] {
  const seeds: Uint8Array[] = []
  const error = new GridError('OVERLOADED', 'later')
  for (let i = 0; i < PARTITIONS * CALLS; i++) {
    const value = valueBytes(VALUES[i % VALUES.length])
    const status = i % 9 === 8 ? ReplyStatus.error : i % 11 === 10 ? ReplyStatus.moved : ReplyStatus.ok
    seeds.push(
      message(MessageType.reply, (w) => {
        writeReplyHeader(w, i % PARTITIONS, 1 + Math.floor(i / PARTITIONS), status, 0, 2 ** 32 + 1, 50 + i)
        if (status === ReplyStatus.error) writeError(w, error)
        else if (status === ReplyStatus.moved) writeId(w, B)
        else if (i % 5 === 1) w.bytes(Buffer.concat([Buffer.alloc(12, 2), value]))
        else if (i % 5 === 2) w.u8(1)
        else if (i % 5 === 3) w.u48(7)
        else if (i % 5 === 0) w.bytes(value)
      }),
    )
  }
  // The answers to the one read of many keys: two of them, and the client asks for the rest.
  for (let partition = 0; partition < PARTITIONS; partition++)
    seeds.push(
      message(MessageType.reply, (w) => {
        writeReplyHeader(w, partition, CALLS + 1, ReplyStatus.ok, 0, 2 ** 32 + 1, 200)
        w.u32(2)
        w.block(valueBytes(VALUES[partition]))
        w.u32(0)
      }),
    )
  return seeds
}

function eventSeed(watch: number, kinds: readonly number[]): Uint8Array {
  return message(MessageType.events, (w) => {
    writeEventsHeader(w, watch, 0, 0, kinds.includes(1) ? 0 : 90, kinds.length)
    for (const [i, kind] of kinds.entries()) {
      const key = kind < 5 ? keyBytes(`key ${i}`) : Buffer.alloc(0)
      const value = kind < 3 ? valueBytes(VALUES[35 + i]) : Buffer.alloc(0)
      w.u8(kind)
      w.u8(0)
      w.u48(80 + i)
      w.u16(key.length)
      w.bytes(key)
      w.u32(value.length)
      w.bytes(value)
    }
  })
}

function otherSeeds(): Uint8Array[] {
  const moved = { ...VIEW, version: 9, epochs: VIEW.epochs.map((epoch) => epoch + 1), owners: [1, -1, 0] }
  return [
    eventSeed(1, [1, 1, 7]),
    eventSeed(1, [2, 3, 5, 2]),
    eventSeed(2, [2, 4, 6]),
    eventSeed(2, []),
    eventSeed(3, [7]),
    eventSeed(3, [2, 3, 5, 6]),
    bytesOf((w) => writeProgress(w, { request: 1, told: [{ watch: 3, partition: 0 }] })),
    bytesOf((w) => writeWatchEnd(w, 1, 1, new GridError('NOT_OWNER', 'moved'))),
    bytesOf((w) => writeMapOpened(w, 1, 1)),
    bytesOf((w) => writeMapOpened(w, 2, new GridError('MAP_CONFLICT', 'another ttlMs'))),
    bytesOf((w) => writeView(w, VIEW)),
    bytesOf((w) => writeView(w, moved)),
    bytesOf((w) =>
      writeView(w, {
        ...VIEW,
        version: 2,
        boot: B,
        members: VIEW.members.slice(0, 1),
        owners: [0, 0, -1],
        backups: [[], [], [0]],
      }),
    ),
  ]
}

let world: World | undefined

export const routerDecoders: readonly Decoder[] = [
  decoder({
    name: 'member-frame',
    // A member of another cluster, or one that sends what a client does not take, is cut off with these.
    codes: ['MALFORMED', 'FORBIDDEN', 'WRONG_CLUSTER'],
    seeds: () => [...replySeeds(), ...otherSeeds(), ...otherSeeds()],
    repair(bytes, start, end) {
      if (end - start >= 4) putU24(bytes, start + 1, end - start - 4)
    },
    reset() {
      void world?.router.close()
      world = startWorld()
    },
    close: () => void world?.router.close(),
    decode(bytes, start, end) {
      const { router, peer, link } = world!
      link.out.clear()
      router.onFrame(peer, link, bytes, start, end)
      return undefined
    },
    ownBytes: 16 * 1024 * 1024,
  }),
]
