/**
 * The parts of a MessagePack value, as pairs of offsets: what may be cut out of one valid input and put into another
 * without breaking either. Written apart from the product's own walkers, for it must not share their faults.
 */

export class Parts {
  /** Begin and end of every value, the whole first. */
  readonly values: number[] = []
  /** Begin and end of every member's name. */
  readonly names: number[] = []
  /** Begin and end of every member: its name and its value. */
  readonly members: number[] = []
  /** Begin and end of every object with room for one more member in its head. */
  readonly objects: number[] = []

  /** Of the value at `at`; none where that is negative. */
  constructor(bytes: Uint8Array, at: number) {
    if (at >= 0) this.#value(bytes, at)
  }

  #value(b: Uint8Array, at: number): number {
    const place = this.values.length
    this.values.push(at, 0)
    const { next, elements, members } = head(b, at)
    let end = next
    for (let i = 0; i < elements; i++) end = this.#value(b, end)
    for (let i = 0; i < members; i++) end = this.#member(b, end)
    this.values[place + 1] = end
    if (b[at]! >= 0x80 && b[at]! < 0x8f) this.objects.push(at, end)
    return end
  }

  #member(b: Uint8Array, at: number): number {
    const { next } = head(b, at)
    const end = this.#value(b, next)
    this.names.push(at, next)
    this.members.push(at, end)
    return end
  }
}

interface Head {
  /** Where the first part, or what follows, begins. */
  readonly next: number
  readonly elements: number
  readonly members: number
}

function head(b: Uint8Array, at: number): Head {
  const token = b[at] ?? 0xc0
  const width = (token: number, first: number): number => 1 << (token - first)
  const size = (bytes: number): number => Buffer.from(b).readUIntBE(at + 1, bytes)
  const leaf = (bytes: number): Head => ({ next: at + bytes, elements: 0, members: 0 })
  if (token < 0x80 || token >= 0xe0) return leaf(1)
  if (token < 0x90) return { next: at + 1, elements: 0, members: token & 0x0f }
  if (token < 0xa0) return { next: at + 1, elements: token & 0x0f, members: 0 }
  if (token < 0xc0) return leaf(1 + (token & 0x1f))
  if (token < 0xc4) return leaf(1)
  if (token < 0xc7) return leaf(1 + width(token, 0xc4) + size(width(token, 0xc4)))
  if (token < 0xca) return leaf(2 + width(token, 0xc7) + size(width(token, 0xc7)))
  if (token < 0xcc) return leaf(1 + 4 * width(token, 0xca))
  if (token < 0xd0) return leaf(1 + width(token, 0xcc))
  if (token < 0xd4) return leaf(1 + width(token, 0xd0))
  if (token < 0xd9) return leaf(2 + width(token, 0xd4))
  if (token < 0xdc) return leaf(1 + width(token, 0xd9) + size(width(token, 0xd9)))
  const bytes = token === 0xdc || token === 0xde ? 2 : 4
  const count = size(bytes)
  return { next: at + 1 + bytes, elements: token < 0xde ? count : 0, members: token < 0xde ? 0 : count }
}
