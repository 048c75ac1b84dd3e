/**
 * Full load on a cluster: loops that call without pause on a working set of steady size, each in its own manner.
 *
 * The set stands still while everything else moves: values are overwritten (compaction), entries expire by age and by
 * idleness, are evicted and cleared, queried and changed by processors; watches and clients come and go. No call may
 * fail; those that do are kept with the time. Counters are only raised, so that the end shows what was lost.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { add, type Item } from './probe.ts'

export interface LoadOptions {
  readonly cluster: string
  readonly nats: string
  readonly seed: number
  /** Loops that write and read the working set; the others are few. */
  readonly loops: number
  /** Rounds of all loops in a second, at most. Left out: as many as there can be, which is full load. */
  readonly rate: number | undefined
}

export interface FailedCall {
  readonly atMs: number
  readonly what: string
  readonly code: string
  readonly applied: string
  readonly message: string
}

const KEYS = 20_000
/** Puts under way at a time while the set is filled. */
const FILL = 1000
const COUNTERS = 64
const TEXT_MAX = 1200
/** Loops beside those of the working set. */
const OTHER_LOOPS = 7
const CLEARED = 200
const CLIENT_EVERY_MS = 2000
/** Maps that come to be in the course of a run; a cluster has at most a thousand and forgets none. */
const MAPS = 40
/** So many failures are kept; all are counted. */
const FAILURES_MAX = 1000
const TEXT = 'actorgrid '.repeat(TEXT_MAX / 10)

export class Load {
  calls = 0
  clients = 0
  watches = 0
  events = 0
  failures = 0
  readonly failed: FailedCall[] = []
  readonly #options: LoadOptions
  readonly #raised = new Array<number>(COUNTERS).fill(0)
  /** Raises of which it is not known whether they took effect. */
  readonly #doubtful = new Array<number>(COUNTERS).fill(0)
  readonly #stop = new AbortController()
  #grids: Grid[] = []
  #running: Promise<unknown> = Promise.resolve()

  private constructor(options: LoadOptions) {
    this.#options = options
  }

  /** Fills the working set, then begins to load. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options)
    for (let i = 0; i < 3; i++) load.#grids.push(await load.#connect())
    const base = load.#grids[0]!.map<string, Item>('base')
    const random = seededRandom(options.seed)
    for (let i = 0; i < KEYS; i += FILL)
      await base.putAll(Array.from({ length: FILL }, (_, j) => [`k${i + j}`, item(i + j, random)]))
    load.#running = load.#run()
    return load
  }

  /** Ends the loops and resolves when every call is decided. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** What is wrong with the counters, after `stop`. */
  async lost(): Promise<string[]> {
    const counters = this.#grids[0]!.map<string, Item>('counters')
    const wrong: string[] = []
    for (const [i, raised] of this.#raised.entries()) {
      const n = (await counters.get(`c${i}`, { consistency: 'confirmed' }))?.n ?? 0
      const atMost = raised + this.#doubtful[i]!
      if (n < raised || n > atMost) wrong.push(`c${i} is ${n}, was raised ${raised} to ${atMost} times`)
    }
    return wrong
  }

  async close(): Promise<void> {
    await Promise.all(this.#grids.map((grid) => grid.close()))
  }

  #connect(): Promise<Grid> {
    const { cluster, nats } = this.#options
    return connect({ cluster, nats })
  }

