/**
 * What a simulated client asks for: which operation on which key of which map, as bytes, and what the answer says.
 *
 * Three maps: the first is plain, and its calls make the histories that are checked for linearizability; the entries of
 * the second are bounded and idle away, those of the third expire by themselves. All calls on all of them are held against
 * the committed log (answer-checker.ts).
 */

import { ByteReader, ByteWriter, equalBytes } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { hashBytes, partitionOf } from '../../src/core/ring/hash.ts'
import { encodeKey } from '../../src/core/wire/key.ts'
import { Operation, type ReplyView, TTL_NONE } from '../../src/core/wire/message.ts'
import { encodeValue } from '../../src/core/wire/value.ts'
import { decodeTrusted } from '../../src/core/wire/value-decode.ts'
import { type CallKind, UNIQUE_FROM } from './history.ts'
import type { World } from './world.ts'

export type RequestKind = CallKind | 'has' | 'size' | 'clear' | 'page' | 'query'

/** Which map of the run. */
export const MapOf = { plain: 0, bounded: 1, expiring: 2 } as const

export interface Bounds {
  readonly keys: number
  readonly padBytes: number
  /** Of a value now and then; 0 for never. */
  readonly largeBytes: number
}

/** A version that was read, for writes under a condition. */
export interface ReadVersion {
  readonly era: number
  readonly seq: number
  readonly value: number
}

export interface QueryDocument {
  readonly where?: { readonly g: number }
  readonly orderBy?: string
  readonly limit?: number
}

export interface Request {
  readonly kind: RequestKind
  readonly operation: Operation
  /** Which map of the run, and its number. */
  readonly place: number
  readonly map: number
  readonly partition: number
  readonly name: string
  /** Empty where it is about no key. */
  readonly key: Uint8Array
  readonly keyHex: string
  readonly argument: Uint8Array
  /** What is written or added. */
  readonly number: number
  readonly ttlMs: number
  readonly version: ReadVersion | undefined
  readonly query: QueryDocument | undefined
  readonly page: PageRequest
}

/** One page of a walk through all of a map's pages. */
export interface PageRequest {
  /** Of the walk. */
  readonly walk: number
  readonly fromHash: number
  readonly rows: number
}

/** What a client knows that its next request may build on. */
export interface Knowledge {
  readonly unique: () => number
  readonly version: (map: number, name: string) => ReadVersion | undefined
  /** Where a walk through the pages of a map goes on, or another begins. */
  readonly page: (map: number, partition: number) => Omit<PageRequest, 'rows'>
}

const noPage: PageRequest = { walk: 0, fromHash: 0, rows: 0 }

export function isWrite(kind: RequestKind): boolean {
  return !['get', 'getEntry', 'has', 'size', 'page', 'query'].includes(kind)
}

/** Whether it belongs into the histories of calls on one key. */
export function isHistory({ place, kind }: Request): boolean {
  return place === MapOf.plain && !['has', 'size', 'clear', 'page', 'query'].includes(kind)
}

export function drawRequest(
  world: World,
  bounds: Bounds,
  maps: readonly number[],
  partitionCount: number,
  known: Knowledge,
): Request {
  const others = maps.length > 1 && world.chance(0.28)
  const place = others ? 1 + world.int(maps.length - 1) : MapOf.plain
  const map = maps[place]!
  const name = `k${world.int(bounds.keys)}`
  const key = keyOf(name)
  const version = known.version(map, name)
  const kind = drawKind(world, place, version !== undefined)
  const keyed = !['size', 'clear', 'page', 'query'].includes(kind)
  const partition = keyed
    ? partitionOf(hashBytes(key, 0, key.length), partitionCount)
    : world.int(partitionCount)
  const adds = kind === 'increment' || kind === 'invoke'
  const request = {
    kind,
    operation: operationOf(kind),
    place,
    map,
    partition,
    name,
    key: keyed ? key : new Uint8Array(0),
    keyHex: keyed ? Buffer.from(key).toString('hex') : '',
    number: adds ? 1 + world.int(3) : UNIQUE_FROM * known.unique(),
    ttlMs: drawTtl(world, place),
    version: kind === 'replaceVersion' || kind === 'removeVersion' ? version : undefined,
    query: kind === 'query' ? drawQuery(world) : undefined,
    page: kind === 'page' ? { ...known.page(map, partition), rows: 1 + world.int(6) } : noPage,
  }
  return { ...request, argument: argumentOf(world, bounds, request) }
}

