/** Frames cut out of streams that arrive in chunks of any size, whole or damaged. */

import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../src/core/base/bytes.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { FRAME_HEADER_BYTES, FrameParser, SIGN_OF_LIFE, sealFrame } from '../../src/transport/frame.ts'

const limits = { frameBytesMax: 300_000 }

function stream(bodies: Buffer[]): Buffer {
  const out = new ByteWriter()
  for (const body of bodies) {
    const start = out.length
    out.bytes(Buffer.alloc(FRAME_HEADER_BYTES))
    out.bytes(body)
    sealFrame(out.buffer, start, out.length)
  }
  return Buffer.from(out.take())
}

function randomBodies(random: Random, count: number): Buffer[] {
  const sizes = [10, 100, 5000, 200_000]
  return Array.from({ length: count }, () => {
    const bytes = Buffer.alloc(1 + randomInt(random, sizes[randomInt(random, sizes.length)]!))
    for (let i = 0; i < bytes.length; i++) bytes[i] = randomInt(random, 256)
    return bytes
  })
}

/** Feeds `bytes` in random chunks, in memory that is overwritten after each call, as a socket's buffer is. */
function feed(random: Random, parser: FrameParser, bytes: Buffer): { bodies: Buffer[]; error: unknown } {
  const bodies: Buffer[] = []
  const chunkBytesMax = [3, 40, 3000, 65_536][randomInt(random, 4)]!
  const chunk = Buffer.alloc(chunkBytesMax)
  try {
    for (let at = 0; at < bytes.length; ) {
      const count = bytes.copy(chunk, 0, at, at + 1 + randomInt(random, chunkBytesMax))
      parser.push(chunk.subarray(0, count), (b, s, e) => bodies.push(Buffer.from(b.subarray(s, e))))
      chunk.fill(0xee)
      at += count
    }
  } catch (error) {
    return { bodies, error }
  }
  return { bodies, error: undefined }
}

function codeOf(run: () => void): string | undefined {
  try {
    run()
  } catch (error) {
    return error instanceof GridError ? error.code : String(error)
  }
  return undefined
}

describe('FrameParser', () => {
  it('finds the same frames however the stream is cut into chunks', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed)
      const bodies = randomBodies(random, 1 + randomInt(random, 12))
      const got = feed(random, new FrameParser(limits), stream(bodies))
      expect(got.error, `seed ${seed}`).toBeUndefined()
      expect(got.bodies.length).toBe(bodies.length)
      for (const [i, body] of bodies.entries()) expect(body.equals(got.bodies[i]!), `seed ${seed}`).toBe(true)
    }
  })

  it('never hands over a damaged frame', () => {
    let refused = 0
    for (let seed = 1; seed <= 300; seed++) {
      const random = seededRandom(seed)
      const bodies = randomBodies(random, 1 + randomInt(random, 5))
      const bytes = stream(bodies)
      bytes[randomInt(random, Math.min(bytes.length, 400))]! ^= 1 + randomInt(random, 255)
      const got = feed(random, new FrameParser(limits), bytes)
      expect(got.bodies.length, `seed ${seed}`).toBeLessThan(bodies.length)
      for (const [i, body] of got.bodies.entries()) expect(body.equals(bodies[i]!), `seed ${seed}`).toBe(true)
      if (got.error === undefined) continue // a length that grew: the frame is still awaited
      expect(got.error).toMatchObject({ code: 'MALFORMED' })
      refused++
    }
    expect(refused).toBeGreaterThan(200)
  })

  it('hands a frame inside a chunk over in place', () => {
    const chunk = stream([Buffer.from('one'), Buffer.from('two')])
    const seen: [boolean, string][] = []
    new FrameParser(limits).push(chunk, (bytes, start, end) =>
      seen.push([bytes === chunk, bytes.toString('utf8', start, end)]),
    )
    expect(seen).toEqual([
      [true, 'one'],
      [true, 'two'],
    ])
  })

  it('takes memory for what has arrived, not for what was claimed', () => {
    const parser = new FrameParser({ frameBytesMax: 8 << 20 })
    const head = Buffer.alloc(100)
    head.writeUInt32LE(8 << 20)
    parser.push(head, () => {})
    expect(parser.heldCapacity).toBeLessThanOrEqual(1024)
    for (let i = 0; i < 100; i++) parser.push(Buffer.alloc(1000), () => {})
    expect(parser.heldCapacity).toBeLessThanOrEqual(2 * 100_100)
  })

  it('refuses frames above the limit and wrong checksums', () => {
    const refuses = (bytes: Buffer, cut: number): string | undefined =>
      codeOf(() => {
        const parser = new FrameParser(limits)
        parser.push(bytes.subarray(0, cut), () => {})
        parser.push(bytes.subarray(cut), () => {})
      })
    const large = Buffer.alloc(8)
    large.writeUInt32LE(limits.frameBytesMax + 1)
    const wrong = stream([Buffer.from('some body')])
    wrong[4]! ^= 1
    const wrongEmpty = Buffer.from([0, 0, 0, 0, 1, 0, 0, 0])
    for (const bytes of [wrongEmpty, large, wrong])
      for (const cut of [0, 3, 8]) expect(refuses(bytes, cut)).toBe('MALFORMED')
    expect(refuses(stream([Buffer.alloc(limits.frameBytesMax)]), 5)).toBeUndefined()
  })

  it('hands over frames without a body: they are signs of life', () => {
    const bodies: string[] = []
    const parser = new FrameParser(limits)
    const bytes = Buffer.concat([stream([Buffer.from('a')]), SIGN_OF_LIFE, stream([Buffer.from('b')])])
    for (const byte of bytes)
      parser.push(Buffer.from([byte]), (body, start, end) => bodies.push(body.toString('latin1', start, end)))
    expect(bodies).toEqual(['a', '', 'b'])
  })
})
