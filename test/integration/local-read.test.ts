/**
 * Reads through members in the same process, while members are killed, join and leave: each is held against what had been
 * acknowledged and read when it began, and against what had been written when it ended. So a read that is too old, too
 * early, or out of its client's order is seen; and with a fault planted, that it is.
 */

import { afterEach, describe, expect, test } from 'vitest'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { Lane } from '../../src/client/lane.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { LocalReads } from '../../src/core/partition/local-reads.ts'
import { defineProcessor, type EntryView } from '../../src/core/wire/processor.ts'
import type { Member } from '../../src/member/member.ts'
import { startTestCluster, type TestCluster } from '../../src/testing.ts'

const KEYS = 60

/** One key: written by one client, each value higher than the one before, and read by all. */
interface Register {
  /** The highest that a write has been made of, one that was acknowledged, and one that was read. */
  made: number
  acknowledged: number
  read: number
}

class History {
  readonly violations: string[] = []
  acks = 0
  readonly #registers = new Map<string, Register>()
  #waiting: { readonly acks: number; readonly resolve: () => void }[] = []

  of(key: string): Register {
    const register = this.#registers.get(key) ?? { made: 0, acknowledged: 0, read: 0 }
    this.#registers.set(key, register)
    return register
  }

  acknowledged(key: string, n: number): void {
    this.of(key).acknowledged = Math.max(n, this.of(key).acknowledged)
    this.acks++
    this.#waiting = this.#waiting.filter(({ acks, resolve }) => {
      if (acks > this.acks) return true
      resolve()
      return false
    })
  }

  /** Resolves after so many more acknowledgements. */
  async more(count: number): Promise<void> {
    const acks = this.acks + count
    await new Promise<void>((resolve) => this.#waiting.push({ acks, resolve }))
  }

  /** Makes a read and judges it: `least` is what it may not miss, beside what was known when it began. */
  async judge(key: string, read: () => Promise<number | undefined>, least = 0): Promise<void> {
    const register = this.of(key)
    const floor = Math.max(register.acknowledged, register.read, least)
    const n = (await read()) ?? 0
    if (n < floor) this.violations.push(`${key} is ${n}, but was ${floor} before`)
    if (n > register.made)
      this.violations.push(`${key} is ${n}, but nothing above ${register.made} was written`)
    register.read = Math.max(n, register.read)
  }
}

/** A client beside a member, which reads what everybody writes, and now and then what it has just written itself. */
class Neighbour {
  readonly grid: Grid
  readonly member: Member
  readonly #map: GridMap<string, number>
  readonly #history: History
  readonly #random: Random
  readonly #own: string
  #stopping = false
  #running: Promise<void> = Promise.resolve()

  constructor(grid: Grid, member: Member, history: History, seed: number) {
    this.grid = grid
    this.member = member
    this.#map = grid.map('registers')
    this.#history = history
    this.#random = seededRandom(seed)
    this.#own = `own ${seed}`
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#stopping; i++) {
      const key = `k${randomInt(this.#random, KEYS)}`
      await this.#history.judge(key, () => this.#map.get(key))
      if (i % 8 === 0) await this.#readOwn()
      // Such reads let nothing else happen, or hardly.
      if (i % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Behind a write that has not been answered a read must see it, and the more so afterwards. */
  async #readOwn(): Promise<void> {
    const history = this.#history
    const key = `${this.#own} ${randomInt(this.#random, 7)}`
    const n = ++history.of(key).made
    const read = (): Promise<number | undefined> => this.#map.get(key)
    const put = this.#map.put(key, n).then(() => history.acknowledged(key, n))
    const early = history.judge(key, read, n)
    await put.catch(ignore)
    await early
    await history.judge(key, read)
  }
}

/** Only that a write may have taken effect: what it has written may be read. */
function ignore(error: unknown): void {
  if (!(error instanceof GridError) || error.applied === 'yes') throw error
}

class Load {
  readonly history = new History()
  readonly neighbours: Neighbour[] = []
  readonly #cluster: TestCluster
  #stopping = false
  #writers: Promise<unknown> = Promise.resolve()

  constructor(cluster: TestCluster) {
    this.#cluster = cluster
  }

