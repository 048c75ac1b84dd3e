/**
 * The operations on a map, one function each, and the one table that dispatches them.
 *
 * To add one: give it a number and a layout in wire/message.ts, write its function here, and give the client a method.
 * A function reads its argument, looks at the entry, writes its answer to `payload`, and ends with exactly one of
 * `read`, `unchanged`, `put`, `remove`, `clear` (call-handler.ts). It may throw a `GridError` before that: then nothing has changed.
 */

import { putU32 } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { compileFilter, RowFilter } from '../query/scan.ts'
import { applyUpdate, checkUpdate } from '../query/update.ts'
import type { RecordView } from '../store/record.ts'
import { Operation, TTL_DEFAULT, TTL_NONE } from '../wire/message.ts'
import { encodeValue } from '../wire/value.ts'
import { checkValue } from '../wire/value-check.ts'
import { decodeTrusted, decodeValue } from '../wire/value-decode.ts'
import type { Call, EntryRead } from './call.ts'
import { type Effect, runProcessor } from './processor-run.ts'

interface OperationRow {
  /** It is about one key. */
  readonly keyed: boolean
  /** It may change something, so that a repetition must be recognised. */
  readonly writes: boolean
  readonly run: (call: Call) => void
}

function get(call: EntryRead): void {
  if (!call.lookup()) call.read(call.dependsOn)
  else call.readBytes(call.dependsOn, call.found.bytes, call.found.valueStart, call.found.valueEnd)
}

function getEntry(call: EntryRead): void {
  if (call.lookup()) {
    const { found, payload } = call
    payload.u48(found.expiresAt)
    payload.u48(found.seq)
    payload.bytes(found.bytes, found.valueStart, found.valueEnd)
  }
  call.read(call.dependsOn)
}

function has(call: EntryRead): void {
  call.payload.u8(call.lookup() ? 1 : 0)
  call.read(call.dependsOn)
}

/** Bytes after which an answer to `getAll` ends early; the client asks for the rest. */
const VALUES_BYTES = 64 * 1024

/** Many entries in one answer, which depends on whatever the newest of them depends on. */
function getAll(call: Call): void {
  const { argument, payload, found } = call
  const countAt = payload.length - payload.start
  payload.u32(0)
  let count = 0
  let dependsOn = 0
  while (argument.remaining > 0 && payload.length - payload.start < VALUES_BYTES) {
    const keyLength = argument.u16()
    const keyStart = argument.skip(keyLength)
    call.setKey(keyStart, keyStart + keyLength)
    if (call.lookup()) {
      payload.u32(found.valueEnd - found.valueStart)
      payload.bytes(found.bytes, found.valueStart, found.valueEnd)
    } else payload.u32(0)
    if (call.dependsOn > dependsOn) dependsOn = call.dependsOn
    count++
  }
  putU32(payload.buffer, payload.start + countAt, count)
  call.read(dependsOn)
}

function put(call: Call): void {
  const { argument } = call
  const expiresAt = expiryOf(call, argument.u48())
  checkNewValue(call)
  call.put(argument.bytes, argument.offset, argument.end, expiresAt)
}

function putIfAbsent(call: Call): void {
  const { argument } = call
  const expiresAt = expiryOf(call, argument.u48())
  checkNewValue(call)
  const exists = call.lookup()
  call.payload.u8(exists ? 0 : 1)
  if (exists) call.unchanged(call.dependsOn)
  else call.put(argument.bytes, argument.offset, argument.end, expiresAt)
}

function replace(call: Call): void {
  const { argument } = call
  const ttlMs = argument.u48()
  const version = readVersion(call)
  checkNewValue(call)
  const fits = call.lookup() && isVersion(call, version)
  call.payload.u8(fits ? 1 : 0)
  if (!fits) {
    call.unchanged(call.dependsOn)
    return
  }
  const expiresAt = ttlMs === TTL_DEFAULT ? call.found.expiresAt : expiryOf(call, ttlMs)
  call.put(argument.bytes, argument.offset, argument.end, expiresAt)
}

