/**
 * A way around a fault of msgpackr 2.1: without its optional native part it reads texts over 64 bytes with a
 * `TextDecoder` that drops a leading byte order mark (U+FEFF), so what was stored would come back changed.
 *
 * Doubling the mark makes the decoder drop the right one. Only values that hold those three bytes come here.
 */

/** U+FEFF in UTF-8. */
const BYTE_ORDER_MARK: Uint8Array = Uint8Array.of(0xef, 0xbb, 0xbf)
/** Longer texts are read by the `TextDecoder`. */
const SHORT_TEXT_BYTES_MAX = 64

/** Bytes before the payload of each token from 0xc0 to 0xdf. */
const HEADER_BYTES = Uint8Array.of(
  ...[1, 1, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9],
  ...[2, 3, 5, 9, 3, 4, 6, 10, 18, 2, 3, 5, 3, 5, 3, 5],
)

/** Whether the first `size` bytes hold the mark anywhere, in a text or by chance. */
export function hasByteOrderMark(bytes: Uint8Array, size: number): boolean {
  let at = bytes.indexOf(0xef)
  while (at >= 0 && at < size && !startsWithMark(bytes, at)) at = bytes.indexOf(0xef, at + 1)
  return at >= 0 && at < size
}

/** A copy of the well-formed value in `bytes[start..end)` in which every long text's leading mark stands twice. */
export function doubleByteOrderMarks(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const parts: Uint8Array[] = []
  let copied = start
  let at = start
  while (at < end) {
    const token = bytes[at]!
    const header = at
    at += token >= 0xc0 && token < 0xe0 ? HEADER_BYTES[token - 0xc0]! : 1
    const text = at
    const size = payloadBytes(bytes, header, token)
    at += size
    if (token < 0xd9 || token > 0xdb || size <= SHORT_TEXT_BYTES_MAX || !startsWithMark(bytes, text)) continue
    const grown = Uint8Array.of(0xdb, 0, 0, 0, 0, ...BYTE_ORDER_MARK)
    new DataView(grown.buffer).setUint32(1, size + BYTE_ORDER_MARK.length)
    parts.push(bytes.subarray(copied, header), grown)
    copied = text
  }
  parts.push(bytes.subarray(copied, end))
  const doubled = Buffer.concat(parts)
  return new Uint8Array(doubled.buffer, doubled.byteOffset, doubled.length)
}

/** Bytes of a text, binary or extension after its header. Containers have none: their elements are tokens too. */
function payloadBytes(b: Uint8Array, at: number, token: number): number {
  if (token >= 0xa0 && token < 0xc0) return token & 0x1f
  const width =
    token >= 0xd9 && token <= 0xdb ? token - 0xd9 : token >= 0xc4 && token <= 0xc9 ? (token - 0xc4) % 3 : 3
  if (width === 0) return b[at + 1]!
  if (width === 1) return (b[at + 1]! << 8) | b[at + 2]!
  if (width === 2) return ((b[at + 1]! << 24) | (b[at + 2]! << 16) | (b[at + 3]! << 8) | b[at + 4]!) >>> 0
  return 0
}

function startsWithMark(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf
}
