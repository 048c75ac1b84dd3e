/**
 * Operands of a filter, prepared once so that each record is tested without decoding or allocating.
 *
 * An operand keeps its MessagePack bytes; a scalar is compared with those. Arrays keep their elements and objects
 * their members sorted by name, so that an equal object is found whatever the order of its members, in
 * O(n log n) and not O(n²): a filter comes from outside.
 */

import { ByteWriter } from '../base/bytes.ts'
import type { Limits } from '../base/limits.ts'
import { encodeValue } from '../wire/value.ts'
import { compareSpans, compareValues, countAt, headSize, Kind, kindAt, skipValue } from './compare.ts'

export interface Operand {
  readonly kind: number
  /** The encoded value stands in `bytes[at..end)`; the text of a string begins at `payload`. */
  readonly bytes: Buffer
  readonly at: number
  readonly payload: number
  readonly end: number
  /** Elements of an array, or members of an object in the order of `names`. */
  readonly parts: readonly Operand[]
  /** Names of an object's members as UTF-8, sorted. */
  readonly names: readonly Buffer[]
}

/** Encodes `value`, which has been checked to be storable, and prepares it. */
export function prepareOperand(value: unknown, limits: Limits): Operand {
  const w = new ByteWriter(64)
  encodeValue(w, value, limits)
  return operandAt(w.buffer, w.start, w.length)
}

function operandAt(bytes: Buffer, at: number, end: number): Operand {
  const kind = kindAt(bytes, at)
  const payload = at + headSize(bytes[at]!)
  const operand = { kind, bytes, at, payload, end, parts: [], names: [] }
  if (kind !== Kind.array && kind !== Kind.object) return operand
  const members: { name: Buffer; part: Operand }[] = []
  for (let next = payload; next < end; ) {
    const start = kind === Kind.object ? skipValue(bytes, next, end) : next
    const name = bytes.subarray(Math.min(next + headSize(bytes[next]!), start), start)
    next = skipValue(bytes, start, end)
    members.push({ name, part: operandAt(bytes, start, next) })
  }
  if (kind === Kind.object) members.sort((a, b) => Buffer.compare(a.name, b.name))
  return { ...operand, parts: members.map((m) => m.part), names: members.map((m) => m.name) }
}

/** Whether the stored value at `at` equals the operand, deeply. */
export function equalsOperand(operand: Operand, bytes: Buffer, at: number, end: number): boolean {
  if (kindAt(bytes, at) !== operand.kind) return false
  if (operand.kind < Kind.array) return compareOperand(operand, bytes, at, end) === 0
  const count = countAt(bytes, at)
  if (count !== operand.parts.length) return false
  at += headSize(bytes[at]!)
  for (let i = 0; i < count; i++) {
    let part = operand.parts[i]!
    if (operand.kind === Kind.object) {
      const found = memberOf(operand, bytes, at)
      if (found === undefined) return false
      part = found
      at = skipValue(bytes, at, end)
    }
    if (!equalsOperand(part, bytes, at, end)) return false
    at = skipValue(bytes, at, end)
  }
  return true
}

/** The operand's member whose name stands at `at`. */
function memberOf(operand: Operand, bytes: Buffer, at: number): Operand | undefined {
  if (kindAt(bytes, at) !== Kind.string) return undefined
  const from = at + headSize(bytes[at]!)
  const to = from + countAt(bytes, at)
  let low = 0
  let high = operand.names.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const name = operand.names[middle]!
    const order = compareSpans(bytes, from, to, name, 0, name.length)
    if (order === 0) return operand.parts[middle]
    if (order < 0) high = middle
    else low = middle + 1
  }
  return undefined
}

/** How the stored value at `at` stands to the operand in the total order: negative, 0 or positive. */
export function compareOperand(operand: Operand, bytes: Buffer, at: number, end: number): number {
  return compareValues(bytes, at, end, operand.bytes, operand.at, operand.end)
}

/** Many operands to look one value up in: scalars by binary search, arrays and objects one by one. */
export class OperandSet {
  private readonly scalars: readonly Operand[]
  private readonly containers: readonly Operand[]

  constructor(operands: readonly Operand[]) {
    this.scalars = operands
      .filter((operand) => operand.kind < Kind.array)
      .sort((a, b) => compareOperand(b, a.bytes, a.at, a.end))
    this.containers = operands.filter((operand) => operand.kind >= Kind.array)
  }

  has(bytes: Buffer, at: number, end: number): boolean {
    if (kindAt(bytes, at) >= Kind.array) {
      for (const operand of this.containers) if (equalsOperand(operand, bytes, at, end)) return true
      return false
    }
    let low = 0
    let high = this.scalars.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const order = compareOperand(this.scalars[middle]!, bytes, at, end)
      if (order === 0) return true
      if (order < 0) high = middle
      else low = middle + 1
    }
    return false
  }
}
