import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { epochOf } from '../../../src/core/membership/config.ts'
import type { Item } from '../../../src/core/membership/item.ts'
import { decodeMessage, encodeMessage, messageLimits } from '../../../src/core/membership/item.ts'
import { emptyView, foldEntries } from '../../../src/core/membership/view.ts'
import { encodeValue } from '../../../src/core/wire/value.ts'
import { firstConfig, hashSecret, hex, member, message, successor } from './fixture.ts'

const first = firstConfig(0, [hex(1), hex(2)])
const next = successor(first, hex(70), {
  owner: hex(2),
  epoch: epochOf(3, 4_000_000_000),
  era: 65_535,
  reason: 'tödlich',
})

const ITEMS: Item[] = [
  {
    kind: 'genesis',
    clusterId: 'c',
    partitionCount: 2,
    backups: 1,
    minInSync: 1,
    gen: 1,
    evidence: '',
    configs: [first, firstConfig(1, [hex(3)])],
  },
  { kind: 'config', next },
  { kind: 'lost', next, forced: true },
  { kind: 'heal', state: next, onto: first.id },
  { kind: 'member', info: member(1, { state: 'leaving', zone: 'z' }) },
  { kind: 'remove', member: hex(1), proof: 'certificate', secret: 's' },
  { kind: 'map', name: 'm', config: { ttlMs: 5, eviction: { policy: 'lru', maxEntries: 7 } } },
  { kind: 'map', name: 'n', config: {} },
  { kind: 'target', roster: 'r', table: [[hex(1), hex(2)], [hex(2)], []] },
  { kind: 'boot', id: hex(7), prev: hex(8), evidence: 'e' },
  { kind: 'report', boot: hex(7) },
  { kind: 'thaw', boot: hex(7) },
]

function encoded(value: unknown): Uint8Array {
  const w = new ByteWriter()
  encodeValue(w, value, messageLimits)
  return w.take()
}

test('every kind of item comes back as it was', () => {
  expect(decodeMessage(encodeMessage(message(ITEMS)))).toEqual(message(ITEMS))
})

test('options that are undefined are left out', () => {
  const items: Item[] = [
    {
      kind: 'map',
      name: 'm',
      config: { ttlMs: undefined, eviction: { policy: 'lfu', maxBytes: undefined } },
    },
    { kind: 'remove', member: hex(1), proof: 'left', secret: undefined },
  ]
  const back = decodeMessage(encodeMessage(message(items)))!
  expect(Object.keys((back.items[0] as { config: object }).config)).toEqual(['eviction'])
  expect(back.items[1]).toEqual(items[1])
})

describe('what is not known or not right', () => {
  test('an item of an unknown kind or wrong shape is kept as ignored, and the others count', () => {
    const wire = {
      ...message([]),
      items: [
        { kind: 'from the future', x: 1 },
        7,
        { kind: 'report', boot: 5 },
        { kind: 'config', next: new Uint8Array([1, 2, 3]) },
        { kind: 'heal', state: 'text', onto: hex(1) },
        { kind: 'member', info: { ...member(1), state: 'gone' } },
        { kind: 'member', info: { ...member(1), id: 'not hex' } },
        { kind: 'map', name: '', config: {} },
        { kind: 'map', name: 'm', config: { ttlMs: -1 } },
        { kind: 'thaw', boot: 'b' },
      ],
    }
    const back = decodeMessage(encoded(wire))!
    const malformed = { kind: 'ignored', reason: 'malformed' }
    expect(back.items).toEqual([
      { kind: 'ignored', reason: 'unknown' },
      ...Array.from({ length: 8 }, () => malformed),
      { kind: 'thaw', boot: 'b' },
    ])
  })

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['noise', new Uint8Array([0xc1, 0xff, 0x93])],
    ['no object', encoded(null)],
    ['another version', encoded({ ...message([]), v: 2 })],
    ['no items', encoded({ ...message([]), items: 1 })],
    ['no sender', encoded({ ...message([]), by: 'x' })],
    ['a truncated message', encodeMessage(message(ITEMS)).subarray(0, -1)],
  ])('a message that is %s is counted by the fold and changes nothing else', (_, bytes) => {
    expect(decodeMessage(bytes)).toBeUndefined()
    const view = foldEntries(emptyView, [{ seq: 5, bytes }], hashSecret)
    expect(view).toEqual({ ...emptyView, version: 5, ignored: { ...emptyView.ignored, malformed: 1 } })
  })

  test('no damage to one byte makes the decoder fail in another way', () => {
    const bytes = encodeMessage(message(ITEMS))
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at] = damaged[at]! ^ 0x55
      const back = decodeMessage(damaged)
      if (back) expect(back.v).toBe(1)
    }
  })
})

test('a founding with 16,384 partitions and 100 members fits into a megabyte', () => {
  const configs = Array.from({ length: 16_384 }, (_, p) =>
    firstConfig(p, [hex(p % 100), hex((p + 1) % 100), hex((p + 2) % 100)]),
  )
  const founding: Item = {
    kind: 'genesis',
    clusterId: 'c',
    partitionCount: 16_384,
    backups: 2,
    minInSync: 1,
    gen: 1,
    evidence: '',
    configs,
  }
  const bytes = encodeMessage(message([founding]))
  expect(bytes.length).toBeLessThan(1_000_000)
  expect(decodeMessage(bytes)!.items[0]).toEqual(founding)
})
