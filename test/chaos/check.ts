/**
 * What must hold of a round's history. Key by key, from what stood there when the round began:
 *
 * - all answers together are linearizable, and so is the final read: no acknowledged write is lost, none is done twice;
 * - what the watch of everything told is a chain of recorded writes from the first state to the last, each once, with
 *   every acknowledged one among them.
 *
 * A partition that a fault took all replicas of may have been emptied once, at any time after.
 */

import type { KeyState } from '../sim/history.ts'
import { checkLinearizable } from '../sim/linearizability.ts'
import type { Copy, Told } from './copy.ts'
import { type CallRecord, isWrite } from './history.ts'
import type { LoadKey } from './load.ts'

/** Something that must not be. */
export class Violation extends Error {}

export interface RoundRecord {
  readonly keys: readonly LoadKey[]
  readonly calls: ReadonlyMap<string, readonly CallRecord[]>
  readonly before: ReadonlyMap<string, number | undefined>
  readonly after: ReadonlyMap<string, number | undefined>
  readonly copies: readonly Copy[]
  /** Partitions that may have been emptied, and since when. */
  readonly lost: ReadonlyMap<number, number>
}

export interface Checked {
  readonly keys: number
  readonly calls: number
  /** Keys whose search was given up: nothing is known of them. */
  readonly undecided: number
}

export function checkRound(round: RoundRecord): Checked {
  let calls = 0
  let undecided = 0
  for (const key of round.keys) {
    const made = round.calls.get(key.id) ?? []
    calls += made.length
    if (!linearizable(key, made, round)) undecided++
    for (const copy of round.copies) if (key.id.startsWith(`${copy.map}/`)) toldOnce(key, made, copy, round)
  }
  return { keys: round.keys.length, calls, undecided }
}

function linearizable(key: LoadKey, made: readonly CallRecord[], round: RoundRecord): boolean {
  const before: KeyState = { value: round.before.get(key.id), known: true }
  const calls = [...made, ...lossOf(key, round)]
  const verdict = checkLinearizable(calls, before)
  if (verdict === 'not linearizable')
    throw new Violation(
      `${key.id} (partition ${key.partition}) is not linearizable; it began as ${before.value}\n${show(shortest(calls, before))}`,
    )
  return verdict === 'linearizable'
}

/** A declared loss, as a call that may have removed the entry at any time after. */
function lossOf({ id, partition }: LoadKey, { lost }: RoundRecord): CallRecord[] {
  const atMs = lost.get(partition)
  if (atMs === undefined) return []
  const open = { endMs: Number.POSITIVE_INFINITY, result: undefined, expected: undefined }
  const place = { keyBytes: '', era: -1, epoch: 0, seq: 0 }
  return [
    { client: 'loss', key: id, partition, kind: 'remove', argument: 0, callMs: atMs, ...open, ...place },
  ]
}

/** The events of a key are writes that were asked for, each once, one after the other, and nothing acknowledged is left out. */
function toldOnce(key: LoadKey, made: readonly CallRecord[], copy: Copy, round: RoundRecord): void {
  if (copy.isFiltered || copy.reset.has(key.partition) || round.lost.has(key.partition)) return
  const writes = made.filter((call) => isWrite(call) && (!isAnswered(call) || tookEffect(call)))
  const open = new Set(writes)
  const told = copy.told.get(key.key) ?? []
  let state = round.before.get(key.id)
  const broken = (what: string): Violation =>
    new Violation(
      `${copy.name}: ${what} (${key.id}, partition ${key.partition}, began as ${round.before.get(key.id)})\n` +
        `told: ${told.map(showTold).join(', ')}\n${show(made.slice(-60))}`,
    )
  for (const event of told) {
    const made = [...open].filter((call) => leads(state, call, event.value))
    const write = made.find(isAnswered) ?? made[0]
    if (write === undefined)
      throw broken(`nobody wrote ${showTold(event)} over ${state}, or it was told before`)
    open.delete(write)
    state = event.value
  }
  const missing = [...open].find(isAnswered)
  if (missing !== undefined) throw broken(`never told of an acknowledged write: ${showCall(missing)}`)
  if (state !== round.after.get(key.id))
    throw broken(`the last event says ${state}, the map ${round.after.get(key.id)}`)
}

/** Whether this write makes `to` of `from`. */
function leads(
  from: number | undefined,
  { kind, argument, expected }: CallRecord,
  to: number | undefined,
): boolean {
  switch (kind) {
    case 'put':
      return to === argument
    case 'putIfAbsent':
      return to === argument && from === undefined
    case 'replace':
      return to === argument && from !== undefined
    case 'replaceVersion':
      return to === argument && from === expected
    case 'remove':
      return to === undefined && from !== undefined
    case 'increment':
    case 'invoke':
      return to === (from ?? 0) + argument
    default:
      return false
  }
}

function isAnswered({ endMs }: CallRecord): boolean {
  return endMs !== Number.POSITIVE_INFINITY
}

function tookEffect({ kind, result }: CallRecord): boolean {
  return kind === 'put' || kind === 'increment' || kind === 'invoke' || result === 1
}

/** The calls up to the first answer that cannot be explained, and of those the last. */
function shortest(calls: readonly CallRecord[], before: KeyState): readonly CallRecord[] {
  const ends = calls.filter(isAnswered).map(({ endMs }) => endMs)
  ends.sort((a, b) => a - b)
  for (const endMs of ends) {
    const those = calls
      .filter(({ callMs }) => callMs <= endMs)
      .map((call) => (call.endMs <= endMs ? call : { ...call, endMs: Number.POSITIVE_INFINITY }))
      .filter((call) => isAnswered(call) || isWrite(call))
    if (checkLinearizable(those, before) === 'not linearizable') return those.slice(-40)
  }
  return calls.slice(-40)
}

export function show(calls: readonly CallRecord[]): string {
  const ordered = [...calls].sort((a, b) => a.callMs - b.callMs)
  return ordered.map((call) => `  ${showCall(call)}`).join('\n')
}

function showCall({ callMs, endMs, client, kind, argument, expected, result }: CallRecord): string {
  const until = endMs === Number.POSITIVE_INFINITY ? 'no answer' : endMs.toFixed(1)
  const condition = expected === undefined ? '' : ` if ${expected}`
  return `${callMs.toFixed(1)}–${until} ${client} ${kind} ${argument}${condition} = ${result}`
}

function showTold({ value, version }: Told): string {
  return `${value} (${version})`
}
