/** The values and the keys that all benchmarks of the map use: objects of 119 bytes as MessagePack under 10,000 keys. */

import assert from 'node:assert/strict'
import { Packr } from 'msgpackr'

export interface Reading {
  readonly id: number
  readonly site: string
  readonly temp: number
  readonly ok: boolean
  readonly tags: readonly string[]
  readonly note: string
}

const VALUE_BYTES = 119
export const KEYS = 10_000

/** Packs as the grid does: plain maps, smallest forms. */
export const packr = new Packr({ useRecords: false, variableMapSize: true })

export const pack = (value: unknown): Buffer => packr.pack(value)

/** What a rival answered, decoded. Nothing there is a failure: every key has a value. */
export function unpack(bytes: Uint8Array | null | undefined): Reading {
  assert(bytes, 'the key has no value')
  return packr.unpack(bytes) as Reading
}

export function makeValue(id: number): Reading {
  const value = { id: 100_000 + id, site: 'plant-3', temp: 71.25 + (id % 50), ok: true, tags: ['a1', 'b2'] }
  const note = 'the quick brown fox jumps over the lazy dog and runs off now'
  return { ...value, note }
}

export function makeKey(id: number): string {
  return `k${String(id).padStart(9, '0')}`
}

/** Odd, and no factor of the numbers of entries that are used: each of them comes once in as many steps. */
const STRIDE = 514_229

/** The i-th of `count` entries in an order that scatters them. */
export function scattered(i: number, count: number): number {
  return (i * STRIDE) % count
}

export const keys: readonly string[] = Array.from({ length: KEYS }, (_, id) => makeKey(id))
export const values: readonly Reading[] = keys.map((_, id) => makeValue(id))

assert.equal(pack(makeValue(0)).length, VALUE_BYTES, `the value must be ${VALUE_BYTES} bytes`)
