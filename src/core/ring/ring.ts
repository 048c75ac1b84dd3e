/**
 * A consistent-hash ring with virtual nodes (Karger et al., STOC 1997): each member stands at many points of a circle,
 * and a partition meets members in the order of the points that follow its own.
 *
 * The order of candidates depends on nothing but the ids, so it is the same everywhere, and a member that comes or
 * goes does not change the order of the others. How many partitions a member may take is not decided here
 * (share.ts); a member that has its share is closed and passed by, as in consistent hashing with bounded loads
 * (Mirrokni, Thorup, Zadimoghaddam, 2016).
 */

import { hashBytes } from './hash.ts'

/** More points spread the candidates better; shares are exact whatever their number. */
const POINTS_PER_MEMBER = 64

export class Ring {
  /** Where the points stand, ascending, and whose they are. */
  private readonly positions: Uint32Array
  private readonly members: Uint16Array
  /** The first point at or after this one that may still be open, or the number of points. */
  private readonly next: Uint32Array
  private readonly closed: Uint8Array

  /** `ids` are the members; from here on they are known by their index. */
  constructor(ids: readonly string[]) {
    const keys = new Float64Array(ids.length * POINTS_PER_MEMBER)
    for (let member = 0, at = 0; member < ids.length; member++)
      for (let point = 0; point < POINTS_PER_MEMBER; point++)
        keys[at++] = hashText(`${ids[member]!}:${point}`) * 0x1_0000 + member
    keys.sort()
    this.positions = Uint32Array.from(keys, (key) => Math.floor(key / 0x1_0000))
    this.members = Uint16Array.from(keys, (key) => key % 0x1_0000)
    this.next = Uint32Array.from(keys, (_, i) => i)
    this.closed = new Uint8Array(ids.length)
  }

  /** Passes by a member from now on. */
  close(member: number): void {
    this.closed[member] = 1
  }

  /** The first open member from a partition's point on that is accepted, or -1. */
  find(partition: number, accepts: (member: number) => boolean): number {
    const start = this.firstFrom(hashText(`partition ${partition}`))
    for (const [from, to] of [
      [start, this.members.length],
      [0, start],
    ] as const)
      for (let at = this.open(from); at < to; at = this.open(at + 1)) {
        const member = this.members[at]!
        if (accepts(member)) return member
      }
    return -1
  }

  /** The point at or after `at` whose member is open; paths are halved, so that runs of closed ones cost once. */
  private open(at: number): number {
    const { next, members, closed } = this
    while (at < members.length) {
      const to = next[at]!
      if (to !== at) {
        if (to < members.length) next[at] = next[to]!
        at = to
      } else if (closed[members[at]!]) {
        next[at] = at + 1
        at++
      } else return at
    }
    return at
  }

  private firstFrom(position: number): number {
    let low = 0
    let high = this.positions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.positions[middle]! < position) low = middle + 1
      else high = middle
    }
    return low
  }
}

export function hashText(text: string): number {
  const bytes = Buffer.from(text)
  return hashBytes(bytes, 0, bytes.length)
}
