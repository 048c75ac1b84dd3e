/** What a writer of bytes holds, wherever in its memory the bytes come to stand and whatever it has held before. */

import { expect, test } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'

const source = Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 7 + (i >>> 8)) & 0xff))
const filler = Buffer.alloc(16, 0xee)

test('bytes are copied as they are, at every alignment and of every size', () => {
  const sizes = [...Array.from({ length: 40 }, (_, i) => i), 63, 64, 119, 447, 448, 449, 1000]
  for (let before = 0; before < 8; before++)
    for (let start = 0; start < 5; start++)
      for (const size of sizes) {
        const w = new ByteWriter(64)
        w.bytes(filler, 0, before)
        w.bytes(source, start, start + size)
        w.bytes(filler, 0, 3)
        const wanted = [
          filler.subarray(0, before),
          source.subarray(start, start + size),
          filler.subarray(0, 3),
        ]
        expect(Buffer.from(w.take())).toEqual(Buffer.concat(wanted))
      }
})

test('what was handed out stays as it is, and what stands after it moves, when room runs out', () => {
  const w = new ByteWriter(32)
  w.bytes(source, 0, 20)
  const handedOut = w.buffer.subarray(0, 20)
  w.start = w.length
  w.bytes(source, 20, 28)
  w.bytes(source, 28, 100)
  w.bytes(filler, 0, 2)
  expect(handedOut).toEqual(source.subarray(0, 20))
  expect(Buffer.from(w.take())).toEqual(Buffer.concat([source.subarray(20, 100), filler.subarray(0, 2)]))
})

test('a writer that is used again gives back what a large content took, and only that', () => {
  const w = new ByteWriter(64)
  w.bytes(source, 0, 1500)
  const { buffer } = w
  w.reuse(buffer.length)
  expect([w.buffer === buffer, w.length]).toEqual([true, 0])
  w.bytes(source, 0, 1500)
  w.reuse(buffer.length - 1)
  expect(w.buffer.length).toBeLessThan(buffer.length)
  w.bytes(source, 3, 1800)
  expect(Buffer.from(w.take())).toEqual(source.subarray(3, 1800))
})
