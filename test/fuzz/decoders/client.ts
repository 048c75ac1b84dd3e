/** What a client reads of what members send: replies by operation, rows, tokens, versions, and whole frames. */

import {
  readRows,
  toCount,
  toEntry,
  toMatch,
  toPage,
  toResult,
  toValue,
  toYes,
} from '../../../src/client/operation.ts'
import type { PendingCall } from '../../../src/client/pending-call.ts'
import { formatVersion, parseVersion } from '../../../src/client/version.ts'
import { decodeToken, encodeToken, Positions } from '../../../src/client/watch-token.ts'
import { ByteReader, putU32 } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { compileProjection } from '../../../src/core/query/project.ts'
import { compileOrder, TopRows } from '../../../src/core/query/sort.ts'
import { hashBytes } from '../../../src/core/ring/hash.ts'
import { ReplyView } from '../../../src/core/wire/message.ts'
import { Broken, type Decoder, decoder, REFUSED } from '../decoder.ts'
import { A, bytesOf, KEYS, keyBytes, VALUES, valueBytes } from './seed.ts'

const call = { key: 'key' } as PendingCall
const order = compileOrder([
  ['temp', 'desc'],
  ['at.zone', 'asc'],
])
const projection = compileProjection(['site', 'at.zone', 'member3'])

/** The decoders of `ok` replies; a reply begins here with the number of one. */
const RESULTS: readonly ((reply: ReplyView) => unknown)[] = [
  (reply) => toValue(reply, call, defaultLimits),
  (reply) => toEntry(reply, call, defaultLimits),
  toYes,
  toCount,
  (reply) => toResult(reply, call, defaultLimits),
  (reply) => toMatch(reply, call, defaultLimits),
  (reply) => toPage(reply, true, defaultLimits),
  (reply) => toPage(reply, false, defaultLimits),
  merge,
]

/** What a query with an order makes of one partition's rows. */
function merge({ bytes, payloadStart, payloadEnd }: ReplyView): unknown {
  const rows = new TopRows(order, 3)
  readRows(new ByteReader(bytes, payloadStart, payloadEnd), (keyStart, keyEnd, start, end) => {
    rows.offer(bytes, keyStart, keyEnd, bytes, start, end)
  })
  return bytesOf((w) => {
    for (const { value } of rows.rows()) projection.project(value, 0, value.length, w)
  })
}

const rowsOf = (pairs: readonly [unknown, unknown][]): Uint8Array =>
  bytesOf((w) => {
    w.u32(pairs.length)
    for (const [key, value] of pairs) {
      const [k, v] = [keyBytes(key), valueBytes(value)]
      w.u16(k.length)
      w.bytes(k)
      w.u32(v.length)
      w.bytes(v)
    }
  })

function resultSeeds(): Uint8Array[] {
  const rows = rowsOf(VALUES.slice(30, 38).map((value, i) => [KEYS[i], value]))
  const page = Buffer.concat([Buffer.of(1, 9, 0, 0, 0), rows])
  const value = valueBytes(VALUES.at(-5))
  const payloads: readonly Uint8Array[] = [
    value,
    Buffer.concat([Buffer.alloc(12, 1), value]),
    Buffer.of(1),
    Buffer.of(7, 0, 0, 0, 0, 0),
    Buffer.concat([Buffer.of(1), value]),
    Buffer.concat([Buffer.of(1), value]),
    page,
    page,
    rows,
  ]
  return payloads.map((payload, i) => Buffer.concat([Buffer.of(i), payload]))
}

const reply = new ReplyView()

function tokenSeeds(): Uint8Array[] {
  const positions = Positions.none(8)
  for (let p = 0; p < 6; p++) positions.set(p, p * 100, 2 ** (7 * p + 1))
  return [positions, Positions.none(8)].map((one) => Buffer.from(encodeToken(A, 3, one), 'base64url'))
}

export const clientDecoders: readonly Decoder[] = [
  decoder({
    name: 'result',
    seeds: resultSeeds,
    decode(bytes, start, end) {
      const read = start < end ? RESULTS[bytes[start]!] : undefined
      if (read === undefined) throw REFUSED
      Object.assign(reply, { bytes, payloadStart: start + 1, payloadEnd: end, era: 1 })
      return { result: read(reply) }
    },
    encode({ result }, w) {
      // Only to be compared with what the same bytes give elsewhere.
      w.bytes(
        Buffer.from(
          JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? `${value}n` : value)) ?? '',
        ),
      )
    },
    encodeOnceIn: Number.POSITIVE_INFINITY,
    reuses: true,
    ownBytes: 128 * 1024,
  }),
  decoder({
    name: 'watch-token',
    codes: ['BAD_TOKEN'],
    seeds: tokenSeeds,
    repair(bytes, start, end) {
      if (end - start > 4) putU32(bytes, end - 4, hashBytes(bytes, start, end - 4))
    },
    decode(bytes, start, end) {
      const positions = decodeToken(bytes.toString('base64url', start, end), A, 3, 8)
      for (const era of positions.eras)
        if (era > 0xffff) throw new Broken('token: an era that no message can carry')
      for (const seq of positions.seqs)
        if (seq >= 2 ** 48) throw new Broken('token: a seq that no message can carry')
      return positions
    },
    encode: (positions, w) => w.bytes(Buffer.from(encodeToken(A, 3, positions), 'base64url')),
  }),
  decoder({
    name: 'version',
    codes: ['BAD_TOKEN'],
    seeds: () => ['1.42', '65535.281474976710655', '0.1'].map((text) => Buffer.from(text)),
    decode: (bytes, start, end) => parseVersion(bytes.toString('latin1', start, end)),
    encode: ({ era, seq }, w) => w.bytes(Buffer.from(formatVersion(era, seq))),
  }),
  decoder({
    name: 'row-values',
    seeds: () => [
      valueBytes(Object.fromEntries(KEYS.map((_, i) => [`k${i}`, i]))),
      ...VALUES.map(valueBytes),
    ],
    valueAt: () => 0,
    /** A projection and an order over bytes that nobody has checked: a member's row is compared before it is decoded. */
    decode(bytes, start, end) {
      const projected = Buffer.from(bytesOf((w) => projection.project(bytes, start, end, w)))
      const compared = order.compare(bytes, start, end, bytes, start, end)
      if (compared !== 0) throw new Broken('row-values: a row that is not equal to itself')
      return { projected }
    },
    encode: ({ projected }, w) => w.bytes(projected),
    encodeOnceIn: Number.POSITIVE_INFINITY,
  }),
]
