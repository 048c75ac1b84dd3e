/**
 * Whole frames into a running member, as any client may send them: a cluster of one, with a map, entries, a processor
 * and watches. What it answers does not matter here; that it goes on, does.
 */

import { ByteWriter, getU24, putU16, putU24 } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { randomId, seededRandom } from '../../../src/core/base/random.ts'
import { Engine } from '../../../src/core/engine/engine.ts'
import type { Effects, Settings } from '../../../src/core/engine/settings.ts'
import { hashBytes, partitionOf } from '../../../src/core/ring/hash.ts'
import {
  beginMessage,
  endMessage,
  MessageType,
  Operation,
  ReplyStatus,
  writeCallHeader,
  writeCredit,
  writeOpenMap,
  writeProgressRequest,
  writeUnwatch,
  writeWatch,
} from '../../../src/core/wire/message.ts'
import type { EntryView } from '../../../src/core/wire/processor.ts'
import { member } from '../../core/membership/fixture.ts'
import { type Decoder, decoder, REFUSED } from '../decoder.ts'
import { FILTERS, QUERIES, UPDATES } from './document.ts'
import { bytesOf, C, KEYS, keyBytes, VALUES, valueBytes } from './seed.ts'

const PARTITIONS = 4
const KEYED_MAX = Operation.invoke
const HEADER = 4
/** Of a call: type and size, partition, …, operation, flags, map, length of the key. */
const [OPERATION_AT, KEY_LENGTH_AT, KEY_AT] = [20, 24, 26]

/** What a processor may do with its argument, which a client chooses. */
const processor = (entry: EntryView, argument: unknown): unknown => {
  if (argument === null) entry.remove()
  else entry.set(argument)
  return entry.value
}

interface World {
  readonly engine: Engine
  readonly client: {
    readonly peer: { id: string }
    readonly out: ByteWriter
    queuedBytes: number
    closed: boolean
    wake(): void
  }
  now: { monoMs: number; wallMs: number }
}

function startWorld(): World {
  const random = seededRandom(7)
  const appended: Uint8Array[] = []
  const effects: Effects = {
    append: (bytes) => void appended.push(Uint8Array.from(bytes)),
    checkpoint() {},
    announce() {},
    verify() {},
    dial() {},
    hangUp() {},
    background() {},
    ended() {},
    note() {},
  }
  const settings: Settings = {
    self: member(1),
    partitionCount: PARTITIONS,
    backups: 0,
    minInSync: 1,
    expectMembers: 1,
    foundAfterMs: 0,
    timing: { beaconMs: 250, suspectMs: 1000, leaseMs: 2000, graceMs: 3000, sessionIdleMs: 600_000 },
    rebalanceDelayMs: 1000,
    silentRemoveMs: 15_000,
    rollCallMs: 10_000,
    rollCallMinMs: 1000,
    transfersMax: 2,
    memoryBytesMax: 32 * 1024 * 1024,
    historyBytes: 1024 * 1024,
    limits: defaultLimits,
    processors: new Map([['set', processor]]),
    random,
    newId: () => randomId(random),
    hashSecret: (secret) => secret,
  }
  const engine = new Engine(settings, effects)
  const client = { peer: { id: C }, out: new ByteWriter(64 * 1024), queuedBytes: 0, closed: false, wake() {} }
  const world: World = { engine, client, now: { monoMs: 1000, wallMs: 1_750_000_000_000 } }
  engine.controlOpen('evidence', undefined)
  let seq = 0
  const read = (): void => {
    const entries = appended.splice(0).map((bytes) => ({ seq: ++seq, bytes }))
    engine.controlEntries(entries, true, world.now)
    world.now = { monoMs: world.now.monoMs + 1000, wallMs: world.now.wallMs + 1000 }
    engine.tick(world.now)
  }
  for (let i = 0; i < 4; i++) read()
  engine.clientUp(client)
  give(
    world,
    bytesOf((w) => writeOpenMap(w, { request: 1, name: 'orders', config: new Uint8Array(0) })),
  )
  for (let i = 0; i < 3; i++) read()
  for (const seed of callSeeds().slice(0, 3 * KEYS.length)) give(world, seed)
  client.out.clear()
  if (engine.view.maps.length !== 1 || engine.partitions.some(({ owner }) => owner === undefined))
    throw new Error('the cluster of one has not been founded')
  return world
}

function give(world: World, frame: Uint8Array): void {
  const bytes = Buffer.from(frame)
  world.engine.clientFrame(world.client, bytes, 0, bytes.length, world.now)
}

let lastCall = 0

function callOf(operation: Operation, partition: number, key: Uint8Array, argument: Uint8Array): Uint8Array {
  return bytesOf((w) => {
    const mark = beginMessage(w, MessageType.call)
    writeCallHeader(w, partition, ++lastCall, 0, 0, operation, 0, 1, key.length)
    w.bytes(key)
    w.bytes(argument)
    endMessage(w, mark)
  })
}

function keyed(operation: Operation, key: unknown, argument: Uint8Array): Uint8Array {
  const bytes = keyBytes(key)
  return callOf(operation, partitionOf(hashBytes(bytes, 0, bytes.length), PARTITIONS), bytes, argument)
}

const NOTHING = new Uint8Array(0)
const zeros = (count: number): Buffer => Buffer.alloc(count)

/** The keys of the partition, as `getAll` names them. */
function keysIn(partition: number): Uint8Array {
  return bytesOf((w) => {
    for (const key of KEYS.map(keyBytes)) {
      if (partitionOf(hashBytes(key, 0, key.length), PARTITIONS) !== partition) continue
      w.u16(key.length)
      w.bytes(key)
    }
  })
}

