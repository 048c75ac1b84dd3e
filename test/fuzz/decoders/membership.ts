/** The configuration log: messages and their items, tables, the view as a checkpoint, and what members announce. */

import { ByteReader } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import {
  memberAnnouncement,
  readMemberAnnouncement,
  whoIsThere,
} from '../../../src/core/engine/announcement.ts'
import { decodeView, encodeView } from '../../../src/core/membership/checkpoint.ts'
import { fieldsOf, readMapConfig, readMember, writeMapConfig } from '../../../src/core/membership/field.ts'
import { genesis } from '../../../src/core/membership/genesis.ts'
import {
  decodeMessage,
  encodeMessage,
  type Item,
  type LogMessage,
} from '../../../src/core/membership/item.ts'
import { lossOf } from '../../../src/core/membership/loss.ts'
import { packTable, unpackTable } from '../../../src/core/membership/pack.ts'
import { targetOf, wishes } from '../../../src/core/membership/placement.ts'
import { rosterDigest } from '../../../src/core/membership/roster.ts'
import { emptyView, fold, foldEntries, type View } from '../../../src/core/membership/view.ts'
import { readAnnouncement, writeAnnouncement } from '../../../src/core/wire/message.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { decodeValue } from '../../../src/core/wire/value-decode.ts'
import { BOOT, CLUSTER, founded, hex, member, message, successor } from '../../core/membership/fixture.ts'
import { type Decoder, decoder, REFUSED } from '../decoder.ts'
import { A, B, C, valueBytes } from './seed.ts'

const hashSecret = (secret: string): string => `hash of ${secret}`

/** A cluster in the middle of its life: maps, a silent member, a dead one, a target. */
function livingView(): View {
  const view = founded(4, 8, 2)
  const roster = rosterDigest(view)
  const items: Item[] = [
    { kind: 'map', name: 'orders', config: { ttlMs: 5000 } },
    { kind: 'map', name: 'sites', config: { eviction: { policy: 'lru', maxEntries: 10 } } },
    { kind: 'target', roster, table: view.configs.map(({ inSync }) => inSync) },
    { kind: 'config', next: successor(view.configs[0]!, hex(0x2000)) },
    { kind: 'remove', member: hex(4), proof: 'silent' },
  ]
  return fold(view, message(items), view.version + 1, hashSecret)
}

const VIEW = livingView()
const CURRENT = VIEW.configs[0]!

const ITEMS: readonly Item[] = [
  { kind: 'config', next: successor(CURRENT, hex(0x3000)) },
  { kind: 'config', next: successor(CURRENT, hex(0x3001), { inSync: [CURRENT.owner], reason: 'shrink' }) },
  { kind: 'lost', next: successor(CURRENT, hex(0x3002), { era: 1, reason: 'lost' }), forced: true },
  { kind: 'heal', state: { ...CURRENT, epoch: CURRENT.epoch + 5, id: hex(0x3003) }, onto: CURRENT.id },
  { kind: 'member', info: member(9, { state: 'joining' }) },
  { kind: 'member', info: member(2, { state: 'leaving' }) },
  { kind: 'remove', member: hex(1), proof: 'left' },
  { kind: 'remove', member: hex(2), proof: 'certificate', secret: 'secret-2' },
  { kind: 'remove', member: hex(4), proof: 'successor' },
  { kind: 'remove', member: hex(3), proof: 'silent' },
  { kind: 'map', name: 'third', config: { maxIdleMs: 10 }, id: 3 },
  { kind: 'map', name: 'orders', config: {}, id: 1, healed: true },
  { kind: 'target', roster: rosterDigest(VIEW), table: VIEW.configs.map(({ inSync }) => inSync) },
  { kind: 'boot', id: hex(0xb1), prev: BOOT, evidence: 'seen' },
  { kind: 'report', boot: BOOT },
  { kind: 'thaw', boot: BOOT },
]

function foundingMessage(): LogMessage {
  let last = 0x9000
  const members = [1, 2, 3].map((n) => member(n))
  const settings = { clusterId: CLUSTER, partitionCount: 8, backups: 1, minInSync: 1, evidence: 'e' }
  return genesis({ ...settings, members, by: hex(1), newId: () => hex(last++) })
}