/**
 * Every other `get` as a call for many keys: its own, whose value is the answer, and then another one of the partition, which
 * may say nothing of what the first one depends on. Draws nothing.
 */
export function inBulk(request: Request, bounds: Bounds, partitionCount: number): Request {
  if (request.kind !== 'get' || (request.number / UNIQUE_FROM) % 2 === 0) return request
  const w = new ByteWriter(64)
  const other = Array.from({ length: bounds.keys }, (_, i) => keyOf(`k${i}`)).find(
    (key) =>
      partitionOf(hashBytes(key, 0, key.length), partitionCount) === request.partition &&
      !equalBytes(key, 0, key.length, request.key, 0, request.key.length),
  )
  for (const key of [request.key, other ?? request.key]) {
    w.u16(key.length)
    w.bytes(key)
  }
  return { ...request, operation: Operation.getAll, key: new Uint8Array(0), argument: w.take() }
}

function keyOf(name: string): Uint8Array {
  const w = new ByteWriter(64)
  encodeKey(w, name, defaultLimits)
  return w.take()
}

function drawKind(world: World, place: number, versioned: boolean): RequestKind {
  const x = world.random.next()
  if (place === MapOf.plain ? x < 0.03 : x < 0.2) return drawWhole(world, place)
  if (x < 0.3) return place === MapOf.plain || x < 0.27 ? 'get' : 'has'
  if (x < 0.4) return 'getEntry'
  if (x < 0.55) return 'put'
  if (x < 0.6) return 'putIfAbsent'
  if (x < 0.65) return 'replace'
  if (versioned && x < 0.72) return x < 0.7 ? 'replaceVersion' : 'removeVersion'
  if (x < 0.77) return 'remove'
  return x < 0.88 ? 'increment' : 'invoke'
}

/** About no key but a whole map. */
function drawWhole(world: World, place: number): RequestKind {
  const x = world.random.next()
  if (x < 0.15) return place === MapOf.plain ? 'query' : 'clear'
  if (x < 0.35) return 'size'
  return x < 0.65 ? 'page' : 'query'
}

function drawTtl(world: World, place: number): number {
  if (place === MapOf.plain) return 0
  if (place === MapOf.expiring && world.chance(0.7)) return world.chance(0.2) ? TTL_NONE : 0
  return world.int(4000)
}

function drawQuery(world: World): QueryDocument {
  return {
    ...(world.chance(0.6) ? { where: { g: 1 } } : {}),
    ...(world.chance(0.5) ? { orderBy: 'n' } : {}),
    ...(world.chance(0.4) ? { limit: world.int(4) } : {}),
  }
}

function operationOf(kind: RequestKind): Operation {
  if (kind === 'replaceVersion') return Operation.replace
  if (kind === 'removeVersion') return Operation.remove
  if (kind === 'increment') return Operation.update
  return Operation[kind]
}

