/** The stream of a connection: the hello and the frames, whole and cut into chunks at any place. */

import { crc32 } from 'node:zlib'
import { type ByteWriter, getU32, putU32 } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { FRAME_HEADER_BYTES, FrameParser, SIGN_OF_LIFE, sealFrame } from '../../../src/transport/frame.ts'
import { encodeHello, HelloReader, type PeerHello } from '../../../src/transport/hello.ts'
import { Broken, type Decoder, decoder, REFUSED } from '../decoder.ts'
import { A, B } from './seed.ts'

function frame(body: string | Uint8Array): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), Buffer.from(body)])
  sealFrame(bytes, 0, bytes.length)
  return bytes
}

/** Sets the checksums of all frames that lie whole in the input. */
function sealAll(bytes: Buffer, start: number, end: number): void {
  for (let at = start; end - at >= FRAME_HEADER_BYTES; ) {
    const body = at + FRAME_HEADER_BYTES
    const next = body + getU32(bytes, at)
    if (next > end) return
    putU32(bytes, at + 4, crc32(bytes.subarray(body, next)))
    at = next
  }
}

interface Stream {
  readonly bodies: Buffer[]
  readonly error: string
  readonly held: number
}

/** What becomes of a stream in chunks of the sizes that `nextSize` gives. */
function parse(bytes: Buffer, start: number, end: number, nextSize: (at: number) => number): Stream {
  const parser = new FrameParser(defaultLimits)
  const bodies: Buffer[] = []
  let error = ''
  try {
    for (let at = start; at < end; ) {
      const next = Math.min(end, at + Math.max(1, nextSize(at)))
      // Only what is in the chunk: the parser must not look beside it.
      parser.push(bytes.subarray(at, next), (body, from, to) =>
        bodies.push(Buffer.from(body.subarray(from, to))),
      )
      at = next
    }
  } catch (thrown) {
    if (thrown instanceof Error) error = thrown.message
  }
  return { bodies, error, held: parser.heldCapacity }
}

function same(a: Stream, b: Stream): boolean {
  return (
    a.error === b.error &&
    a.bodies.length === b.bodies.length &&
    a.bodies.every((x, i) => x.equals(b.bodies[i]!))
  )
}

/** A length that lies must not make the parser hold more than has arrived. */
function checkHeld(stream: Stream, size: number): void {
  if (stream.held > Math.max(1024, 2 * size))
    throw new Broken(`frame: holds ${stream.held} for ${size} bytes`)
}

const FRAMES = [
  frame('a'),
  frame('body of a frame'),
  Buffer.concat([frame('one'), frame('two'), frame('three')]),
  Buffer.concat([SIGN_OF_LIFE, frame('one'), SIGN_OF_LIFE, SIGN_OF_LIFE]),
  Buffer.concat([frame(Buffer.alloc(300, 7)), frame('after')]),
  frame(Buffer.alloc(20_000, 1)),
]

const HELLOS = [
  encodeHello({ role: 'client', cluster: 'green', id: A }),
  encodeHello({ role: 'member', cluster: 'a cluster of another name', id: B }, 4),
  encodeHello({ role: 'member', cluster: 'ü', id: A }),
  encodeHello({ role: 'client', cluster: 'x'.repeat(255), id: B }),
]

/** The hello and how many bytes after it there are. */
function readHello(bytes: Buffer, start: number, end: number, chunk: number): PeerHello & { rest: number } {
  const reader = new HelloReader('peer')
  for (let at = start; at < end; at += chunk) {
    const hello = reader.push(bytes.subarray(at, Math.min(end, at + chunk)))
    if (hello !== undefined) return { ...hello, rest: at + reader.rest }
  }
  throw REFUSED
}

function outcome(read: () => { readonly rest: number }): string {
  try {
    return String(read().rest)
  } catch (error) {
    return (error as Error).message
  }
}

export const frameDecoders: readonly Decoder[] = [
  decoder({
    name: 'frame',
    seeds: () => FRAMES,
    repair: sealAll,
    decode(bytes, start, end) {
      const size = end - start
      const whole = parse(bytes, start, end, () => size)
      checkHeld(whole, size)
      // A size that depends on the bytes, so that the same input is cut in the same places.
      const chunked = parse(bytes, start, end, (at) => 1 + ((bytes[at]! ^ size) & 15))
      checkHeld(chunked, size)
      if (!same(whole, chunked)) throw new Broken('frame: another answer where the stream was cut otherwise')
      if (whole.error !== '' && !whole.error.startsWith('MALFORMED'))
        throw new Broken(`frame: ${whole.error}`)
      if (whole.bodies.length === 0) throw REFUSED
      return whole.bodies
    },
    encode(bodies, w: ByteWriter) {
      for (const body of bodies) w.bytes(frame(body))
    },
    ownBytes: 512 * 1024,
  }),
  decoder({
    name: 'frame-boundaries',
    seeds: () => FRAMES.slice(0, 5),
    repair: sealAll,
    decode(bytes, start, end) {
      if (end - start > 400) throw REFUSED
      const whole = parse(bytes, start, end, () => end - start)
      for (let cut = start + 1; cut < end; cut++) {
        const two = parse(bytes, start, end, (at) => (at < cut ? cut - at : end - at))
        if (!same(whole, two))
          throw new Broken(`frame: another answer where the stream was cut at ${cut - start}`)
      }
      if (whole.bodies.length === 0) throw REFUSED
      return undefined
    },
    ownBytes: 4 * 1024 * 1024,
    weight: 0.5,
  }),
  decoder({
    name: 'hello',
    codes: ['MALFORMED', 'PROTOCOL_VERSION'],
    seeds: () => [...HELLOS, ...HELLOS.map((hello) => Buffer.concat([hello, frame('first')]))],
    decode(bytes, start, end) {
      const whole = outcome(() => readHello(bytes, start, end, end - start))
      const chunked = outcome(() => readHello(bytes, start, end, 1 + (bytes[start]! & 31)))
      if (whole !== chunked) throw new Broken(`hello: ${whole}, but ${chunked} in chunks`)
      const { rest: _, ...hello } = readHello(bytes, start, end, end - start)
      return hello
    },
    encode: (hello, w: ByteWriter) => w.bytes(encodeHello(hello, hello.status)),
  }),
]
