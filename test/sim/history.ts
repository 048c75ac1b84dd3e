/**
 * What clients asked and were told, and what one key does with it.
 *
 * A value is one number here (the wire carries `{ n, g, pad }`); puts use numbers that nobody else uses, so a value says
 * which write it comes from.
 */

export type CallKind =
  | 'get'
  | 'getEntry'
  | 'put'
  | 'putIfAbsent'
  | 'replace'
  | 'replaceVersion'
  | 'remove'
  | 'removeVersion'
  | 'increment'
  | 'invoke'

export interface CallRecord {
  readonly client: string
  readonly key: string
  /** Of the key, as on the wire, in hexadecimal. */
  readonly keyBytes: string
  readonly partition: number
  readonly kind: CallKind
  /** What is to be written, or added. */
  readonly argument: number
  /** `replaceVersion`, `removeVersion`: the value that the version was read with. */
  readonly expected: number | undefined
  readonly callMs: number
  /** Infinity while, or where, no answer came. */
  endMs: number
  /** The answer: a value, 1 or 0, or undefined for no entry. */
  result: number | undefined
  era: number
  epoch: number
  seq: number
}

export interface KeyState {
  /** Undefined: there is no entry. */
  readonly value: number | undefined
  readonly known: boolean
}

export const emptyKey: KeyState = { value: undefined, known: true }

/** What has been written by increments alone can come again; anything above names one write. */
export const UNIQUE_FROM = 1_000_000

/** The state after a call that answers as it did; undefined where it cannot have answered so. */
export function stepKey(state: KeyState, op: CallRecord): KeyState | undefined {
  const answered = op.endMs !== Number.POSITIVE_INFINITY
  const { value } = state
  const said = (result: number | undefined): boolean => !answered || op.result === result
  const now = (next: number | undefined): KeyState => ({ value: next, known: true })
  switch (op.kind) {
    case 'get':
    case 'getEntry':
      return said(value) ? state : undefined
    case 'put':
      return now(op.argument)
    case 'putIfAbsent':
      if (value === undefined) return said(1) ? now(op.argument) : undefined
      return said(0) ? state : undefined
    case 'replace':
      if (value !== undefined) return said(1) ? now(op.argument) : undefined
      return said(0) ? state : undefined
    case 'replaceVersion':
    case 'removeVersion':
      if (value !== undefined && value === op.expected && said(1) && !(answered && op.result === 0))
        return now(op.kind === 'removeVersion' ? undefined : op.argument)
      if (!said(0)) return undefined
      // The same small number may stand there in another version.
      return value === op.expected && (value ?? 0) >= UNIQUE_FROM ? undefined : state
    case 'remove':
      if (value !== undefined) return said(1) ? now(undefined) : undefined
      return said(0) ? state : undefined
    case 'increment':
    case 'invoke': {
      const next = (value ?? 0) + op.argument
      return said(next) ? now(next) : undefined
    }
  }
}
