/**
 * Several paths, found in one pass over a stored value.
 *
 * The paths become a tree of member names; `locate` walks the value's MessagePack bytes once, compares names in
 * place, skips what nobody asked for and writes down where each wanted value begins. It stops as soon as all
 * have been seen. Every value that it reports lies whole within the bounds, so that whoever reads it next need not
 * check again. Where one object holds a name twice, the first counts; our encoder never writes that.
 */

import { countAt, headSize, isObject, malformed, nameEnd, nameStart, skipValue } from './compare.ts'

/** A member name on the way to one or more wanted values. */
export class PathNode {
  readonly name: Buffer
  readonly size: number
  readonly children: PathNode[] = []
  /** Where the offset of this member's own value goes, or -1. */
  slot = -1

  constructor(name: Buffer) {
    this.name = name
    this.size = name.length
  }
}

export class PathTree {
  readonly root = new PathNode(Buffer.alloc(0))
  /** Number of different paths. */
  size = 0

  /** Adds a path; the same one twice gives the same slot. */
  add(path: readonly string[]): number {
    let node = this.root
    for (const segment of path) {
      const name = Buffer.from(segment)
      let child = node.children.find((other) => other.name.equals(name))
      if (child === undefined) {
        child = new PathNode(name)
        node.children.push(child)
      }
      node = child
    }
    if (node.slot < 0) node.slot = this.size++
    return node.slot
  }

  /**
   * Writes the offset of each wanted value to `slots`, or -1 where it is missing. Throws `MALFORMED` when the bytes
   * between `start` and `end` are cut short on the way to a wanted value.
   */
  locate(bytes: Buffer, start: number, end: number, slots: Int32Array): void {
    const size = this.size
    for (let i = 0; i < size; i++) slots[i] = -1
    if (size === 0) return
    if (start >= end) throw malformed()
    if (isObject(bytes[start]!)) walk(this.root, bytes, start, end, slots, true)
  }
}

/** Returns where the object at `at` ends; when `last`, nobody asks, and the walk stops at the last wanted member. */
function walk(
  node: PathNode,
  bytes: Buffer,
  at: number,
  end: number,
  slots: Int32Array,
  last: boolean,
): number {
  let members = bytes[at]! & 0x0f
  let left = node.children.length
  if (bytes[at]! >= 0x90) {
    const body = at + headSize(bytes[at]!)
    if (body > end) throw malformed()
    members = countAt(bytes, at)
    at = body
  } else at++
  for (; members > 0 && left > 0; members--) {
    // Short names in line: two calls for each member would be a third of all the work.
    if (at >= end) throw malformed()
    const head = bytes[at]!
    let from = at + 1
    if ((head & 0xe0) === 0xa0) {
      at = from + (head & 0x1f)
      if (at >= end) throw malformed()
    } else {
      from = nameStart(bytes, at, end)
      at = nameEnd(bytes, at, end)
    }
    const found = childAt(node, bytes, from, at)
    if (found === undefined) at = skipValue(bytes, at, end)
    else {
      left--
      const stop = last && left === 0
      at = visit(found, bytes, at, end, slots, stop)
      if (stop) return at
    }
  }
  if (!last) for (members *= 2; members > 0; members--) at = skipValue(bytes, at, end)
  return at
}

function visit(
  node: PathNode,
  bytes: Buffer,
  at: number,
  end: number,
  slots: Int32Array,
  last: boolean,
): number {
  if (node.slot >= 0) {
    slots[node.slot] = at
    last = false
  }
  const descends = node.children.length > 0 && isObject(bytes[at]!)
  return descends ? walk(node, bytes, at, end, slots, last) : skipValue(bytes, at, end)
}

/** The member whose name stands in `bytes[from..to)`. */
export function childAt(node: PathNode, bytes: Buffer, from: number, to: number): PathNode | undefined {
  const children = node.children
  for (let i = 0; i < children.length; i++) {
    const child = children[i]!
    if (child.size === to - from && isAt(bytes, from, child)) return child
  }
  return undefined
}

function isAt(bytes: Buffer, at: number, node: PathNode): boolean {
  const name = node.name
  for (let i = node.size - 1; i >= 0; i--) if (bytes[at + i] !== name[i]) return false
  return true
}
