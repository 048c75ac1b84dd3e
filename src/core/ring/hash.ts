/**
 * Where a key lives: MurmurHash3 x86_32 (Austin Appleby, smhasher, public domain) of its encoded bytes, seed 0.
 *
 * Clients and members of every version must agree on it, so it never changes. It spreads keys, it does not
 * protect: whoever chooses keys freely can aim them all at one partition.
 */

/** The hash of `bytes[start..end)`, an unsigned 32-bit integer. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0
  const tail = start + ((end - start) & ~3)
  for (let at = start; at < tail; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    hash ^= mixed(word)
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  let rest = 0
  for (let at = end - 1; at >= tail; at--) rest = (rest << 8) | bytes[at]!
  hash ^= mixed(rest) ^ (end - start)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function mixed(word: number): number {
  word = Math.imul(word, 0xcc9e2d51)
  word = (word << 15) | (word >>> 17)
  return Math.imul(word, 0x1b873593)
}

/** The partition, in [0, partitionCount), of a key with this hash. */
export function partitionOf(hash: number, partitionCount: number): number {
  return hash % partitionCount
}
