/**
 * Filters, updates and queries: documents that are compiled into small programs. What is accepted is run on entries
 * of many shapes, and compared with what it does after it was encoded and compiled once more.
 */

import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { type ErrorCode, GridError } from '../../../src/core/base/errors.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { Query } from '../../../src/core/partition/query-run.ts'
import { checkFilter } from '../../../src/core/query/filter.ts'
import { compileFilter } from '../../../src/core/query/scan.ts'
import { applyUpdate, checkUpdate } from '../../../src/core/query/update.ts'
import { hashBytes } from '../../../src/core/ring/hash.ts'
import { BlockPool } from '../../../src/core/store/block-pool.ts'
import { History } from '../../../src/core/store/history.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import { blankRecord, RecordKind } from '../../../src/core/store/record.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { decodeTrusted, decodeValue } from '../../../src/core/wire/value-decode.ts'
import { Broken, type Decoder, decoder } from '../decoder.ts'
import { FILTERS, QUERIES, UPDATES } from './document.ts'
import { keyBytes, VALUES, valueBytes } from './seed.ts'
import { checkPlain } from './value.ts'

const ENTRIES: readonly Buffer[] = [
  ...VALUES,
  { site: 'plant-3', temp: 71.5, n: 5n, at: { zone: 'b', floor: 2 }, tags: ['hot', 'new'], done: false },
  { site: null, temp: Number.NaN, at: ['a'], tags: 'hot', a: { b: { c: 1 } } },
  { temp: -0, n: 2n ** 70n, since: new Date(5), raw: Uint8Array.of(1, 2), a: [{ b: 1 }, { b: 2 }] },
].map((value) => Buffer.from(valueBytes(value)))

/** What an update can be made of, and one that it cannot. */
const OBJECTS = ENTRIES.filter(
  (entry) => (entry[0]! & 0xf0) === 0x80 || entry[0] === 0xde || entry[0] === 0x90,
)

const BAD_FILTER: readonly ErrorCode[] = ['MALFORMED', 'BAD_FILTER']

/** A store of the entries, once for all queries. */
function storeOfEntries(): LogStore {
  const pool = new BlockPool({ maxBytes: 16 * 1024 * 1024 })
  const store = new LogStore({ pool, history: new History({ maxBytes: 0 }), seed: 1 })
  for (const [i, value] of ENTRIES.entries()) {
    const key = keyBytes(i)
    const bytes = { keyBytes: key, keyEnd: key.length, valueBytes: value, valueEnd: value.length }
    const hash = hashBytes(key, 0, key.length)
    store.applyHead(store.append({ ...blankRecord, kind: RecordKind.put, map: 1, hash, ...bytes }))
  }
  return store
}

const store = storeOfEntries()
const out = new ByteWriter(64 * 1024)

function matchesOf(document: unknown): string {
  const filter = compileFilter(document, defaultLimits)
  let matches = ''
  for (const entry of ENTRIES) matches += filter.matches(entry, 0, entry.length) ? '1' : '0'
  return matches
}

/** The stored forms of what the update makes of a few entries, and a letter for each refusal. */
function outcomesOf(document: unknown, first: number, w: ByteWriter): string {
  const update = checkUpdate(document, defaultLimits)
  let codes = ''
  for (let i = 0; i < 4; i++) {
    const entry = OBJECTS[(first + i) % OBJECTS.length]!
    try {
      const next = applyUpdate(decodeTrusted(entry, 0, entry.length), update)
      checkPlain(next)
      encodeValue(w, next, defaultLimits)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      codes += error.code === 'BAD_UPDATE' ? 'u' : error.code === 'TOO_LARGE' ? 'l' : error.code
    }
  }
  return codes
}

export const queryDecoders: readonly Decoder[] = [
  decoder({
    name: 'filter',
    codes: BAD_FILTER,
    seeds: () => FILTERS.map(valueBytes),
    valueAt: () => 0,
    decode(bytes, start, end) {
      const document = decodeValue(bytes, start, end, defaultLimits)
      checkFilter(document, defaultLimits)
      return { document, matches: matchesOf(document) }
    },
    encode: ({ document }, w) => encodeValue(w, document, defaultLimits),
    encodeOnceIn: 8,
    ownBytes: 1024 * 1024,
  }),
  decoder({
    name: 'update',
    codes: ['MALFORMED', 'BAD_UPDATE'],
    seeds: () => UPDATES.map(valueBytes),
    valueAt: () => 0,
    decode(bytes, start, end) {
      const document = decodeValue(bytes, start, end, defaultLimits)
      out.clear()
      const codes = outcomesOf(document, (bytes[start + 1] ?? 0) ^ bytes[end - 1]!, out)
      if (!/^[ul]*$/.test(codes)) throw new Broken(`update: refused with ${codes}`)
      return { document }
    },
    encode: ({ document }, w) => encodeValue(w, document, defaultLimits),
    encodeOnceIn: 8,
    ownBytes: 4 * 1024 * 1024,
  }),
  decoder({
    name: 'query',
    codes: BAD_FILTER,
    seeds: () => QUERIES.map(valueBytes),
    valueAt: () => 0,
    decode(bytes, start, end) {
      const document = decodeValue(bytes, start, end, defaultLimits)
      const query = new Query(document, defaultLimits)
      out.clear()
      query.run(store, 1, () => false, out)
      return { document, rows: out.take() }
    },
    encode: ({ document }, w) => encodeValue(w, document, defaultLimits),
    encodeOnceIn: 8,
    ownBytes: 4 * 1024 * 1024,
  }),
]
