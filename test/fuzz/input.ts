/** The buffer in the middle of which every input stands, between bytes that a decoder has no business with. */

/** No input is longer, and few come near. */
export const INPUT_BYTES_MAX = 64 * 1024
/** Bytes before and after the input, of which the nearest are set. */
const MARGIN = 64
const SET_BYTES = 16
/** Below this a loop is faster than a native copy. */
const LOOP_BYTES = 96

export class Input {
  readonly buffer = Buffer.alloc(INPUT_BYTES_MAX + 2 * MARGIN)
  readonly start = MARGIN
  end = MARGIN

  get size(): number {
    return this.end - this.start
  }

  get bytes(): Buffer {
    return this.buffer.subarray(this.start, this.end)
  }

  set(bytes: Uint8Array): void {
    const { buffer, start } = this
    const size = bytes.length
    if (size <= LOOP_BYTES) for (let i = 0; i < size; i++) buffer[start + i] = bytes[i]!
    else buffer.set(bytes, start)
    this.end = start + size
  }

  /** Makes a gap of `count` bytes. */
  open(at: number, count: number): void {
    this.buffer.copyWithin(at + count, at, this.end)
    this.end += count
  }

  /** Takes `count` bytes out. */
  close(at: number, count: number): void {
    this.buffer.copyWithin(at, at + count, this.end)
    this.end -= count
  }

  /** Puts `part` in place of `count` bytes, if the whole is then no larger than `sizeMax`. */
  replace(at: number, count: number, part: Uint8Array, from: number, to: number, sizeMax: number): boolean {
    const grown = to - from - count
    if (at + count > this.end || this.size + grown > sizeMax) return false
    if (grown > 0) this.open(at + count, grown)
    else this.close(at + count + grown, -grown)
    for (let i = from, j = at; i < to; i++, j++) this.buffer[j] = part[i]!
    return true
  }

  /** Sets what stands before and after. */
  surround(byte: number): void {
    const { buffer, start, end } = this
    for (let i = 0; i < SET_BYTES; i++) {
      buffer[start - 1 - i] = byte
      buffer[end + i] = byte
    }
  }
}
