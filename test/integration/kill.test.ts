/**
 * Members are killed at many moments while clients write: nothing acknowledged is lost, nothing is applied twice, and
 * every watcher sees each change once. Moments are counted in acknowledgements, never in time.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { startTestCluster, type TestCluster } from '../../src/testing.ts'
import { build } from '../support/cli.ts'
import { MemberProcesses } from './member-processes.ts'
import { add, Copy, type Count, countsOn, Workload } from './workload.ts'

/** Copies of everything that the workload writes, kept by watches through a client of their own. */
class Copies {
  readonly #counters: Copy<Count>
  readonly #registers: Copy<string>
  readonly #thirds: Copy<Count>

  constructor(grid: Grid) {
    const counters = grid.map<string, Count>('counters')
    this.#counters = new Copy(counters.watch(), countsOn)
    this.#thirds = new Copy(counters.watch({ where: { third: 0 } }))
    this.#registers = new Copy(grid.map<string, string>('registers').watch())
  }

  /** How often a partition had to be told anew. */
  get resets(): number {
    return this.#counters.resets + this.#registers.resets + this.#thirds.resets
  }

  async ready(): Promise<void> {
    await Promise.all([this.#counters.ready, this.#registers.ready, this.#thirds.ready])
  }

  /** Compares what the grid holds with what it has acknowledged, and waits until the copies are equal to that. */
  async verify(load: Workload): Promise<void> {
    const { counters, registers } = await load.verify()
    const entries = new Map<string, Count>()
    for await (const [key, value] of load.counters.entries()) entries.set(key, value)
    expect(entries).toEqual(counters)
    await this.#counters.equals(counters)
    await this.#registers.equals(registers)
    await this.#thirds.equals(new Map([...counters].filter(([, { third }]) => third === 0)))
  }
}

describe('a member of an embedded cluster is killed during writes', () => {
  /** Kills a random living member after a random number of acknowledgements, and adds another. */
  async function killRound(
    cluster: TestCluster,
    load: Workload,
    random: Random,
    living: number[],
    certified: boolean,
  ): Promise<void> {
    load.start()
    await load.acks(randomInt(random, 600))
    await cluster.settled()
    const [victim] = living.splice(randomInt(random, living.length), 1)
    cluster.kill(victim!, { certified })
    await load.acks(randomInt(random, 200))
    await load.everyKey()
    living.push(cluster.members.length)
    const joined = cluster.add()
    await load.everyKey()
    await load.stop()
    await joined
  }

  async function killRounds(cluster: TestCluster, rounds: number, certified: boolean): Promise<Copies> {
    const random = seededRandom(certified ? 1 : 2)
    const load = new Workload(cluster.grid)
    const copies = new Copies(await cluster.connect())
    await copies.ready()
    const living = cluster.members.map((_, index) => index)
    for (let round = 0; round < rounds; round++) {
      await killRound(cluster, load, random, living, certified)
      await copies.verify(load)
    }
    await cluster.settled()
    expect(load.errors).toEqual([])
    return copies
  }

  test('30 times, its death certified: watchers go on where they were', async () => {
    await using cluster = await startTestCluster({ processors: [add] })
    const copies = await killRounds(cluster, 30, true)
    // A reset is announced and right, but needed only where a watcher was behind as its owner died.
    expect(copies.resets).toBeLessThan(30)
  }, 240_000)

  test('5 times, found out by its silence', async () => {
    const member = { beaconMs: 50, suspectMs: 300, leaseMs: 500, graceMs: 800, silentRemoveMs: 1500 }
    await using cluster = await startTestCluster({ processors: [add], member })
    await killRounds(cluster, 5, false)
  }, 240_000)

  test('with two backups, 5 times', async () => {
    await using cluster = await startTestCluster({ processors: [add], members: 4, backups: 2 })
    await killRounds(cluster, 5, true)
  }, 240_000)
})

describe('a member leaves an embedded cluster during writes', () => {
  test('10 times, and not one call fails', async () => {
    await using cluster = await startTestCluster({ processors: [add] })
    const load = new Workload(cluster.grid, { strict: true })
    const copies = new Copies(await cluster.connect())
    await copies.ready()
    const random = seededRandom(3)
    const living = cluster.members.map((_, index) => index)
    for (let round = 0; round < 10; round++) {
      load.start()
      await load.acks(randomInt(random, 400))
      living.push(cluster.members.length)
      await cluster.add()
      await load.acks(randomInt(random, 400))
      const [leaver] = living.splice(randomInt(random, living.length), 1)
      await cluster.members[leaver!]!.leave()
      await load.everyKey()
      await load.stop()
      await copies.verify(load)
    }
    expect(copies.resets).toBeLessThan(10)
  }, 240_000)
})

describe('member processes over NATS and TCP', () => {
  let members: MemberProcesses
  let grid: Grid
  let load: Workload
  let copies: Copies

  beforeAll(async () => {
    build()
    members = await MemberProcesses.start()
    await Promise.all([members.add('a'), members.add('b'), members.add('c')])
    grid = await connect({ cluster: members.cluster, nats: members.nats, timeoutMs: 20_000 })
    load = new Workload(grid)
    const other = await connect({ cluster: members.cluster, nats: members.nats })
    copies = new Copies(other)
    await copies.ready()
    members.atEnd(() => Promise.all([grid.close(), other.close()]))
  }, 300_000)

  afterAll(() => members.close(), 60_000)

  test('a member process is killed with SIGKILL 5 times during writes', async () => {
    const random = seededRandom(4)
    for (let round = 0; round < 5; round++) {
      load.start()
      await load.acks(randomInt(random, 2000))
      await members.settled()
      const names = members.names()
      const victim = names[randomInt(random, names.length)]!
      members.kill(victim)
      await load.everyKey()
      await members.add(`k${round}`)
      await load.everyKey()
      await load.stop()
      await copies.verify(load)
    }
    expect(load.errors).toEqual([])
  }, 240_000)

  test('members are replaced one by one, each leaving on SIGTERM, and not one call fails', async () => {
    const strict = new Workload(grid, { strict: true, prefix: 'rolling-' })
    for (const name of members.names()) {
      strict.start()
      await strict.acks(500)
      await members.add(`${name}-next`)
      await members.leave(name)
      await strict.everyKey()
      await strict.stop()
      await strict.verify()
    }
  }, 240_000)
})
