/**
 * Reads that any replica may answer, over real members: one client writes, another reads, and members die meanwhile.
 *
 * Every read is held against what had been acknowledged `maxStaleMs` before it was made, on the one clock that all of this
 * process share, and those of one key may never go back. Whether such checks see is for the simulation to show, whose
 * planted bugs have backups answer what they may not (test/sim/plant/any-read.ts).
 */

import { describe, expect, test } from 'vitest'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { startTestCluster, type TestCluster } from '../../src/testing.ts'

const KEYS = 20
const STALE_MS = 400
const MEMBER = { beaconMs: 50, suspectMs: 300, leaseMs: 500, graceMs: 800 }

/** One that writes rising numbers, and one that reads them. */
const PARTITIONS = 7

class Pair {
  readonly violations: string[] = []
  readonly reader: Grid
  readonly #written: GridMap<string, number>
  readonly #read: GridMap<string, number>
  readonly #acknowledged = new Map<string, { n: number; atMs: number }[]>()
  readonly #shown = new Map<string, number>()
  #reads = 0
  #acks = 0
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()
  #waiting: { readonly reads: number; readonly resolve: () => void }[] = []

  constructor(writer: Grid, reader: Grid) {
    this.reader = reader
    this.#written = writer.map('counts')
    this.#read = reader.map('counts')
  }

  start(): void {
    this.#running = Promise.all([this.#write(), this.#readAll()])
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  /** Resolves after so many more reads that a backup has answered. */
  backupReads(count: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ reads: this.#reads + count, resolve }))
  }

  async #write(): Promise<void> {
    for (let n = 1; !this.#stopping; n++) {
      const key = `k${n % KEYS}`
      try {
        await this.#written.put(key, n)
      } catch (error) {
        if (!(error instanceof GridError) || error.applied === 'yes') throw error
        continue
      }
      const list = this.#acknowledged.get(key) ?? []
      this.#acknowledged.set(key, list)
      list.push({ n, atMs: performance.now() })
      this.#acks++
    }
  }

  async #readAll(): Promise<void> {
    for (let i = 0; !this.#stopping; i++) {
      const keys = Array.from({ length: 4 }, (_, k) => `k${(i + 5 * k) % KEYS}`)
      const beganMs = performance.now()
      const shown = keys.map((key) => this.#shown.get(key) ?? 0)
      const values = await this.#read.getAll(keys, { read: 'any', maxStaleMs: STALE_MS })
      for (const [k, key] of keys.entries()) this.#check(key, values.get(key) ?? 0, beganMs, shown[k]!)
      // A backup hears of a commit with the next record: to a reader that is faster than the writer it is always behind.
      const [acks, untilMs] = [this.#acks + PARTITIONS + 1, performance.now() + STALE_MS / 10]
      while (this.#acks < acks && performance.now() < untilMs && !this.#stopping)
        await new Promise((resolve) => setImmediate(resolve))
      this.#reads = this.reader.metrics.backupReads
      this.#waiting = this.#waiting.filter(({ reads, resolve }) => {
        if (reads > this.#reads) return true
        resolve()
        return false
      })
    }
  }

  #check(key: string, n: number, beganMs: number, shown: number): void {
    const list = this.#acknowledged.get(key) ?? []
    const floor = list.findLast(({ atMs }) => atMs < beganMs - STALE_MS)?.n ?? 0
    if (n < floor) this.violations.push(`${key} is ${n}, but ${floor} was acknowledged long before`)
    if (n < shown) this.violations.push(`${key} went back from ${shown} to ${n}`)
    this.#shown.set(key, Math.max(n, shown))
  }
}

async function withPair(use: (pair: Pair, cluster: TestCluster) => Promise<void>): Promise<Pair> {
  await using cluster = await startTestCluster({ member: MEMBER, backups: 2, partitionCount: PARTITIONS })
  const pair = new Pair(cluster.grid, await cluster.connect())
  pair.start()
  await use(pair, cluster)
  await pair.stop()
  expect(pair.reader.metrics.staleReplies).toBe(0)
  return pair
}

describe('what a read from any replica finds', () => {
  test('is not older than is said, and does not go back, while members die and join', async () => {
    const { violations } = await withPair(async (pair, cluster) => {
      await pair.backupReads(300)
      await cluster.settled()
      cluster.kill(0)
      await pair.backupReads(300)
      await cluster.add()
      await cluster.settled()
      cluster.kill(1, { certified: false })
      await pair.backupReads(300)
    })
    expect(violations).toEqual([])
  }, 60_000)

  test('is the own write, once it is acknowledged or while it is under way', async () => {
    await using cluster = await startTestCluster({ member: MEMBER, partitionCount: 3 })
    const map = cluster.grid.map<string, number>('own')
    for (let n = 1; n <= 300; n++) {
      const key = `k${n % 6 === 0 ? 6 : n % 6}`
      const write = map.put(key, n)
      const early = map.get(key, { read: 'any' })
      await write
      const late = await Promise.all([map.get(key, { read: 'any' }), map.get(key, { read: 'any' })])
      expect([await early, ...late]).toEqual([n, n, n])
    }
    // Once they have heard of the commit, backups answer, too.
    while (cluster.grid.metrics.backupReads < 10) expect(await map.get('k6', { read: 'any' })).toBe(300)
  }, 60_000)
})