function argumentOf(world: World, bounds: Bounds, request: Omit<Request, 'argument'>): Uint8Array {
  const w = new ByteWriter(256)
  const { kind, number, ttlMs, version } = request
  switch (kind) {
    case 'put':
    case 'putIfAbsent':
      w.u48(ttlMs)
      encodeValue(w, drawValue(world, bounds, number), defaultLimits)
      break
    case 'replace':
    case 'replaceVersion':
      w.u48(ttlMs)
      writeVersion(w, version)
      encodeValue(w, drawValue(world, bounds, number), defaultLimits)
      break
    case 'remove':
    case 'removeVersion':
      writeVersion(w, version)
      break
    case 'increment':
      encodeValue(w, { $inc: { n: number } }, defaultLimits)
      break
    case 'invoke':
      w.text('add')
      w.block(new Uint8Array(0))
      encodeValue(w, number, defaultLimits)
      break
    case 'page':
      w.u8(1)
      w.u32(request.page.fromHash)
      w.u16(request.page.rows)
      w.block(new Uint8Array(0))
      break
    case 'query':
      encodeValue(w, request.query, defaultLimits)
      break
  }
  return w.take()
}

function writeVersion(w: ByteWriter, version: ReadVersion | undefined): void {
  w.u8(version ? 1 : 0)
  w.u16(version?.era ?? 0)
  w.u48(version?.seq ?? 0)
}

function drawValue(world: World, { padBytes, largeBytes }: Bounds, n: number): unknown {
  const large = largeBytes > 0 && world.chance(0.02)
  return { n, g: world.int(2), pad: 'x'.repeat(world.int((large ? largeBytes : padBytes) + 1)) }
}

// ---- answers

export interface Row {
  readonly key: string
  readonly value: string
}

export interface Answer {
  /** A value's number, a count, 1 or 0, or undefined for no entry. */
  readonly result: number | undefined
  /** `getEntry`: when it expires, and the record that it comes from. */
  readonly expiresAt: number
  readonly seq: number
  readonly rows: readonly Row[]
  /** `page`: from where the next one goes on, or -1. */
  readonly nextHash: number
}

const bare: Answer = { result: undefined, expiresAt: 0, seq: 0, rows: [], nextHash: -1 }

export function readAnswer({ kind, operation }: Request, reply: ReplyView): Answer {
  const { bytes, payloadStart, payloadEnd } = reply
  const number = (start: number): number => (decodeTrusted(bytes, start, payloadEnd) as { n: number }).n
  const r = new ByteReader(bytes, payloadStart, payloadEnd)
  switch (kind) {
    case 'put':
      return bare
    case 'get':
      if (operation === Operation.getAll) return readFirst(r)
      return payloadStart === payloadEnd ? bare : { ...bare, result: number(payloadStart) }
    case 'getEntry':
      if (payloadStart === payloadEnd) return bare
      return { ...bare, expiresAt: r.u48(), seq: r.u48(), result: number(payloadStart + 12) }
    case 'increment':
      return { ...bare, result: number(payloadStart) }
    case 'invoke':
      return { ...bare, result: decodeTrusted(bytes, payloadStart + 1, payloadEnd) as number }
    case 'size':
    case 'clear':
      return { ...bare, result: r.u48() }
    case 'page': {
      const more = r.u8()
      const next = r.u32()
      return { ...bare, nextHash: more ? next : -1, rows: readRows(r) }
    }
    case 'query':
      return { ...bare, rows: readRows(r) }
    default:
      return { ...bare, result: bytes[payloadStart]! }
  }
}

/** Of the values in the answer to a call for two keys. */
function readFirst(r: ByteReader): Answer {
  const count = r.u32()
  const values = Array.from({ length: count }, () => r.view(r.u32()))
  r.done()
  const [first] = values
  if (count !== 2 || first === undefined) throw new Error(`an answer for ${count} of two keys`)
  return first.length === 0
    ? bare
    : { ...bare, result: (decodeTrusted(first, 0, first.length) as { n: number }).n }
}

function readRows(r: ByteReader): Row[] {
  const rows: Row[] = []
  for (let count = r.u32(); count > 0; count--) {
    const key = hexOf(r, r.u16())
    rows.push({ key, value: hexOf(r, r.u32()) })
  }
  return rows
}

function hexOf(r: ByteReader, length: number): string {
  const at = r.skip(length)
  return r.bytes.toString('hex', at, at + length)
}
