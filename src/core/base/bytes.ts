/**
 * Cursors over bytes: a writer that grows and a reader that never runs past its end.
 *
 * All integers are little-endian and unsigned. Every frame, record and configuration item is written and read
 * through these two classes, so a length that lies is caught in one place: a read past the end throws
 * `GridError` `MALFORMED`, whatever the bytes say.
 */

import { assert } from './assert.ts'
import { GridError } from './errors.ts'
import { isUtf8 } from './utf8.ts'

const U32 = 0x1_0000_0000

/**
 * An append-only byte buffer that doubles when it is full. What is being written is `buffer.subarray(start, length)`.
 *
 * Bytes before `start` have been handed out (to a socket, to a call that may be sent again) and never change: when
 * room runs out, only what stands after `start` moves to a new buffer.
 */
export class ByteWriter {
  buffer: Buffer
  start = 0
  length = 0

  constructor(capacity = 1024) {
    this.buffer = Buffer.allocUnsafeSlow(capacity)
  }

  /** Makes room for `count` more bytes. The buffer may be replaced: do not hold it across a call. */
  reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return
    const size = this.length - this.start
    let capacity = this.buffer.length
    while (capacity < 2 * (size + count)) capacity *= 2
    const grown = Buffer.allocUnsafeSlow(capacity)
    this.buffer.copy(grown, 0, this.start, this.length)
    this.buffer = grown
    this.start = 0
    this.length = size
  }

  u8(value: number): void {
    this.reserve(1)
    this.buffer[this.length++] = value
  }

  u16(value: number): void {
    this.reserve(2)
    putU16(this.buffer, this.length, value)
    this.length += 2
  }

  u24(value: number): void {
    this.reserve(3)
    putU24(this.buffer, this.length, value)
    this.length += 3
  }

  u32(value: number): void {
    this.reserve(4)
    putU32(this.buffer, this.length, value)
    this.length += 4
  }

  u48(value: number): void {
    this.reserve(6)
    putU48(this.buffer, this.length, value)
    this.length += 6
  }

  f64(value: number): void {
    this.reserve(8)
    this.buffer.writeDoubleLE(value, this.length)
    this.length += 8
  }

  bytes(source: Uint8Array, start = 0, end = source.length): void {
    const count = end - start
    this.reserve(count)
    if (count < 64) {
      const target = this.buffer
      let at = this.length
      for (let i = start; i < end; i++) target[at++] = source[i]!
    } else {
      this.buffer.set(
        start === 0 && end === source.length ? source : source.subarray(start, end),
        this.length,
      )
    }
    this.length += count
  }

  /** UTF-8 text after its u16 byte length. */
  text(value: string): void {
    const size = Buffer.byteLength(value)
    assert(size <= 0xffff, 'text longer than 65,535 bytes')
    this.reserve(2 + size)
    putU16(this.buffer, this.length, size)
    this.buffer.write(value, this.length + 2, 'utf8')
    this.length += 2 + size
  }

  /** Bytes after their u32 length. */
  block(value: Uint8Array): void {
    this.u32(value.length)
    this.bytes(value)
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.buffer, this.start, this.length)
  }

  /** Forgets what was written; the memory is used again. */
  clear(): void {
    this.length = this.start
  }

  /** The same, but memory beyond `keptBytes` is given back: one large content is not kept as room for ever. */
  reuse(keptBytes: number): void {
    if (this.buffer.length > keptBytes) {
      this.buffer = Buffer.allocUnsafeSlow(1024)
      this.start = 0
    }
    this.length = this.start
  }
}

/** A cursor over `[offset, end)` of a byte array. Reads past `end` throw `MALFORMED`. */
export class ByteReader {
  bytes: Buffer
  offset: number
  end: number

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = asBuffer(bytes)
    this.offset = offset
    this.end = end
  }

  /** Points this cursor at other bytes, so that one cursor can serve a whole connection. */
  reset(bytes: Uint8Array, offset = 0, end = bytes.length): this {
    this.bytes = asBuffer(bytes)
    this.offset = offset
    this.end = end
    return this
  }

  get remaining(): number {
    return this.end - this.offset
  }

  /** Moves past `count` bytes and returns where they begin. */
  skip(count: number): number {
    const at = this.offset
    if (count > this.end - at) throw truncated(count, this.end - at)
    this.offset = at + count
    return at
  }

  u8(): number {
    return this.bytes[this.skip(1)]!
  }

  u16(): number {
    return getU16(this.bytes, this.skip(2))
  }

  u24(): number {
    return getU24(this.bytes, this.skip(3))
  }

  u32(): number {
    return getU32(this.bytes, this.skip(4))
  }

  u48(): number {
    return getU48(this.bytes, this.skip(6))
  }

  f64(): number {
    return this.bytes.readDoubleLE(this.skip(8))
  }

  /** A view, not a copy, of the next `count` bytes. */
  view(count: number): Buffer {
    const at = this.skip(count)
    return this.bytes.subarray(at, at + count)
  }

  /** Throws `MALFORMED` on what is no valid UTF-8: read leniently, it could be too long to be written again. */
  text(): string {
    const size = this.u16()
    const at = this.skip(size)
    if (!isUtf8(this.bytes, at, at + size)) throw new GridError('MALFORMED', 'a text that is not valid UTF-8')
    return this.bytes.toString('utf8', at, at + size)
  }

  /** A view of bytes that stand after their u32 length. */
  block(): Buffer {
    return this.view(this.u32())
  }

  /** Throws `MALFORMED` unless everything has been read. */
  done(): void {
    if (this.offset !== this.end) throw new GridError('MALFORMED', `${this.end - this.offset} bytes too many`)
  }
}

function truncated(wanted: number, left: number): GridError {
  return new GridError('MALFORMED', `truncated: ${wanted} bytes wanted, ${left} left`)
}

/** The same memory as a `Buffer`, whose text methods are native. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function putU16(b: Uint8Array, at: number, v: number): void {
  b[at] = v
  b[at + 1] = v >>> 8
}

export function putU24(b: Uint8Array, at: number, v: number): void {
  b[at] = v
  b[at + 1] = v >>> 8
  b[at + 2] = v >>> 16
}

export function putU32(b: Uint8Array, at: number, v: number): void {
  b[at] = v
  b[at + 1] = v >>> 8
  b[at + 2] = v >>> 16
  b[at + 3] = v >>> 24
}

export function putU48(b: Uint8Array, at: number, v: number): void {
  putU32(b, at, v >>> 0)
  putU16(b, at + 4, Math.floor(v / U32))
}

export function getU16(b: Uint8Array, at: number): number {
  return b[at]! | (b[at + 1]! << 8)
}

export function getU24(b: Uint8Array, at: number): number {
  return b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16)
}

export function getU32(b: Uint8Array, at: number): number {
  return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0
}

export function getU48(b: Uint8Array, at: number): number {
  return getU32(b, at) + getU16(b, at + 4) * U32
}

/** Whether `a[aStart..aEnd)` and `b[bStart..bEnd)` hold the same bytes. */
export function equalBytes(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): boolean {
  if (aEnd - aStart !== bEnd - bStart) return false
  for (let i = aStart, j = bStart; i < aEnd; i++, j++) if (a[i] !== b[j]) return false
  return true
}
