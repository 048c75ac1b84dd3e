/**
 * Text from outside: only bytes that are valid UTF-8 become a string.
 *
 * A lenient decoder puts U+FFFD, three bytes, where it finds a wrong one. The text then differs from what was sent, and
 * may no longer fit into the length field that it came with.
 */

/** Whether `b[at..end)` is valid UTF-8 (Unicode 16, table 3-7): no overlong form, no surrogate, nothing cut short. */
export function isUtf8(b: Uint8Array, at: number, end: number): boolean {
  while (at < end) {
    // Most of it is ASCII, which is seen for four bytes at once.
    while (end - at >= 4 && (b[at]! | b[at + 1]! | b[at + 2]! | b[at + 3]!) < 0x80) at += 4
    if (at === end) return true
    const lead = b[at++]!
    if (lead < 0x80) continue
    if (lead < 0xc2 || lead > 0xf4) return false
    const more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3
    if (end - at < more) return false
    const second = b[at]!
    const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
    const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
    if (second < low || second > high) return false
    for (let i = 1; i < more; i++) if ((b[at + i]! & 0xc0) !== 0x80) return false
    at += more
  }
  return true
}
