/**
 * Load over capacity: far more outstanding calls than there is room for, with large values; watchers that do not read; members
 * without memory left. Every refusal must be a typed error that says truly whether the write took effect, whatever was
 * acknowledged must be there, and members must not grow beyond their bounds.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect } from '../../src/client/connect.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { type Random, randomInt } from '../../src/core/base/random.ts'
import { between } from './chance.ts'
import { Violation } from './check.ts'
import { type ChaosCluster, ROOT } from './cluster.ts'
import type { Fault } from './fault.ts'
import type { Variant } from './variant.ts'
import { guard, release } from './watchdog.ts'

const REFUSALS = ['OVERLOADED', 'TIMEOUT', 'STORE_FULL', 'TOO_LARGE'] as const
/** Beside what entries may take: V8's heap, the code, what is under way, and history. */
const OTHER_BYTES_MAX = 700 * 1024 * 1024
const WATCHERS = 3

interface Large {
  readonly n: number
  readonly pad: string
}

/** What became of the writes of one key, whose numbers rise. */
interface Told {
  /** The highest that was acknowledged. */
  acknowledged: number
  /** Those that were refused and are said to have had no effect. */
  readonly refused: Set<number>
  sent: number
}

/** One client that floods, and what it was told. */
class Flood {
  readonly told = new Map<string, Told>()
  readonly codes = new Map<string, number>()
  acknowledged = 0
  readonly #map: GridMap<string, Large>
  #rssMax = 0

  constructor(map: GridMap<string, Large>) {
    this.#map = map
  }

  /** Sends `count` writes without waiting for any, then waits for all. */
  async burst(
    cluster: ChaosCluster,
    count: number,
    bytes: number,
    keyOf: (i: number) => string,
  ): Promise<void> {
    const pad = 'x'.repeat(bytes)
    const calls = Array.from({ length: count }, (_, i) => this.#put(keyOf(i), pad))
    const watch = setInterval(() => this.#measure(cluster), 100)
    try {
      await Promise.all(calls)
    } finally {
      clearInterval(watch)
    }
    this.#measure(cluster)
  }

  async #put(key: string, pad: string): Promise<void> {
    const told = this.told.get(key) ?? { acknowledged: 0, refused: new Set<number>(), sent: 0 }
    this.told.set(key, told)
    const n = ++told.sent
    try {
      await this.#map.put(key, { n, pad }, { timeoutMs: 15_000 })
      told.acknowledged = Math.max(told.acknowledged, n)
      this.acknowledged++
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      if (!REFUSALS.some((code) => code === error.code))
        throw new Violation(`a write over capacity failed with ${error.code}: ${error.message}`)
      if (error.applied === 'no') told.refused.add(n)
      this.codes.set(error.code, (this.codes.get(error.code) ?? 0) + 1)
    }
  }

  #measure(cluster: ChaosCluster): void {
    for (const { pid } of cluster.members.values()) this.#rssMax = Math.max(this.#rssMax, rssOf(pid))
  }

  /** Reads everything back. @throws Violation */
  async check(cluster: ChaosCluster, what: string): Promise<void> {
    for (const [key, { acknowledged, refused, sent }] of this.told) {
      const n = (await this.#map.get(key, { timeoutMs: 30_000 }))?.n ?? 0
      if (n < acknowledged || n > sent)
        throw new Violation(`${what}: ${key} is ${n}, but ${acknowledged} of ${sent} was acknowledged`)
      if (refused.has(n)) throw new Violation(`${what}: ${key} is ${n}, which was refused as not applied`)
    }
    const refusals = [...this.codes].map(([code, count]) => `${code} ${count}`).join(', ')
    const mib = Math.round(this.#rssMax / 1024 / 1024)
    process.stdout.write(
      `${cluster.name} ${what}: ${this.acknowledged} writes acknowledged and found again, refused: ` +
        `${refusals === '' ? 'none' : refusals}; members at most ${mib} MiB\n`,
    )
    const boundBytes = Number(cluster.variant.options['max-memory-bytes'] ?? 1024 ** 3) + OTHER_BYTES_MAX
    if (this.#rssMax > boundBytes) throw new Violation(`${what}: a member took ${mib} MiB`)
  }

  /** Gives the memory back. */
  async clear(): Promise<void> {
    for (const key of this.told.keys()) await this.#map.remove(key, { timeoutMs: 30_000 })
  }
}

/** Memory that a process occupies, in bytes. */
function rssOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0 // it has ended
  }
}

async function flooding(
  cluster: ChaosCluster,
  what: string,
  bursts: (flood: Flood) => Promise<void>,
): Promise<() => Promise<void>> {
  const grid = await connect({ cluster: cluster.name, nats: cluster.nats.urls, name: 'flood' })
  try {
    const flood = new Flood(grid.map<string, Large>('flood'))
    await bursts(flood)
    await flood.check(cluster, what)
    await flood.clear()
  } finally {
    await grid.close()
  }
  return () => Promise.resolve()
}

/** Many calls at once on few keys, so that queues run over; the values are small or large. */
function burst(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  const bytes = between(random, 0, 1) === 0 ? 100 : 60_000
  const count = bytes > 1000 ? 4000 : 40_000
  return flooding(cluster, `flood of ${bytes} B`, async (flood) => {
    for (let i = 0; i < 2; i++) await flood.burst(cluster, count, bytes, () => `k${randomInt(random, 60)}`)
  })
}

/** As much as fits and more, on keys of their own. */
function fill(cluster: ChaosCluster): Promise<() => Promise<void>> {
  return flooding(cluster, 'full memory', async (flood) => {
    for (let round = 0; round < 12; round++)
      await flood.burst(cluster, 150, 30_000, (i) => `fill-${round}-${i}`)
    if (!flood.codes.has('STORE_FULL')) throw new Violation('the members took more than their memory')
  })
}

/** Watchers whose processes stand still: what they do not read must not be kept for them without a bound. */
async function slowWatchers(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  const watchers = await Promise.all(Array.from({ length: WATCHERS }, () => stoppedWatcher(cluster)))
  try {
    return await flooding(cluster, 'watchers that do not read', async (flood) => {
      for (let i = 0; i < 3; i++) await flood.burst(cluster, 1500, 50_000, () => `k${randomInt(random, 60)}`)
    })
  } finally {
    for (const watcher of watchers) await ended(watcher)
  }
}

async function stoppedWatcher(cluster: ChaosCluster): Promise<ChildProcess> {
  const program = join(ROOT, 'test', 'chaos', 'watcher.mjs')
  const args = [program, cluster.name, cluster.nats.urls.join(','), 'flood']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  guard(child.pid!)
  child.once('close', () => release(child.pid!))
  await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve)
    child.once('close', () => reject(new Error('a watcher ended before it watched')))
  })
  child.kill('SIGSTOP')
  return child
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve())
    child.kill('SIGKILL')
  })
}

const isRoomy = (variant: Variant): boolean => variant.options['max-memory-bytes'] === undefined
const isOnLoopback = (variant: Variant): boolean => isRoomy(variant) && variant.network === undefined
const codes = ['OVERLOADED']

export const overloadFaults: readonly Fault[] = [
  { name: 'flood', allows: 'unknown', codes, fits: isOnLoopback, inject: burst },
  { name: 'slow-watchers', allows: 'unknown', codes, fits: isOnLoopback, inject: slowWatchers },
  {
    ...{ name: 'full-memory', allows: 'unknown', codes: [...codes, 'STORE_FULL'], weight: 2 },
    fits: (variant) => !isRoomy(variant),
    inject: fill,
  },
]