function remove(call: Call): void {
  const version = readVersion(call)
  const fits = call.lookup() && isVersion(call, version)
  call.payload.u8(fits ? 1 : 0)
  if (fits) call.remove()
  else call.unchanged(call.dependsOn)
}

function update(call: Call): void {
  const { argument, found, limits, payload } = call
  const document = decodeValue(argument.bytes, argument.offset, argument.end, limits)
  const change = checkUpdate(document, limits)
  const exists = call.lookup()
  const current = exists ? decodeTrusted(found.bytes, found.valueStart, found.valueEnd) : undefined
  const expiresAt = exists ? found.expiresAt : expiryOf(call, TTL_DEFAULT)
  const next = applyUpdate(current, change)
  const value = encodeNew(call, next, 'BAD_UPDATE')
  payload.bytes(value.buffer, value.start, value.length)
  call.put(value.buffer, value.start, value.length, expiresAt)
}

function invoke(call: Call): void {
  const { argument, found, limits, payload, owner, view } = call
  const name = argument.text()
  const where = readFilter(call)
  const processor = owner.context.processors.get(name)
  if (!processor) {
    const known = [...owner.context.processors.keys()].join(', ') || 'none'
    throw new GridError('UNKNOWN_PROCESSOR', `'${name}' is not loaded; this member has: ${known}`)
  }
  const input = decodeValue(argument.bytes, argument.offset, argument.end, limits)
  const exists = call.lookup()
  if (where !== RowFilter.all && !(exists && where.matches(found.bytes, found.valueStart, found.valueEnd))) {
    payload.u8(0)
    encodeValue(payload, null, limits)
    call.unchanged(call.dependsOn)
    return
  }
  const effect = runProcessor(processor, name, view, exists ? found : undefined, owner.config.era, input)
  payload.u8(1)
  try {
    encodeValue(payload, effect.result, limits)
  } catch (error) {
    throw failed(name, 'its result cannot be stored', error)
  }
  finish(call, name, effect, exists)
}

function finish(call: Call, name: string, effect: Effect, exists: boolean): void {
  const { found } = call
  if (effect.kind === 'set') {
    const value = encodeNew(call, effect.value, 'PROCESSOR_FAILED', name)
    const kept = exists ? found.expiresAt : expiryOf(call, TTL_DEFAULT)
    const expiresAt = effect.ttlMs === undefined ? kept : expiryOf(call, effect.ttlMs ?? TTL_NONE)
    call.put(value.buffer, value.start, value.length, expiresAt)
  } else if (effect.kind === 'remove' && exists) call.remove()
  else call.unchanged(call.dependsOn)
}

function size(call: Call): void {
  call.payload.u48(call.store.count(call.view.map))
  call.read(call.store.head)
}

function clear(call: Call): void {
  const count = call.store.count(call.view.map)
  call.payload.u48(count)
  if (count > 0) call.clear()
  else call.unchanged(call.owner.lastRemovalSeq)
}

/** Bytes after which a page ends early. */
const PAGE_BYTES = 256 * 1024

function page(call: Call): void {
  const { argument, payload, store, limits, housekeeping, now, view } = call
  const withValues = argument.u8() === 1
  let from = argument.u32()
  const wanted = Math.min(argument.u16(), limits.pageRowsMax)
  const where = readFilter(call)
  const head = payload.length - payload.start
  payload.u8(0)
  payload.u32(0)
  payload.u32(0)
  let count = 0
  const visit = (record: RecordView): void => {
    if (housekeeping.isExpired(record, now)) return
    if (where !== RowFilter.all && !where.matches(record.bytes, record.valueStart, record.valueEnd)) return
    count++
    payload.u16(record.keyEnd - record.keyStart)
    payload.bytes(record.bytes, record.keyStart, record.keyEnd)
    payload.u32(withValues ? record.valueEnd - record.valueStart : 0)
    if (withValues) payload.bytes(record.bytes, record.valueStart, record.valueEnd)
  }
  // A filter may let nothing through: what is looked at is bounded, too.
  for (let looked = 0; from >= 0 && looked < 16 * wanted && count < wanted; looked += 16) {
    from = store.page(view.map, from, 16, visit)
    if (payload.length - payload.start > PAGE_BYTES) break
  }
  const at = payload.start + head
  payload.buffer[at] = from >= 0 ? 1 : 0
  payload.buffer.writeUInt32LE(Math.max(from, 0), at + 1)
  payload.buffer.writeUInt32LE(count, at + 5)
  call.read(store.head)
}

