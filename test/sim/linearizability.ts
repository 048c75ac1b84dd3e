/**
 * Whether the calls on one key can be put in an order that explains every answer: the search of Wing and Gong (1993)
 * with Lowe's memory of configurations, as in Porcupine.
 *
 * A call without an answer may have taken effect at any time after it was made, or never.
 */

import type { CallRecord, KeyState } from './history.ts'
import { stepKey } from './history.ts'

interface Node {
  readonly index: number
  readonly isCall: boolean
  next: Node | undefined
  prev: Node | undefined
  match: Node | undefined
}

export type Verdict = 'linearizable' | 'not linearizable' | 'unknown'

export function checkLinearizable(
  ops: readonly CallRecord[],
  initial: KeyState,
  stepsMax = 400_000,
): Verdict {
  const { head, nodes } = timeline(ops)
  const done = new Int32Array((ops.length + 31) >> 5)
  const seen = new Set<string>()
  const taken: { node: Node; state: KeyState }[] = []
  let state = initial
  let at = head.next
  let open = nodes
  for (let steps = 0; head.next !== undefined; steps++) {
    // What is left has no answer: it may never have happened.
    if (open === 0) return 'linearizable'
    if (steps > stepsMax) return 'unknown'
    if (at?.isCall) {
      const op = ops[at.index]!
      const next = stepKey(state, op)
      if (next !== undefined) {
        done[at.index >> 5]! |= 1 << (at.index & 31)
        const key = `${next.value},${next.known ? 1 : 0}|${done.join()}`
        if (!seen.has(key)) {
          seen.add(key)
          taken.push({ node: at, state })
          state = next
          lift(at)
          if (op.endMs !== Number.POSITIVE_INFINITY) open--
          at = head.next
          continue
        }
        done[at.index >> 5]! &= ~(1 << (at.index & 31))
      }
      at = at.next
    } else {
      const last = taken.pop()
      if (!last) return 'not linearizable'
      state = last.state
      done[last.node.index >> 5]! &= ~(1 << (last.node.index & 31))
      unlift(last.node)
      if (ops[last.node.index]!.endMs !== Number.POSITIVE_INFINITY) open++
      at = last.node.next
    }
  }
  return 'linearizable'
}

function timeline(ops: readonly CallRecord[]): { head: Node; nodes: number } {
  const marks: { atMs: number; isCall: boolean; index: number }[] = []
  ops.forEach((op, index) => {
    marks.push({ atMs: op.callMs, isCall: true, index })
    marks.push({ atMs: op.endMs, isCall: false, index })
  })
  marks.sort((a, b) => (a.atMs === b.atMs ? Number(b.isCall) - Number(a.isCall) : a.atMs < b.atMs ? -1 : 1))
  const head: Node = { index: -1, isCall: false, next: undefined, prev: undefined, match: undefined }
  const calls = new Map<number, Node>()
  let tail = head
  for (const { isCall, index } of marks) {
    const node: Node = { index, isCall, next: undefined, prev: tail, match: undefined }
    tail.next = node
    tail = node
    if (isCall) calls.set(index, node)
    else calls.get(index)!.match = node
  }
  return { head, nodes: ops.filter((op) => op.endMs !== Number.POSITIVE_INFINITY).length }
}

function lift(node: Node): void {
  const match = node.match!
  node.prev!.next = node.next
  if (node.next) node.next.prev = node.prev
  match.prev!.next = match.next
  if (match.next) match.next.prev = match.prev
}

function unlift(node: Node): void {
  const match = node.match!
  match.prev!.next = match
  if (match.next) match.next.prev = match
  node.prev!.next = node
  if (node.next) node.next.prev = node
}
