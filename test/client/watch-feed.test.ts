import { expect, test } from 'vitest'
import { Feed } from '../../src/client/watch-feed.ts'
import { EventKind, type WatchEvent } from '../../src/core/wire/message.ts'
import { encoded } from './fake-cluster.ts'

const NO_BYTES = new Uint8Array(0)

function event(kind: keyof typeof EventKind, seq: number, key?: string): WatchEvent {
  const bytes = key === undefined ? NO_BYTES : encoded(key)
  return { kind: EventKind[kind], cause: 0, seq, key: Buffer.from(bytes), value: Buffer.from(NO_BYTES) }
}

test('keys past the bound are forgotten all: leaves are passed on unseen, until nothing is held', () => {
  const feed = new Feed(0, true, true, true, 3)
  feed.accept(event('snapshotEnd', 1))
  for (let n = 2; n <= 4; n++) feed.accept(event('put', n, `k${n}`))
  expect(feed.heldHashes()?.length).toBe(3)
  expect(feed.accept(event('leave', 5, 'other'))).toBe(false)
  feed.accept(event('put', 6, 'k6'))
  expect(feed.heldHashes()).toBeUndefined()
  expect(feed.accept(event('leave', 7, 'other'))).toBe(true)
  expect(feed.accept(event('leave', 8, 'k2'))).toBe(true)
  feed.accept(event('put', 9, 'k9'))
  expect(feed.heldHashes()).toBeUndefined()
  feed.accept(event('clear', 10))
  feed.accept(event('put', 11, 'k11'))
  expect(feed.heldHashes()?.length).toBe(1)
  expect(feed.accept(event('leave', 12, 'k2'))).toBe(false)
})
