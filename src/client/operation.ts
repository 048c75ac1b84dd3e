/**
 * The operations as they stand on the wire: what each writes after the key, and what it makes of its reply.
 *
 * Plain functions, one pair an operation, so that a call carries two references to them instead of closures.
 * What a member sends is checked in full before it is decoded: that costs a `get` a sixth of its time, and a member
 * gone wrong cannot hang the client.
 */

import { ByteReader, type ByteWriter, getU48 } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import type { Limits } from '../core/base/limits.ts'
import type { Key } from '../core/wire/key.ts'
import type { ReplyView } from '../core/wire/message.ts'
import type { Version } from '../core/wire/processor.ts'
import { encodeValue } from '../core/wire/value.ts'
import { decodeValue } from '../core/wire/value-decode.ts'
import type { Asked } from './pending-call.ts'
import { formatVersion, parseVersion } from './version.ts'

/** An entry with what belongs to it. */
export interface Entry<K, V> {
  readonly key: K
  readonly value: V
  readonly version: Version
  /** When it expires, in milliseconds since 1970; `undefined`: never. */
  readonly expiresAt: number | undefined
}

// --- Arguments

export function writeNothing(): void {}

export function writePut(w: ByteWriter, ttlMs: unknown, value: unknown, limits: Limits): void {
  w.u48(ttlMs as number)
  encodeValue(w, value, limits)
}

export interface Replacement {
  readonly ttlMs: number
  readonly ifVersion: Version | undefined
}

export function writeReplace(w: ByteWriter, a: unknown, value: unknown, limits: Limits): void {
  const { ttlMs, ifVersion } = a as Replacement
  w.u48(ttlMs)
  writeRemove(w, ifVersion)
  encodeValue(w, value, limits)
}

export function writeRemove(w: ByteWriter, ifVersion: unknown): void {
  if (ifVersion === undefined) {
    w.u8(0)
    w.u16(0)
    w.u48(0)
    return
  }
  const { era, seq } = parseVersion(ifVersion)
  w.u8(1)
  w.u16(era)
  w.u48(seq)
}

/** `update` and `query`: a document. */
export function writeDocument(w: ByteWriter, document: unknown, _: unknown, limits: Limits): void {
  encodeValue(w, document, limits)
}

export interface Invocation {
  readonly name: string
  readonly where: Uint8Array
}

export function writeInvoke(w: ByteWriter, a: unknown, argument: unknown, limits: Limits): void {
  const { name, where } = a as Invocation
  w.text(name)
  w.block(where)
  encodeValue(w, argument ?? null, limits)
}

export interface PageRequest {
  readonly withValues: boolean
  readonly fromHash: number
  readonly rows: number
  readonly where: Uint8Array
}

export function writePage(w: ByteWriter, a: unknown): void {
  const { withValues, fromHash, rows, where } = a as PageRequest
  w.u8(withValues ? 1 : 0)
  w.u32(fromHash)
  w.u16(rows)
  w.block(where)
}

// --- Results

export function toNothing(): undefined {
  return undefined
}

export function toValue(reply: ReplyView, _: Asked, limits: Limits): unknown {
  const { bytes, payloadStart, payloadEnd } = reply
  return payloadStart === payloadEnd ? undefined : decodeValue(bytes, payloadStart, payloadEnd, limits)
}

export function toYes(reply: ReplyView): boolean {
  return firstByte(reply) === 1
}

export function toCount({ bytes, payloadStart, payloadEnd }: ReplyView): number {
  if (payloadEnd - payloadStart < 6) throw new GridError('MALFORMED', 'a reply without its count')
  return getU48(bytes, payloadStart)
}

/** What stands behind the payload belongs to the next message. */
function firstByte({ bytes, payloadStart, payloadEnd }: ReplyView): number {
  if (payloadStart >= payloadEnd) throw new GridError('MALFORMED', 'a reply without its result')
  return bytes[payloadStart]!
}

export function toEntry(reply: ReplyView, call: Asked, limits: Limits): Entry<unknown, unknown> | undefined {
  const { bytes, payloadStart, payloadEnd } = reply
  if (payloadStart === payloadEnd) return undefined
  const r = new ByteReader(bytes, payloadStart, payloadEnd)
  const expiresAt = r.u48()
  const version = formatVersion(reply.era, r.u48())
  const value = decodeValue(bytes, r.offset, payloadEnd, limits)
  return { key: call.key, value, version, expiresAt: expiresAt === 0 ? undefined : expiresAt }
}

/** The processor's result; null stands for none. */
export function toResult(reply: ReplyView, _: Asked, limits: Limits): unknown {
  return decodeValue(reply.bytes, reply.payloadStart + 1, reply.payloadEnd, limits)
}

/** The processor's result in a box, or nothing where `where` did not match any more. */
export function toMatch(
  reply: ReplyView,
  call: Asked,
  limits: Limits,
): { readonly result: unknown } | undefined {
  return firstByte(reply) === 0 ? undefined : { result: toResult(reply, call, limits) }
}

export interface Row {
  readonly key: unknown
  readonly value: unknown
}

export interface Page {
  readonly more: boolean
  readonly nextHash: number
  readonly rows: readonly Row[]
}

export function toPage(reply: ReplyView, withValues: boolean, limits: Limits): Page {
  const { bytes, payloadStart, payloadEnd } = reply
  const r = new ByteReader(bytes, payloadStart, payloadEnd)
  const more = r.u8() === 1
  const nextHash = r.u32()
  const rows: Row[] = []
  readRows(r, (keyStart, keyEnd, start, end) =>
    rows.push({
      key: toKey(bytes, keyStart, keyEnd, limits),
      value: withValues ? decodeValue(bytes, start, end, limits) : undefined,
    }),
  )
  return { more, nextHash, rows }
}

export function toKey(bytes: Uint8Array, start: number, end: number, limits: Limits): Key {
  return decodeValue(bytes, start, end, limits) as Key
}

/** Visits `u32 count · rows`, each by where its key and value stand. */
export function readRows(
  r: ByteReader,
  visit: (keyStart: number, keyEnd: number, start: number, end: number) => void,
): void {
  for (let count = r.u32(); count > 0; count--) {
    const keyLength = r.u16()
    const keyStart = r.skip(keyLength)
    const valueLength = r.u32()
    const start = r.skip(valueLength)
    visit(keyStart, keyStart + keyLength, start, start + valueLength)
  }
}
