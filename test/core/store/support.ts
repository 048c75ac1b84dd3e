import { expect } from 'vitest'
import type { LogStore } from '../../../src/core/store/log-store.ts'
import {
  bareBytesAt,
  type RecordInput,
  RecordKind,
  type RecordView,
  RemoveCause,
} from '../../../src/core/store/record.ts'

/** FNV-1a with a final mix; any hash will do here. */
export function hashOf(key: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}

export interface InputOptions {
  kind?: RecordKind
  cause?: RemoveCause
  map?: number
  key?: string
  hash?: number
  value?: string
  expiresAt?: number
  /** The reply. */
  envelope?: string | undefined
}

/** A record to append; keys and values stand in the middle of larger arrays. */
export function inputOf(options: InputOptions): RecordInput {
  const key = Buffer.from(options.key ?? '')
  const value = Buffer.from(options.value ?? '')
  const reply = Buffer.from(options.envelope ?? '')
  return {
    kind: options.kind ?? RecordKind.put,
    cause: options.cause ?? RemoveCause.removed,
    map: options.map ?? 0,
    hash: options.hash ?? hashOf(key),
    keyBytes: Buffer.concat([Buffer.from('<'), key, Buffer.from('>')]),
    keyStart: 1,
    keyEnd: 1 + key.length,
    valueBytes: Buffer.concat([Buffer.from('<<'), value, Buffer.from('>')]),
    valueStart: 2,
    valueEnd: 2 + value.length,
    expiresAt: options.expiresAt ?? 0,
    envelope:
      options.envelope === undefined
        ? undefined
        : {
            session: 0xfffffff0,
            call: 7,
            ackUpTo: 3,
            status: 9,
            replyBytes: reply,
            replyStart: 0,
            replyEnd: reply.length,
          },
  }
}

export function recordText(record: RecordView): string {
  const key = record.bytes.toString('utf8', record.keyStart, record.keyEnd)
  const value = record.bytes.toString('utf8', record.valueStart, record.valueEnd)
  return `${record.map}/${key}@${record.seq}!${record.expiresAt}=${value}`
}

/** Counts everything anew by walking, and compares with what the store has kept. */
export function auditStore(store: LogStore): void {
  const bytes = new Map<number, number>()
  const counts = new Map<number, number>()
  let live = 0
  let minExpiresAt = Infinity
  const scan = store.openScan()
  while (
    scan.next(1000, (record) => {
      const size = bareBytesAt(record.bytes, record.offset)
      live += size
      bytes.set(record.map, (bytes.get(record.map) ?? 0) + size)
      counts.set(record.map, (counts.get(record.map) ?? 0) + 1)
      if (record.expiresAt !== 0) minExpiresAt = Math.min(minExpiresAt, record.expiresAt)
    })
  );
  scan.close()
  expect(store.liveBytes).toBe(live)
  expect(store.mapIds()).toEqual([...counts.keys()].sort((a, b) => a - b))
  for (const [map, count] of counts) {
    expect(store.count(map)).toBe(count)
    expect(store.mapBytes(map)).toBe(bytes.get(map))
  }
  expect(store.minExpiresAt).toBeLessThanOrEqual(minExpiresAt)
  store.audit()
}
