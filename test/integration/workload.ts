/**
 * Writers and watchers that know what a grid may answer and what it must hold in the end.
 *
 * Counters are raised by an entry processor, each by several writers; registers are put by one writer each, with values that
 * never come twice. What was acknowledged must be there; what ended with an unknown outcome may be there.
 */

import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import type { Watch } from '../../src/client/watch.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defineProcessor, type EntryView } from '../../src/core/wire/processor.ts'

/** `third` is `n % 3`: a filter on it is entered and left all the time. */
export interface Count {
  readonly n: number
  readonly third: number
}

/** Raises a counter and returns what it has become. */
export const add = defineProcessor('add', (entry: EntryView<string, Count>, by: number) => {
  const n = (entry.value?.n ?? 0) + by
  entry.set({ n, third: n % 3 })
  return n
})

export interface WorkloadOptions {
  readonly keys?: number
  readonly writers?: number
  /** No call may fail, not even with an unknown outcome. */
  readonly strict?: boolean
  /** Of the names of the maps. */
  readonly prefix?: string
}

interface Counter {
  acknowledged: number
  unknown: number
  readonly results: Set<number>
}

interface Register {
  acknowledged: string | undefined
  /** Values put after the acknowledged one, whose fate is not known. */
  unknown: string[]
}

/** One look at events that have happened: resolves once `holds`, asked after each event. */
class Events {
  #waiting: { holds: () => boolean; resolve: () => void }[] = []

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ holds, resolve })
      this.happened()
    })
  }

  happened(): void {
    this.#waiting = this.#waiting.filter(({ holds, resolve }) => {
      if (!holds()) return true
      resolve()
      return false
    })
  }
}

export class Workload {
  readonly counters: GridMap<string, Count>
  readonly registers: GridMap<string, string>
  readonly errors: GridError[] = []
  readonly #counters = new Map<string, Counter>()
  readonly #registers = new Map<string, Register>()
  readonly #options: Required<WorkloadOptions>
  readonly #events = new Events()
  readonly #acksOf = new Map<string, number>()
  #acks = 0
  #values = 0
  #stopping = false
  #failure: unknown
  #running: Promise<unknown> = Promise.resolve()

  constructor(grid: Grid, options: WorkloadOptions = {}) {
    this.#options = { keys: 48, writers: 16, strict: false, prefix: '', ...options }
    this.counters = grid.map<string, Count>(`${this.#options.prefix}counters`)
    this.registers = grid.map<string, string>(`${this.#options.prefix}registers`)
    for (let i = 0; i < this.#options.keys; i++) {
      this.#counters.set(`c${i}`, { acknowledged: 0, unknown: 0, results: new Set() })
      this.#registers.set(`r${i}`, { acknowledged: undefined, unknown: [] })
    }
  }

  /** Begins to write, until `stop`. */
  start(): void {
    this.#stopping = false
    const { writers } = this.#options
    const loops = Array.from({ length: writers }, (_, i) => [this.#count(i), this.#put(i)]).flat()
    this.#running = Promise.all(loops).catch((error) => {
      this.#failure = error
      this.#events.happened()
    })
  }