  get #stopping(): boolean {
    return this.#stop.signal.aborted
  }

  async #run(): Promise<void> {
    const { loops, seed } = this.#options
    const [first, second, third] = this.#grids as [Grid, Grid, Grid]
    let next = seed
    const looped = (step: (random: Random) => Promise<void>): Promise<void> =>
      this.#loop(step, seededRandom(next++))
    const steady = Array.from({ length: loops }, (_, i) => {
      const base = (i % 2 === 0 ? first : second).map<string, Item>('base')
      return looped((random) => this.#steady(base, random))
    })
    const others = [
      looped((random) => this.#raise(second, random)),
      looped((random) => this.#expire(third, random)),
      looped((random) => this.#evict(third, random)),
      looped(() => this.#clear(third)),
      looped((random) => this.#query(third, random)),
      looped((random) => this.#watch(third, random)),
      looped((random) => this.#client(random)),
      this.#follow(first),
    ]
    await Promise.all([...steady, ...others])
  }

  async #loop(step: (random: Random) => Promise<void>, random: Random): Promise<void> {
    const { loops, rate } = this.#options
    const roundMs = rate === undefined ? 0 : ((loops + OTHER_LOOPS) * 1000) / rate
    while (!this.#stopping) {
      const startedMs = performance.now()
      await step(random)
      const restMs = roundMs - (performance.now() - startedMs)
      // It does not count among the timers that are judged.
      if (restMs > 1) await delay(restMs, undefined, { ref: false })
    }
  }

  /** Counts a call, and keeps its failure; undefined where it failed. */
  async #call<T>(what: string, call: () => Promise<T>): Promise<T | undefined> {
    this.calls++
    try {
      return await call()
    } catch (error) {
      await this.#fail(what, error)
      return undefined
    }
  }

  async #fail(what: string, error: unknown): Promise<void> {
    this.failures++
    const { code, applied, message } = error instanceof GridError ? error : notOurs(error)
    if (this.failed.length < FAILURES_MAX)
      this.failed.push({ atMs: Date.now(), what, code, applied, message })
    await delay(10)
  }

  async #steady(base: GridMap<string, Item>, random: Random): Promise<void> {
    const key = `k${randomInt(random, KEYS)}`
    const kind = randomInt(random, 100)
    if (kind < 55) await this.#call('put', () => base.put(key, item(kind, random)))
    else if (kind < 75) await this.#call('get', () => base.get(key))
    else if (kind < 80) await this.#call('update', () => base.update(key, { $inc: { n: 1 } }))
    else if (kind < 85) await this.#call('invoke', () => base.invoke(key, add, 1))
    else if (kind < 90) {
      await this.#call('remove', () => base.remove(key))
      await this.#call('putIfAbsent', () => base.putIfAbsent(key, item(kind, random)))
    } else if (kind < 95) {
      const entry = await this.#call('getEntry', () => base.getEntry(key))
      if (entry === undefined) return
      await this.#call('replace', () => base.replace(key, item(kind, random), { ifVersion: entry.version }))
    } else {
      const keys = Array.from({ length: 8 }, () => `k${randomInt(random, KEYS)}`)
      await this.#call('getAll', () => base.getAll(keys))
    }
  }

  async #raise(grid: Grid, random: Random): Promise<void> {
    const i = randomInt(random, COUNTERS)
    const counters = grid.map<string, Item>('counters')
    const before = this.failures
    if ((await this.#call('raise', () => counters.invoke(`c${i}`, add, 1))) !== undefined) this.#raised[i]!++
    else if (this.failures > before) this.#doubtful[i]!++
  }

  async #expire(grid: Grid, random: Random): Promise<void> {
    const aged = grid.map<string, Item>('aged')
    const idle = grid.map<string, Item>('idle', { maxIdleMs: 5000 })
    const n = randomInt(random, 1e9)
    await this.#call('put with ttl', () => aged.put(`a${n}`, item(n, random), { ttlMs: 2000 + (n % 8000) }))
    await this.#call('put idle', () => idle.put(`i${n}`, item(n, random)))
    await this.#call('get idle', () => idle.get(`i${n - 1}`))
  }

  async #evict(grid: Grid, random: Random): Promise<void> {
    const lru = grid.map<string, Item>('lru', { eviction: { policy: 'lru', maxEntries: 5000 } })
    const lfu = grid.map<string, Item>('lfu', { eviction: { policy: 'lfu', maxBytes: 4_000_000 } })
    const key = `e${randomInt(random, 1e9)}`
    await this.#call('put lru', () => lru.put(key, item(1, random)))
    await this.#call('put lfu', () => lfu.put(key, item(1, random)))
  }

  async #clear(grid: Grid): Promise<void> {
    const cleared = grid.map<string, number>('cleared')
    await this.#call('putAll', () => cleared.putAll(Array.from({ length: CLEARED }, (_, i) => [`x${i}`, i])))
    this.calls += CLEARED - 1
    await this.#call('clear', () => cleared.clear())
  }

  async #query(grid: Grid, random: Random): Promise<void> {
    const base = grid.map<string, Item>('base')
    const third = randomInt(random, 3)
    const n = randomInt(random, 100)
    await this.#call('query', () => base.query({ where: { third, n }, orderBy: [['n', 'asc']], limit: 50 }))
    await this.#call('size', () => base.size())
    await this.#call('invokeAll', () => base.invokeAll(add, 1, { where: { n: 1000 + n } }))
    await this.#call('entries', async () => {
      let count = 0
      for await (const _ of base.entries({ where: { n } })) count++
      return count
    })
    await delay(200)
  }

  /** Opens a watch, reads some of it, closes it. */
  async #watch(grid: Grid, random: Random): Promise<void> {
    const third = randomInt(random, 3)
    const whole = randomInt(random, 2) === 0
    const watch = grid
      .map<string, Item>('base')
      .watch({ initial: !whole, where: whole ? undefined : { third }, signal: this.#stop.signal })
    let rest = 200 + randomInt(random, 2000)
    this.watches++
    await this.#call('watch', async () => {
      for await (const _ of watch) {
        this.events++
        if (--rest <= 0) return
      }
    })
    await delay(300)
  }

  /** Reads one watch from the beginning to the end of the load. */
  async #follow(grid: Grid): Promise<void> {
    const watch = grid.map<string, Item>('aged').watch({ signal: this.#stop.signal })
    await this.#call('follow', async () => {
      for await (const _ of watch) this.events++
    })
  }

  /** A client that comes, writes a little here and there, and goes. */
  async #client(random: Random): Promise<void> {
    this.clients++
    await this.#call('client', async () => {
      const grid = await this.#connect()
      try {
        const map = grid.map<string, Item>(`map-${randomInt(random, MAPS)}`, { ttlMs: 60_000 })
        for (let i = 0; i < 10; i++) await map.put(`k${randomInt(random, 500)}`, item(i, random))
        const watch = map.watch()
        await watch.ready
        watch.close()
      } finally {
        await grid.close()
      }
    })
    await delay(CLIENT_EVERY_MS)
  }
}

function item(n: number, random: Random): Item {
  return { n: n % 100, third: n % 3, text: TEXT.slice(0, randomInt(random, TEXT_MAX)) }
}

function notOurs(error: unknown): { code: string; applied: string; message: string } {
  return {
    code: 'none',
    applied: 'unknown',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }
}