function callSeeds(): Uint8Array[] {
  const value = (i: number): Uint8Array => valueBytes(VALUES[(7 * i) % VALUES.length])
  const filter = (i: number): Uint8Array =>
    bytesOf((w) => (i % 3 === 0 ? w.u32(0) : w.block(valueBytes(FILTERS[i % FILTERS.length]))))
  return [
    ...KEYS.map((key, i) => keyed(Operation.put, key, Buffer.concat([zeros(6), value(i)]))),
    ...KEYS.map((key, i) => keyed(Operation.update, key, valueBytes(UPDATES[i % UPDATES.length]))),
    ...KEYS.map((key, i) => {
      const argument = bytesOf((w) => {
        w.text('set')
        w.bytes(filter(i))
        w.bytes(value(i))
      })
      return keyed(Operation.invoke, key, argument)
    }),
    ...KEYS.slice(0, 8).flatMap((key, i) => [
      keyed(Operation.get, key, NOTHING),
      keyed(Operation.getEntry, key, NOTHING),
      keyed(Operation.has, key, NOTHING),
      keyed(Operation.putIfAbsent, key, Buffer.concat([zeros(6), value(i)])),
      keyed(Operation.replace, key, Buffer.concat([zeros(15), value(i)])),
      keyed(Operation.remove, key, zeros(9)),
    ]),
    ...[0, 1, 2, 3].flatMap((partition) => [
      callOf(Operation.size, partition, NOTHING, NOTHING),
      callOf(
        Operation.page,
        partition,
        NOTHING,
        Buffer.concat([Buffer.of(1), zeros(4), Buffer.of(9, 0), filter(partition)]),
      ),
    ]),
    ...[0, 1, 2].map((partition) => callOf(Operation.getAll, partition, NOTHING, keysIn(partition))),
    ...QUERIES.map((query, i) => callOf(Operation.query, i % PARTITIONS, NOTHING, valueBytes(query))),
    callOf(Operation.clear, 0, NOTHING, NOTHING),
  ]
}

function otherSeeds(): Uint8Array[] {
  const watch = {
    watch: 5,
    partition: 1,
    epoch: 0,
    map: 1,
    initial: true,
    heldKnown: false,
    keysOnly: false,
    credit: 8,
    held: [],
  }
  const where = valueBytes({ temp: { $gt: 5 } })
  return [
    bytesOf((w) => writeOpenMap(w, { request: 2, name: 'sites', config: valueBytes({ ttlMs: 500 }) })),
    bytesOf((w) => writeWatch(w, { ...watch, resume: undefined, where: NOTHING })),
    bytesOf((w) => writeWatch(w, { ...watch, watch: 6, resume: { era: 0, seq: 2 }, where, held: [1, 2] })),
    bytesOf((w) => writeWatch(w, { ...watch, watch: 7, resume: undefined, where: NOTHING, keysOnly: true })),
    bytesOf((w) => writeProgressRequest(w, 9)),
    bytesOf((w) => writeCredit(w, 5, 1, 100)),
    bytesOf((w) => writeUnwatch(w, 5, 1)),
    bytesOf((w) => endMessage(w, beginMessage(w, MessageType.viewRequest))),
  ]
}

/** Where the value in a call's argument begins, or -1. */
function argumentAt(seed: Uint8Array): number {
  if (seed[0] !== MessageType.call) return -1
  const at = KEY_AT + seed[KEY_LENGTH_AT]! + 256 * seed[KEY_LENGTH_AT + 1]!
  const operation = seed[OPERATION_AT]!
  if (operation === Operation.put || operation === Operation.putIfAbsent) return at + 6
  if (operation === Operation.replace) return at + 15
  return operation === Operation.update || operation === Operation.query ? at : -1
}

/** The size of the message, and the partition of the key. */
function repair(bytes: Buffer, start: number, end: number): void {
  if (end - start < HEADER) return
  putU24(bytes, start + 1, end - start - HEADER)
  if (bytes[start] !== MessageType.call || end - start < KEY_AT || bytes[start + OPERATION_AT]! > KEYED_MAX)
    return
  const key = start + KEY_AT
  const keyEnd = key + bytes.readUInt16LE(start + KEY_LENGTH_AT)
  if (keyEnd <= end) putU16(bytes, start + HEADER, partitionOf(hashBytes(bytes, key, keyEnd), PARTITIONS))
}

/** Whether the member has answered anything but yes. */
function isRefusal({ buffer, start, length }: ByteWriter): boolean {
  for (let at = start; at < length; at += HEADER + getU24(buffer, at + 1)) {
    const type = buffer[at]!
    if (type === MessageType.reply && buffer[at + HEADER + 6] !== ReplyStatus.ok) return true
    if (type === MessageType.watchEnd) return true
    if (type === MessageType.mapOpened && buffer[at + HEADER + 4] !== 1) return true
  }
  return false
}

let world: World | undefined

export const engineDecoders: readonly Decoder[] = [
  decoder({
    name: 'client-frame',
    codes: ['MALFORMED', 'FORBIDDEN'],
    seeds: () => [...callSeeds(), ...otherSeeds()],
    valueAt: argumentAt,
    repair,
    reset() {
      lastCall = 0
      world?.engine.close()
      world = startWorld()
    },
    decode(bytes, start, end) {
      const { engine, client, now } = world!
      world!.now = { monoMs: now.monoMs + 1, wallMs: now.wallMs + 1 }
      client.out.clear()
      engine.clientFrame(client, bytes, start, end, world!.now)
      // Queries and watches, as the member does them between frames.
      for (let slices = 0; slices < 16 && engine.work(world!.now); slices++);
      if (isRefusal(client.out)) throw REFUSED
      return undefined
    },
    ownBytes: 16 * 1024 * 1024,
    weight: 2,
  }),
]
