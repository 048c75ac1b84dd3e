/**
 * A copy of a map that a watch keeps, and everything that the watch has told of it since the round began, key by key. Says
 * at once where a change comes twice or out of its order.
 */

import type { Grid } from '../../src/client/grid.ts'
import type { Watch } from '../../src/client/watch.ts'
import type { Change } from '../../src/client/watch-change.ts'
import { HALF, type Value } from './load.ts'
import { Progress } from './progress.ts'

const EQUAL_WITHIN_MS = 30_000

/** One event of a key; undefined: it was removed. */
export interface Told {
  readonly value: number | undefined
  readonly version: string
}

export class Copy {
  readonly map: string
  readonly isFiltered: boolean
  readonly entries = new Map<string, number>()
  /** By key, since the round began. */
  told = new Map<string, Told[]>()
  /** Partitions that were told anew since the round began: of their keys events may be missing. */
  reset = new Set<number>()
  resets = 0
  /** Whether the rows of a key were told anew in this round. */
  #toldAnew: ((key: string) => boolean)[] = []
  readonly #watch: Watch<string, Value>
  readonly #versions = new Map<string, { readonly era: number; readonly seq: number }>()
  readonly #progress = new Progress()
  #failure: unknown

  constructor(grid: Grid, map: string, isFiltered: boolean) {
    this.map = map
    this.isFiltered = isFiltered
    const where = { n: { $lt: HALF } }
    this.#watch = grid.map<string, Value>(map).watch(isFiltered ? { where } : {})
    this.#follow().catch((error) => {
      this.#failure = error
      this.#progress.happened()
    })
  }

  get ready(): Promise<void> {
    return this.#watch.ready
  }

  get name(): string {
    return `the ${this.isFiltered ? 'filtered ' : ''}watch of ${this.map}`
  }

  /** A new round begins. */
  begin(): void {
    this.told = new Map()
    this.reset = new Set()
    this.#toldAnew = []
  }

  /** Resolves when the copy equals what stands in the map; rejects where it does not in time, or where it saw a fault. */
  async equals(values: ReadonlyMap<string, number | undefined>): Promise<void> {
    const wanted = new Map<string, number>()
    for (const [id, value] of values) {
      const [map, key] = id.split('/') as [string, string]
      if (map === this.map && value !== undefined && (!this.isFiltered || value < HALF))
        wanted.set(key, value)
    }
    const holds = (): boolean => {
      if (this.#failure !== undefined) throw this.#failure
      return this.#difference(wanted) === undefined
    }
    const why = (): string => this.#difference(wanted) ?? ''
    await this.#progress.until(`${this.name} equals the map`, holds, EQUAL_WITHIN_MS, why)
  }

  #difference(wanted: ReadonlyMap<string, number>): string | undefined {
    for (const [key, value] of wanted)
      if (this.entries.get(key) !== value) return `${key} is ${this.entries.get(key)}, not ${value}`
    for (const [key, value] of this.entries) if (!wanted.has(key)) return `${key} is ${value}, and not there`
    return undefined
  }

  async #follow(): Promise<void> {
    for await (const change of this.#watch) {
      this.#change(change)
      this.#progress.happened()
    }
  }

  #change(change: Change<string, Value>): void {
    if (change.type === 'reset' || change.type === 'clear') {
      if (change.type === 'clear') throw new Error(`${this.name} was told of a clear that nobody made`)
      this.resets++
      this.reset.add(change.partition)
      this.#toldAnew.push((key) => change.covers(key))
      for (const key of [...this.#versions.keys()]) if (change.covers(key)) this.#versions.delete(key)
      for (const key of [...this.entries.keys()]) if (change.covers(key)) this.entries.delete(key)
      return
    }
    const { key, type, version } = change
    this.#inOrder(key, type, version)
    const value = type === 'put' || type === 'snapshot' ? change.value.n : undefined
    if (value !== undefined && this.isFiltered && value >= HALF)
      throw new Error(`${this.name} was told of ${key} = ${value}, which it did not ask for`)
    // While rows are being told, an entry may go before its row's turn comes.
    const mayLack = this.isFiltered || this.#toldAnew.some((covers) => covers(key))
    if (value === undefined && !mayLack && !this.entries.has(key))
      throw new Error(`${this.name} was told that ${key} is gone, which was not there (${version})`)
    if (value === undefined) this.entries.delete(key)
    else this.entries.set(key, value)
    if (type === 'snapshot') return
    const told = this.told.get(key)
    if (told) told.push({ value, version })
    else this.told.set(key, [{ value, version }])
  }

  #inOrder(key: string, type: string, version: string): void {
    const [era, seq] = version.split('.').map(Number) as [number, number]
    const before = this.#versions.get(key)
    if (before && (era < before.era || (era === before.era && seq <= before.seq)))
      throw new Error(`${this.name} was told ${type} ${version} of ${key} after ${before.era}.${before.seq}`)
    this.#versions.set(key, { era, seq })
  }

  close(): void {
    this.#watch.close()
  }
}