function query(call: Call): void {
  call.query()
}

// ---- shared by operations

function checkNewValue(call: Call): void {
  const { argument, limits } = call
  checkValue(argument.bytes, argument.offset, argument.end, limits)
}

function encodeNew(
  call: Call,
  value: unknown,
  code: 'BAD_UPDATE' | 'PROCESSOR_FAILED',
  name = 'update',
): Call['value'] {
  call.value.clear()
  try {
    encodeValue(call.value, value, call.limits)
  } catch (error) {
    if (code === 'PROCESSOR_FAILED') throw failed(name, 'the value that it set cannot be stored', error)
    throw error
  }
  return call.value
}

function failed(name: string, what: string, error: unknown): GridError {
  const reason = error instanceof Error ? error.message : String(error)
  return new GridError('PROCESSOR_FAILED', `'${name}': ${what}: ${reason}`, { cause: error })
}

function readFilter(call: Call): RowFilter {
  const bytes = call.argument.block()
  if (bytes.length === 0) return RowFilter.all
  return compileFilter(decodeValue(bytes, 0, bytes.length, call.limits), call.limits)
}

function expiryOf(call: Call, ttlMs: number): number {
  if (ttlMs === TTL_NONE) return 0
  const ttl = ttlMs === TTL_DEFAULT ? call.housekeeping.ttlMs(call.view.map) : ttlMs
  return ttl === 0 ? 0 : Math.min(call.now.wallMs + ttl, TTL_NONE)
}

interface WantedVersion {
  readonly era: number
  readonly seq: number
}

function readVersion(call: Call): WantedVersion | undefined {
  const { argument } = call
  const given = argument.u8() === 1
  const era = argument.u16()
  const seq = argument.u48()
  return given ? { era, seq } : undefined
}

function isVersion(call: Call, version: WantedVersion | undefined): boolean {
  if (!version) return true
  return call.found.seq === version.seq && call.owner.config.era === version.era
}

/** Those that need nothing but the entry, and so more than a call's owner can carry them out. */
export const entryReads: Readonly<Record<number, ((read: EntryRead) => void) | undefined>> = {
  [Operation.get]: get,
  [Operation.getEntry]: getEntry,
  [Operation.has]: has,
}

/** By the operation's number on the wire. */
export const operationTable: Readonly<Record<number, OperationRow | undefined>> = {
  [Operation.get]: { keyed: true, writes: false, run: get },
  [Operation.getEntry]: { keyed: true, writes: false, run: getEntry },
  [Operation.has]: { keyed: true, writes: false, run: has },
  [Operation.put]: { keyed: true, writes: true, run: put },
  [Operation.putIfAbsent]: { keyed: true, writes: true, run: putIfAbsent },
  [Operation.replace]: { keyed: true, writes: true, run: replace },
  [Operation.remove]: { keyed: true, writes: true, run: remove },
  [Operation.update]: { keyed: true, writes: true, run: update },
  [Operation.invoke]: { keyed: true, writes: true, run: invoke },
  [Operation.size]: { keyed: false, writes: false, run: size },
  [Operation.clear]: { keyed: false, writes: true, run: clear },
  [Operation.page]: { keyed: false, writes: false, run: page },
  [Operation.query]: { keyed: false, writes: false, run: query },
  [Operation.getAll]: { keyed: false, writes: false, run: getAll },
}