  /** Resolves after `count` more acknowledgements; rejects when a call has failed that may not. */
  async acks(count: number): Promise<void> {
    const goal = this.#acks + count
    await this.#events.until(() => this.#acks >= goal || this.#failure !== undefined)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when every key has been written once more, so that every partition that holds one is alive. */
  async everyKey(): Promise<void> {
    const before = new Map(this.#acksOf)
    const keys = [...this.#counters.keys(), ...this.#registers.keys()]
    const written = (key: string): boolean => (this.#acksOf.get(key) ?? 0) > (before.get(key) ?? 0)
    await this.#events.until(() => this.#failure !== undefined || keys.every(written))
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Ends the writers and resolves when every call is decided. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Compares what the grid holds with what it has acknowledged, and takes it as known from then on. */
  async verify(): Promise<{ counters: Map<string, Count>; registers: Map<string, string> }> {
    const counters = await this.counters.getAll(this.#counters.keys(), { consistency: 'confirmed' })
    for (const [key, counter] of this.#counters) {
      const value = counters.get(key)?.n ?? 0
      const { acknowledged, unknown } = counter
      expect(value, `${key} lost an increment`).toBeGreaterThanOrEqual(acknowledged)
      expect(value, `${key} was raised twice`).toBeLessThanOrEqual(acknowledged + unknown)
      expect(counter.results.size, `two calls saw the same value of ${key}`).toBe(acknowledged)
      for (let n = acknowledged; n < value; n++) counter.results.add(-counter.results.size - 1)
      counter.acknowledged = value
      counter.unknown = 0
    }
    const registers = await this.registers.getAll(this.#registers.keys(), { consistency: 'confirmed' })
    for (const [key, register] of this.#registers) {
      const value = registers.get(key)
      expect([register.acknowledged, ...register.unknown], `${key} lost a put`).toContain(value)
      register.acknowledged = value
      register.unknown = []
    }
    return { counters, registers }
  }

  async #count(writer: number): Promise<void> {
    const keys = [...this.#counters.keys()]
    for (let i = writer; !this.#stopping; i++) {
      const key = keys[i % keys.length]!
      const counter = this.#counters.get(key)!
      try {
        const result = await this.counters.invoke(key, add, 1)
        counter.acknowledged++
        counter.results.add(result)
        this.#acknowledged(key)
      } catch (error) {
        if (this.#unknown(error)) counter.unknown++
      }
    }
  }

  async #put(writer: number): Promise<void> {
    const { writers } = this.#options
    const keys = [...this.#registers.keys()].filter((_, i) => i % writers === writer)
    for (let i = 0; !this.#stopping && keys.length > 0; i++) {
      const key = keys[i % keys.length]!
      const register = this.#registers.get(key)!
      const value = `${writer}/${++this.#values}`
      try {
        await this.registers.put(key, value)
        register.acknowledged = value
        register.unknown = []
        this.#acknowledged(key)
      } catch (error) {
        if (this.#unknown(error)) register.unknown.push(value)
      }
    }
  }

  #acknowledged(key: string): void {
    this.#acks++
    this.#acksOf.set(key, (this.#acksOf.get(key) ?? 0) + 1)
    this.#events.happened()
  }

  /** Whether a failed write may have taken effect. */
  #unknown(error: unknown): boolean {
    if (!(error instanceof GridError) || this.#options.strict) throw error
    this.errors.push(error)
    if (error.applied === 'no' && !error.retryable) throw error
    return error.applied !== 'no'
  }
}

/** A copy of a map, kept by its watch alone. */
export class Copy<V> {
  readonly entries = new Map<string, V>()
  resets = 0
  readonly #watch: Watch<string, V>
  readonly #events = new Events()
  readonly #check: ((key: string, before: V | undefined, value: V) => void) | undefined
  #failure: unknown
  readonly ended: Promise<void>

  /** `check` is called with each put of a key that the copy holds. */
  constructor(watch: Watch<string, V>, check?: (key: string, before: V | undefined, value: V) => void) {
    this.#watch = watch
    this.#check = check
    this.ended = this.#follow().catch((error) => {
      this.#failure = error
      this.#events.happened()
    })
  }

  get ready(): Promise<void> {
    return this.#watch.ready
  }

  async #follow(): Promise<void> {
    for await (const change of this.#watch) {
      if (change.type === 'put' || change.type === 'snapshot') {
        if (change.type === 'put') this.#check?.(change.key, this.entries.get(change.key), change.value)
        this.entries.set(change.key, change.value)
      } else if (change.type === 'clear' || change.type === 'reset') {
        if (change.type === 'reset') this.resets++
        for (const key of this.entries.keys()) if (change.covers(key)) this.entries.delete(key)
      } else this.entries.delete(change.key)
      this.#events.happened()
    }
  }

  /** Resolves when the copy equals `map`. */
  async equals(map: ReadonlyMap<string, V>): Promise<void> {
    await this.#events.until(() => this.#failure !== undefined || this.#same(map))
    if (this.#failure !== undefined) throw this.#failure
  }

  #same(map: ReadonlyMap<string, V>): boolean {
    if (map.size !== this.entries.size) return false
    for (const [key, value] of map) if (!isDeepStrictEqual(this.entries.get(key), value)) return false
    return true
  }

  close(): void {
    this.#watch.close()
  }
}

/** Each value of a counter is told once and in order; only the first after a reset may be any. */
export function countsOn(key: string, before: Count | undefined, value: Count): void {
  if (before !== undefined) expect(value.n, `watch of ${key}`).toBe(before.n + 1)
}