  async start(): Promise<void> {
    for (const member of this.#cluster.members) await this.join(member)
    const map = this.#cluster.grid.map<string, number>('registers')
    this.#writers = Promise.all([0, 1, 2, 3].map((writer) => this.#write(map, writer)))
  }

  async join(member: Member): Promise<void> {
    const grid = await this.#cluster.connect({ local: member })
    const neighbour = new Neighbour(grid, member, this.history, this.neighbours.length + 1)
    this.neighbours.push(neighbour)
    neighbour.start()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#writers
    await Promise.all(this.neighbours.map((neighbour) => neighbour.stop()))
  }

  /** Resolves when so many more reads have been answered by each of the members. */
  async localReads(count: number, members: readonly Member[]): Promise<void> {
    const near = this.neighbours.filter(({ member }) => members.includes(member))
    const goals = near.map(({ grid }) => grid.metrics.localReads + count)
    while (near.some(({ grid }, i) => grid.metrics.localReads < goals[i]!)) await this.history.more(1)
  }

  async #write(map: GridMap<string, number>, writer: number): Promise<void> {
    for (let i = writer; !this.#stopping; i += 4) {
      const key = `k${i % KEYS}`
      const n = ++this.history.of(key).made
      await map.put(key, n).then(() => this.history.acknowledged(key, n), ignore)
    }
  }
}

/** Kills a member and adds one, over and over; every client goes on, also the one beside the dead. */
async function kills(cluster: TestCluster, rounds: number, certified: boolean): Promise<Load> {
  const random = seededRandom(7)
  const load = new Load(cluster)
  await load.start()
  const living = [...cluster.members]
  for (let round = 0; round < rounds; round++) {
    await load.history.more(300)
    await cluster.settled()
    await load.localReads(200, living)
    const [victim] = living.splice(randomInt(random, living.length), 1)
    cluster.kill(cluster.members.indexOf(victim!), { certified })
    await load.history.more(200)
    const joined = await cluster.add()
    living.push(joined)
    await load.join(joined)
  }
  await load.localReads(200, living)
  await load.stop()
  return load
}

function check({ history, neighbours }: Load): void {
  expect(history.violations).toEqual([])
  for (const { grid } of neighbours) expect(grid.metrics.staleReplies).toBe(0)
}

describe('reads through a member in the same process', () => {
  test('are those of one copy, while members are killed and join', async () => {
    await using cluster = await startTestCluster()
    check(await kills(cluster, 8, true))
  }, 120_000)

  test('and are found out to be dead by their silence', async () => {
    const member = { beaconMs: 50, suspectMs: 300, leaseMs: 500, graceMs: 800, silentRemoveMs: 1500 }
    await using cluster = await startTestCluster({ member })
    check(await kills(cluster, 2, false))
  }, 120_000)

  test('and hand over and leave', async () => {
    await using cluster = await startTestCluster()
    const load = new Load(cluster)
    await load.start()
    const living = [...cluster.members]
    for (let round = 0; round < 5; round++) {
      await load.history.more(200)
      const joined = await cluster.add()
      living.push(joined)
      await load.join(joined)
      await load.localReads(200, living)
      await living.shift()!.leave()
    }
    await load.localReads(200, living)
    await load.stop()
    check(load)
  }, 120_000)

  test('stop with the member', async () => {
    await using cluster = await startTestCluster()
    const [member] = cluster.members
    const grid = await cluster.connect({ local: member })
    const map = grid.map<string, number>('m')
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
    await map.putAll(keys.map((key) => [key, 1]))
    expect((await map.getAll(keys)).size).toBe(100)
    const { localReads } = grid.metrics
    expect(localReads).toBeGreaterThan(10)
    expect(localReads).toBeLessThan(90)
    cluster.kill(0)
    expect((await map.getAll(keys)).size).toBe(100)
    expect(grid.metrics.localReads).toBe(localReads)
  })

  test('from within a turn, by an entry processor, go over a link', async () => {
    let map: GridMap<string, number> | undefined
    let inner: Promise<number | undefined> | undefined
    const look = defineProcessor('look', (entry: EntryView<string, number>) => {
      inner = map!.get('other')
      entry.set(2)
    })
    await using cluster = await startTestCluster({ members: 1, processors: [look] })
    const grid = await cluster.connect({ local: cluster.members[0] })
    map = grid.map<string, number>('m')
    await map.put('other', 1)
    await map.invoke('k', look)
    expect(grid.metrics.localReads).toBe(0)
    expect(await inner).toBe(1)
    expect(await map.get('k')).toBe(2)
    expect(grid.metrics.localReads).toBe(1)
  })
})

describe('the check finds', () => {
  let restore = (): void => {}
  afterEach(() => restore())

  async function violations(): Promise<number> {
    await using cluster = await startTestCluster()
    const load = new Load(cluster)
    await load.start()
    await load.history.more(2000)
    await load.stop()
    return load.history.violations.length
  }

  test('reads that overtake a write of their own client', async () => {
    const original = Object.getOwnPropertyDescriptor(Lane.prototype, 'isQuiet')!
    Object.defineProperty(Lane.prototype, 'isQuiet', { get: () => true, configurable: true })
    restore = () => Object.defineProperty(Lane.prototype, 'isQuiet', original)
    expect(await violations()).toBeGreaterThan(0)
  }, 60_000)

  test('reads by one that does not own the partition any more', async () => {
    const original = LocalReads.prototype.answer
    const values = new Map<string, Buffer>()
    LocalReads.prototype.answer = function (view, now, reply) {
      const key = view.bytes.toString('hex', view.keyStart, view.keyEnd)
      const kept = values.get(key)
      if (!original.call(this, view, now, reply)) return false
      // As if what it holds had stopped changing.
      if (kept === undefined)
        values.set(key, Buffer.from(reply.bytes.subarray(reply.payloadStart, reply.payloadEnd)))
      else Object.assign(reply, { bytes: kept, payloadStart: 0, payloadEnd: kept.length })
      return true
    }
    restore = () => {
      LocalReads.prototype.answer = original
    }
    expect(await violations()).toBeGreaterThan(0)
  }, 60_000)
})
