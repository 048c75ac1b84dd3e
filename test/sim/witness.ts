/**
 * The short way to see that the calls on one key are linearizable: the committed log says in which order the writes took
 * effect, and it only remains to find a place between them for each call that changed nothing.
 *
 * With the order of the writes given that is no search (Gibbons and Korach, 1997): each of the others gets the earliest
 * place that its answer, its interval and those that had ended before it allow. Where there is none, this proves nothing,
 * for another order of the writes might do: the search in linearizability.ts has the last word.
 */

import { type CallRecord, emptyKey, type KeyState, stepKey } from './history.ts'

/** A committed record of the key: what stands there from then on. */
export interface Written {
  readonly seq: number
  /** Undefined: the entry was removed. */
  readonly value: number | undefined
}

interface Chain {
  /** `states[i]` stands after the first `i` writes. */
  readonly states: readonly KeyState[]
  readonly ops: readonly CallRecord[]
}

/** Whether the order of the committed records explains all answers. False: it is not known. */
export function explained(calls: readonly CallRecord[], written: readonly Written[]): boolean {
  const effects = new Map<number, CallRecord>()
  const looks: CallRecord[] = []
  const open: CallRecord[] = []
  for (const call of calls) {
    if (call.endMs === Number.POSITIVE_INFINITY) open.push(call)
    else if (!tookEffect(call)) looks.push(call)
    else if (effects.has(call.seq)) return false
    else effects.set(call.seq, call)
  }
  open.sort((a, b) => a.callMs - b.callMs)
  const chain = chainOf(effects, open, written)
  return chain !== undefined && placed(looks, chain)
}

/** Whether an answered call says that it wrote. */
function tookEffect({ kind, result }: CallRecord): boolean {
  switch (kind) {
    case 'get':
    case 'getEntry':
      return false
    case 'put':
    case 'increment':
    case 'invoke':
      return true
    default:
      return result === 1
  }
}

/** The writes in the order of the log, each with the call that it comes from. */
function chainOf(
  effects: ReadonlyMap<number, CallRecord>,
  open: CallRecord[],
  written: readonly Written[],
): Chain | undefined {
  const values = new Map(written.map(({ seq, value }) => [seq, value]))
  const states = [emptyKey]
  const ops: CallRecord[] = []
  let latestCallMs = 0
  for (const seq of [...new Set([...values.keys(), ...effects.keys()])].sort((a, b) => a - b)) {
    const state = states.at(-1)!
    const fits = (call: CallRecord): boolean => {
      const next = stepKey(state, call)
      return next !== undefined && next !== state && (!values.has(seq) || next.value === values.get(seq))
    }
    // A record without an answer: of the calls that it may come from, the one that binds the least.
    const op = effects.get(seq) ?? open.find(fits)
    if (!op || !fits(op) || op.endMs < latestCallMs) return undefined
    if (!effects.has(seq)) open.splice(open.indexOf(op), 1)
    latestCallMs = Math.max(latestCallMs, op.callMs)
    states.push(stepKey(state, op)!)
    ops.push(op)
  }
  return { states, ops }
}

/** Finds a place for each call that changed nothing. */
function placed(looks: readonly CallRecord[], { states, ops }: Chain): boolean {
  // Not before every write up to `i` was made; not after one of those behind it had been answered.
  const fromMs = [0]
  ops.forEach((op, i) => {
    fromMs.push(Math.max(fromMs[i]!, op.callMs))
  })
  const untilMs: number[] = [Number.POSITIVE_INFINITY]
  for (let i = ops.length - 1; i >= 0; i--) untilMs.unshift(Math.min(untilMs[0]!, ops[i]!.endMs))
  const byCall = [...looks].sort((a, b) => a.callMs - b.callMs)
  const byEnd = [...looks].sort((a, b) => a.endMs - b.endMs)
  const places = new Map<CallRecord, number>()
  let ended = 0
  let place = 0
  for (const look of byCall) {
    for (; ended < byEnd.length && byEnd[ended]!.endMs < look.callMs; ended++)
      place = Math.max(place, places.get(byEnd[ended]!)!)
    let at = place
    while (at < states.length && !(untilMs[at]! >= look.callMs && stepKey(states[at]!, look) === states[at]))
      at++
    if (at === states.length || fromMs[at]! > look.endMs) return false
    places.set(look, at)
  }
  return true
}
