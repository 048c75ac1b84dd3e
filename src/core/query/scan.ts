/**
 * Filters over stored bytes: a `where` document becomes a tree of small tests that read MessagePack in place.
 *
 * One pass finds the wanted members ({@link PathTree}), then the tests run on their offsets, cheapest form first: a
 * number is compared as a number, a string as UTF-8 bytes, and only bigints beyond 2^53 allocate. Nothing is
 * decoded, nothing is evaluated as code. That is what lets an owner filter tens of millions of records a second
 * where decoding comes to about two.
 */

import type { Limits } from '../base/limits.ts'
import { defaultLimits } from '../base/limits.ts'
import {
  countAt,
  headSize,
  Kind,
  kindAt,
  Outcome,
  outcomeOfBigInt,
  outcomeOfFloat,
  skipValue,
  upperOfFloat,
} from './compare.ts'
import type { Clause, Test } from './filter.ts'
import { parseFilter } from './filter.ts'
import type { Operand } from './operand.ts'
import { compareOperand, equalsOperand, OperandSet, prepareOperand } from './operand.ts'
import { PathTree } from './path-tree.ts'

/**
 * One node of the compiled tree, of a single shape and run by a switch: a closure for each would cost two calls
 * that the engine cannot see through once a process has compiled a few filters.
 */
interface Step {
  readonly op: (typeof Op)[keyof typeof Op]
  /** Which wanted value is tested. */
  readonly slot: number
  /** The outcomes of a comparison that are accepted, as bits. */
  readonly mask: number
  readonly operand: Operand
  /** A number as operand, and `upperOfFloat` of it. */
  readonly number: number
  readonly upper: number
  readonly bigint: bigint
  readonly set: OperandSet
  readonly parts: readonly Step[]
}

const Op = {
  all: 0,
  any: 1,
  not: 2,
  exists: 3,
  float: 4,
  bigint: 5,
  order: 6,
  equal: 7,
  in: 8,
  starts: 9,
  contains: 10,
  text: 11,
} as const

const NOTHING = prepareOperand(null, defaultLimits)
const EMPTY_SET = new OperandSet([])
const BLANK = {
  slot: -1,
  mask: 0,
  operand: NOTHING,
  number: 0,
  upper: 0,
  bigint: 0n,
  set: EMPTY_SET,
  parts: [],
}

/** A compiled filter. Its scratch is its own; since it never awaits, one serves any number of scans. */
export class RowFilter {
  /** Matches every record and looks at none. */
  static readonly all: RowFilter = new RowFilter(new PathTree(), { op: Op.all, ...BLANK })

  private readonly tree: PathTree
  private readonly root: Step
  private readonly slots: Int32Array

  constructor(tree: PathTree, root: Step) {
    this.tree = tree
    this.root = root
    this.slots = new Int32Array(tree.size)
  }

  /**
   * Whether the value stored in `bytes[start..end)` matches. A value that is no object has no members. Throws
   * `MALFORMED` where the bytes are cut short; it never reads outside of them.
   */
  matches(bytes: Buffer, start: number, end: number): boolean {
    this.tree.locate(bytes, start, end, this.slots)
    return holds(this.root, bytes, end, this.slots)
  }
}

/** Compiles `where`; undefined and `{}` give {@link RowFilter.all}. Throws `BAD_FILTER`. */
export function compileFilter(where: unknown, limits: Limits): RowFilter {
  const clause = parseFilter(where, limits)
  if (clause.kind === 'all' && clause.clauses.length === 0) return RowFilter.all
  const tree = new PathTree()
  return new RowFilter(tree, compileClause(clause, tree, limits))
}

function compileClause(clause: Clause, tree: PathTree, limits: Limits): Step {
  switch (clause.kind) {
    case 'test':
      return compileTest(clause, tree.add(clause.path), limits)
    case 'not':
      return { op: Op.not, ...BLANK, parts: [compileClause(clause.clause, tree, limits)] }
    default: {
      const parts = clause.clauses.map((part) => compileClause(part, tree, limits))
      return { op: clause.kind === 'all' ? Op.all : Op.any, ...BLANK, parts }
    }
  }
}

