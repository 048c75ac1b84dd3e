/**
 * Near caches over real members: one client writes, another reads from its cache, and members die meanwhile.
 *
 * Every read is held against what had been acknowledged `maxStaleMs` before it began, on the one clock that all of this
 * process share; and the reads of one key may never go back. The check is then shown to see: with a fault planted it
 * must find something, which is what these tests wait for. (The end of subscriptions is for
 * test/client/near-cache.test.ts.)
 */

import { afterEach, describe, expect, test } from 'vitest'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { NearCache, type NearCacheStats } from '../../src/client/near-cache.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { startTestCluster, type TestCluster } from '../../src/testing.ts'

/** So many that a key's next turn is a while after `STALE_MS`: a read that is too old then has time to be made. */
const KEYS = 1000
/** Puts of one key before the next one's turn. */
const BURST = 8
const STALE_MS = 250

interface Count {
  readonly n: number
}

/** What was acknowledged of each key, and when. */
class History {
  readonly violations: string[] = []
  /** Resolves when the first has been found. */
  readonly violated: Promise<void>
  #violate!: () => void
  readonly #acknowledged = new Map<string, { n: number; atMs: number }[]>()
  readonly #read = new Map<string, number>()

  constructor() {
    this.violated = new Promise((resolve) => {
      this.#violate = resolve
    })
  }

  acknowledged(key: string, n: number): void {
    const list = this.#acknowledged.get(key) ?? []
    this.#acknowledged.set(key, list)
    list.push({ n, atMs: performance.now() })
  }

  /** A read that began at `beganMs` has found `n`. */
  read(key: string, n: number, beganMs: number): void {
    const list = this.#acknowledged.get(key) ?? []
    let floor = 0
    for (let i = list.length - 1; i >= 0 && floor === 0; i--)
      if (list[i]!.atMs < beganMs - STALE_MS) floor = list[i]!.n
    if (n < floor) this.#found(`${key} is ${n}, but ${floor} was acknowledged long before`)
    const before = this.#read.get(key) ?? 0
    if (n < before) this.#found(`${key} went back from ${before} to ${n}`)
    this.#read.set(key, n)
  }

  #found(violation: string): void {
    this.violations.push(violation)
    this.#violate()
  }
}

/** One writer and one reader, each through a client of its own. */
class Pair {
  readonly history = new History()
  readonly reader: GridMap<string, Count>
  readonly #writer: GridMap<string, Count>
  #at = 0
  #acks = 0
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()
  #waiting: { readonly acks: number; readonly resolve: () => void }[] = []

  constructor(writer: Grid, reader: Grid) {
    this.#writer = writer.map('counts')
    this.reader = reader.map('counts', { nearCache: { maxStaleMs: STALE_MS } })
  }

  start(): void {
    this.#running = Promise.all([this.#write(), this.#read()])
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  /** Resolves after so many more acknowledgements. */
  acks(count: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ acks: this.#acks + count, resolve }))
  }

  #key(at: number): string {
    return `k${Math.floor(at / BURST) % KEYS}`
  }

  async #write(): Promise<void> {
    for (; !this.#stopping; this.#at++) {
      const key = this.#key(this.#at)
      const n = this.#at + 1
      try {
        await this.#writer.put(key, { n })
      } catch (error) {
        if (!(error instanceof GridError) || error.applied === 'yes') throw error
        continue
      }
      this.history.acknowledged(key, n)
      this.#acks++
      this.#waiting = this.#waiting.filter(({ acks, resolve }) => {
        if (acks > this.#acks) return true
        resolve()
        return false
      })
    }
  }

  /** The key that is being written, all the time, and all the others in their turn, twice: the second may be served here. */
  async #read(): Promise<void> {
    for (let i = 0; !this.#stopping; i++) {
      const [one, other] = [`k${i % KEYS}`, `k${(7 * i) % KEYS}`]
      const keys = [this.#key(this.#at), this.#key(this.#at), one, one, other, other]
      for (const key of keys) {
        const beganMs = performance.now()
        const value = await this.reader.get(key)
        this.history.read(key, value?.n ?? 0, beganMs)
      }
      if (i % 4 === 0) await this.#readTwice(keys[0]!)
      // Reads that are served from here never let anything else happen.
      if (i % 4 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** The second of two reads that are to be confirmed waits for a round of its own, while the key may change. */
  async #readTwice(key: string): Promise<void> {
    const beganMs = performance.now()
    const get = (): Promise<Count | undefined> => this.reader.get(key, { consistency: 'confirmed' })
    const values = await Promise.all([get(), get()])
    this.history.read(key, Math.max(...values.map((value) => value?.n ?? 0)), beganMs)
  }
}

async function withPair(use: (pair: Pair, cluster: TestCluster) => Promise<void>): Promise<Pair> {
  await using cluster = await startTestCluster()
  const pair = new Pair(cluster.grid, await cluster.connect())
  pair.start()
  await use(pair, cluster)
  await pair.stop()
  return pair
}

const killed = async (pair: Pair, cluster: TestCluster): Promise<void> => {
  await pair.acks(3000)
  await cluster.settled()
  cluster.kill(0)
  await pair.acks(3000)
  await cluster.add()
  await cluster.settled()
  await pair.acks(3000)
}

describe('what a cached read finds', () => {
  test('is not older than is said, and does not go back, while members die and join', async () => {
    const { history } = await withPair(async (pair, cluster) => {
      await killed(pair, cluster)
      // How many of the reads are served from the cache depends on the pace of writer and reader; many are, in the end.
      const stats = (): NearCacheStats => pair.reader.nearCacheStats!
      while (stats().hits < 1000 || stats().invalidations < 100) await pair.acks(100)
    })
    expect(history.violations).toEqual([])
  }, 120_000)

  test('nor while a member has vanished and is found out by its silence', async () => {
    const member = { beaconMs: 50, suspectMs: 300, leaseMs: 500, graceMs: 800 }
    await using cluster = await startTestCluster({ member })
    const pair = new Pair(cluster.grid, await cluster.connect())
    pair.start()
    await pair.acks(2000)
    await cluster.settled()
    cluster.kill(1, { certified: false })
    await pair.acks(2000)
    await pair.stop()
    expect(pair.history.violations).toEqual([])
  }, 60_000)

  test('is the own write, at once', async () => {
    await using cluster = await startTestCluster()
    const map = cluster.grid.map<string, Count>('own', { nearCache: {} })
    for (let n = 1; n <= 500; n++) {
      const key = `k${n % 7}`
      const write = map.put(key, { n })
      const early = map.get(key)
      await write
      expect([await early, await map.get(key), await map.get(key)]).toEqual([{ n }, { n }, { n }])
    }
  })
})

describe('the check finds a near cache', () => {
  let restore = (): void => {}
  afterEach(() => restore())

  function plant<N extends 'drop' | 'fill'>(name: N, fault: (original: NearCache[N]) => NearCache[N]): void {
    const original = NearCache.prototype[name]
    NearCache.prototype[name] = fault(original)
    restore = () => {
      NearCache.prototype[name] = original
    }
  }

  test('that does not hear of changes', async () => {
    plant('drop', () => () => {})
    await withPair(({ history }) => history.violated)
  }, 120_000)

  test('that keeps an answer though the key has changed on its way', async () => {
    plant(
      'fill',
      (original) =>
        function (this: NearCache, reservation, reply, call, limits) {
          return original.call(this, this.reserve(call.key) ?? reservation, reply, call, limits)
        },
    )
    await withPair(({ history }) => history.violated)
  }, 120_000)
})
