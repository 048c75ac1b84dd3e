/**
 * Projections: the `select` of queries and watches, a list of paths.
 *
 * A row keeps just the selected members, nested as they were and in the order in which they were stored. Bytes are
 * copied, not decoded. What is missing is left out, and so is an object of which nothing was selected; a value that
 * is no object becomes an empty one. Where one path begins another, the shorter one wins.
 */

import type { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { countAt, headSize, isObject, malformed, nameEnd, nameStart, skipValue } from './compare.ts'
import type { DeepPath, IsLoose, Path } from './path.ts'
import { kindName, parsePath } from './path.ts'
import type { PathNode } from './path-tree.ts'
import { childAt, PathTree } from './path-tree.ts'

const SELECT_PATHS_MAX = 256

/** Paths into a `V`: `['site', 'at.zone']`. At most 256. */
export type Select<V = unknown> = readonly (IsLoose<V> extends true ? string : Path<V> | DeepPath)[]

/** Writes the selected part of stored values. */
export interface Projection {
  /**
   * Appends the selected part of the value in `bytes[start..end)` to `out`, which must not be where `bytes` are.
   * Throws `MALFORMED`, and leaves `out` as it was, where the bytes are cut short.
   */
  project(bytes: Buffer, start: number, end: number, out: ByteWriter): void
}

const identity: Projection = {
  project: (bytes, start, end, out) => out.bytes(bytes, start, end),
}

/** Compiles `select`; undefined copies whole values, `[]` leaves nothing but `{}`. Throws `BAD_FILTER`. */
export function compileProjection(select: unknown): Projection {
  if (select === undefined) return identity
  if (!Array.isArray(select)) throw refused(`a list of paths is wanted, not ${kindName(select)}`)
  if (select.length > SELECT_PATHS_MAX) throw refused(`at most ${SELECT_PATHS_MAX} paths can be selected`)
  const tree = new PathTree()
  for (const path of select as unknown[]) {
    if (typeof path !== 'string') throw refused(`a path is a string, not ${kindName(path)}`)
    tree.add(parsePath(path, 'BAD_FILTER', 'select'))
  }
  return {
    project(bytes, start, end, out) {
      const offset = out.length - out.start
      try {
        if (start >= end) throw malformed()
        if (isObject(bytes[start]!)) copyMembers(tree.root, bytes, start, end, out)
        else out.u8(0x80)
      } catch (error) {
        out.length = out.start + offset
        throw error
      }
    },
  }
}

/** Copies the wanted members of the object at `at`; returns where it ends. */
function copyMembers(node: PathNode, bytes: Buffer, at: number, end: number, out: ByteWriter): number {
  // The writer may move to another buffer: only a distance from its start holds.
  const offset = out.length - out.start
  const wide = node.children.length > 0x0f
  out.reserve(3)
  out.length += wide ? 3 : 1
  const body = at + headSize(bytes[at]!)
  if (body > end) throw malformed()
  let members = countAt(bytes, at)
  let copied = 0
  for (at = body; members > 0; members--) {
    const key = at
    const from = nameStart(bytes, at, end)
    const value = nameEnd(bytes, at, end)
    const child = copied < node.children.length ? childAt(node, bytes, from, value) : undefined
    if (child === undefined) at = skipValue(bytes, value, end)
    else if (child.slot >= 0) {
      at = skipValue(bytes, value, end)
      out.bytes(bytes, key, at)
      copied++
    } else if (isObject(bytes[value]!)) {
      const before = out.length - out.start
      out.bytes(bytes, key, value)
      const inner = out.length - out.start
      at = copyMembers(child, bytes, value, end, out)
      if (out.length - out.start === inner + 1) out.length = out.start + before
      else copied++
    } else at = skipValue(bytes, value, end)
  }
  writeHead(out, out.start + offset, copied, wide)
  return at
}

/** Sets the header for which room was left, in its smallest form. */
function writeHead(out: ByteWriter, at: number, count: number, wide: boolean): void {
  const b = out.buffer
  if (count > 0x0f) {
    b[at] = 0xde
    b[at + 1] = count >>> 8
    b[at + 2] = count
    return
  }
  if (wide) {
    b.copyWithin(at + 1, at + 3, out.length)
    out.length -= 2
  }
  b[at] = 0x80 | count
}

function refused(reason: string): GridError {
  return new GridError('BAD_FILTER', `select: ${reason}`)
}