function compileTest(test: Test, slot: number, limits: Limits): Step {
  if (test.operator === '$in') {
    const set = new OperandSet((test.operand as unknown[]).map((value) => prepareOperand(value, limits)))
    return { op: Op.in, ...BLANK, slot, set }
  }
  const operand = prepareOperand(test.operand, limits)
  const blank = { ...BLANK, slot, operand }
  switch (test.operator) {
    case '$exists':
      return { op: Op.exists, ...blank, mask: Number(test.operand) }
    case '$startsWith':
      return { op: Op.starts, ...blank }
    case '$contains':
      return { op: Op.contains, ...blank }
    case '$eq':
      // NaN equals itself here, but stands in order with nothing.
      if (operand.kind >= Kind.array || Number.isNaN(test.operand)) return { op: Op.equal, ...blank }
  }
  const mask = MASKS[test.operator]
  if (typeof test.operand === 'number') {
    // Adding 0 turns -0 into 0.
    const number = test.operand + 0
    return { op: Op.float, ...blank, mask, number, upper: upperOfFloat(number) }
  }
  if (typeof test.operand === 'string' && test.operator === '$eq') return { op: Op.text, ...blank }
  if (typeof test.operand === 'bigint') return { op: Op.bigint, ...blank, mask, bigint: test.operand }
  return { op: Op.order, ...blank, mask }
}

const MASKS = {
  $eq: Outcome.equal,
  $gt: Outcome.greater,
  $gte: Outcome.greater | Outcome.equal,
  $lt: Outcome.less,
  $lte: Outcome.less | Outcome.equal,
}

function holds(step: Step, bytes: Buffer, end: number, slots: Int32Array): boolean {
  switch (step.op) {
    case Op.all:
      for (let i = 0; i < step.parts.length; i++) if (!holds(step.parts[i]!, bytes, end, slots)) return false
      return true
    case Op.any:
      for (let i = 0; i < step.parts.length; i++) if (holds(step.parts[i]!, bytes, end, slots)) return true
      return false
    case Op.not:
      return !holds(step.parts[0]!, bytes, end, slots)
    case Op.exists:
      return slots[step.slot]! >= 0 === (step.mask === 1)
    default: {
      const at = slots[step.slot]!
      return at >= 0 && accepts(step, bytes, at, end)
    }
  }
}

/** Tests a value that is there. */
function accepts(step: Step, bytes: Buffer, at: number, end: number): boolean {
  const operand = step.operand
  switch (step.op) {
    case Op.float:
      return (outcomeOfFloat(bytes, at, step.number, step.upper) & step.mask) !== 0
    case Op.bigint:
      return (outcomeOfBigInt(bytes, at, step.bigint) & step.mask) !== 0
    case Op.order:
      return (
        kindAt(bytes, at) === operand.kind &&
        (outcomeOfOrder(compareOperand(operand, bytes, at, end)) & step.mask) !== 0
      )
    case Op.equal:
      return equalsOperand(operand, bytes, at, end)
    case Op.in:
      return step.set.has(bytes, at, end)
    case Op.text:
      return isText(operand, bytes, at)
    case Op.starts:
      return startsWith(operand, bytes, at)
    default:
      return contains(operand, bytes, at, end)
  }
}

function outcomeOfOrder(order: number): number {
  return order < 0 ? Outcome.less : order > 0 ? Outcome.greater : Outcome.equal
}

function isText(operand: Operand, bytes: Buffer, at: number): boolean {
  if (kindAt(bytes, at) !== Kind.string) return false
  const size = operand.end - operand.payload
  return countAt(bytes, at) === size && isPayloadAt(operand, bytes, at + headSize(bytes[at]!), size)
}

function startsWith(operand: Operand, bytes: Buffer, at: number): boolean {
  if (kindAt(bytes, at) !== Kind.string) return false
  const size = operand.end - operand.payload
  if (countAt(bytes, at) < size) return false
  const from = at + headSize(bytes[at]!)
  return isPayloadAt(operand, bytes, from, size)
}

function isPayloadAt(operand: Operand, bytes: Buffer, at: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (bytes[at + i] !== operand.bytes[operand.payload + i]) return false
  return true
}

/** Whether an array has the operand among its elements, or a string has it within. */
function contains(operand: Operand, bytes: Buffer, at: number, end: number): boolean {
  const kind = kindAt(bytes, at)
  const from = at + headSize(bytes[at]!)
  const count = countAt(bytes, at)
  if (kind === Kind.array) {
    at = from
    for (let i = 0; i < count; i++) {
      if (equalsOperand(operand, bytes, at, end)) return true
      at = skipValue(bytes, at, end)
    }
    return false
  }
  if (kind !== Kind.string || operand.kind !== Kind.string) return false
  const needle = operand.bytes.subarray(operand.payload, operand.end)
  // A view keeps the native search within the string. Valid UTF-8 is found only where a character begins.
  return needle.length === 0 || bytes.subarray(from, from + count).includes(needle)
}