const messageSeeds = (): Uint8Array[] => [
  ...ITEMS.map((item) => encodeMessage(message([item]))),
  encodeMessage(message(ITEMS.slice(0, 8))),
  encodeMessage(foundingMessage()),
]

function readMessage(bytes: Buffer, start: number, end: number): LogMessage {
  const decoded = decodeMessage(bytes.subarray(start, end))
  if (decoded === undefined) throw REFUSED
  // What could not be read is never sent.
  return { ...decoded, items: decoded.items.filter(({ kind }) => kind !== 'ignored') }
}

/** What members do with a view as soon as they have it. */
function consult(view: View): void {
  targetOf(view)
  for (const id of view.members.keys()) wishes(view, id)
  for (let p = 0; p < view.partitionCount; p++) lossOf(view, p)
}

export const membershipDecoders: readonly Decoder[] = [
  decoder({
    name: 'log-message',
    seeds: messageSeeds,
    valueAt: () => 0,
    decode: readMessage,
    encode: (decoded, w) => w.bytes(encodeMessage(decoded)),
    ownBytes: 512 * 1024,
  }),
  decoder({
    name: 'fold',
    seeds: messageSeeds,
    valueAt: () => 0,
    decode(bytes, start, end) {
      const { version } = VIEW
      const own = bytes.subarray(start, end)
      const view = foldEntries(VIEW, [{ seq: version + 1, bytes: own }], hashSecret)
      if ((own.length & 3) === 0) foldEntries(emptyView, [{ seq: 1, bytes: own }], hashSecret)
      if (view.ignored.malformed !== VIEW.ignored.malformed) throw REFUSED
      // The same view must come of it every time, so what is looked at depends on the bytes alone.
      if ((bytes[end - 1]! & 7) === 0) consult(view)
      return view
    },
    // A member that begins at this checkpoint must read it as it was folded.
    encode(view, w) {
      w.bytes(encodeView(decodeView(encodeView(view))))
    },
    reuses: true,
    encodeOnceIn: 16,
    ownBytes: 1024 * 1024,
    weight: 2,
  }),
  decoder({
    name: 'checkpoint',
    seeds: () => [encodeView(VIEW), encodeView(emptyView), encodeView(founded(2, 3, 1))],
    valueAt: () => 0,
    decode: (bytes, start, end) => decodeView(bytes.subarray(start, end)),
    encode: (view, w) => w.bytes(encodeView(view)),
    ownBytes: 512 * 1024,
  }),
  decoder({
    name: 'table',
    seeds: () => [packTable([[A, B], [B, C], [C]]), packTable([]), packTable([[A], []])],
    decode: (bytes, start, end) => unpackTable(bytes.subarray(start, end)),
    encode: (table, w) => w.bytes(packTable(table)),
  }),
  decoder({
    name: 'member-announcement',
    seeds: () => [memberAnnouncement(member(1), CLUSTER), memberAnnouncement(member(2), ''), whoIsThere()],
    valueAt: (seed) => seed.length - readAnnouncement(new ByteReader(seed)).info.length,
    decode(bytes, start, end) {
      const announcement = readAnnouncement(new ByteReader(bytes, start, end))
      return { ...announcement, read: readMemberAnnouncement(announcement.info) }
    },
    encode(announcement, w) {
      writeAnnouncement(w, announcement)
      w.bytes(memberAnnouncement(announcement.read.member, announcement.read.clusterId))
    },
    reuses: true,
  }),
  decoder({
    name: 'map-config',
    seeds: () =>
      [{}, { ttlMs: 5 }, { maxIdleMs: 7, eviction: { policy: 'lfu', maxBytes: 1e6, maxEntries: 3 } }].map(
        valueBytes,
      ),
    valueAt: () => 0,
    decode: (bytes, start, end) => readMapConfig(decodeValue(bytes, start, end, defaultLimits)),
    encode: (config, w) => encodeValue(w, writeMapConfig(config), defaultLimits),
  }),
  decoder({
    name: 'member-info',
    seeds: () => [valueBytes(member(1)), valueBytes(member(5, { state: 'leaving', zone: 'eu/a' }))],
    valueAt: () => 0,
    decode: (bytes, start, end) => readMember(fieldsOf(decodeValue(bytes, start, end, defaultLimits))),
    encode: (info, w) => encodeValue(w, { ...info }, defaultLimits),
  }),
]
