/** Members are killed at many moments while clients write: nothing acknowledged is lost, nothing is applied twice. */

import { describe, expect, test } from 'vitest'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { startTestCluster, type TestCluster } from '../../src/testing.ts'
import { add, Copy, type Count, countsOn, Workload } from './workload.ts'

/** Kills a random living member after a random number of acknowledgements, checks everything, and adds another. */
async function killRound(
  cluster: TestCluster,
  load: Workload,
  random: Random,
  alive: number[],
  certified: boolean,
): Promise<void> {
  load.start()
  await load.acks(randomInt(random, 600))
  await cluster.settled()
  const [victim] = alive.splice(randomInt(random, alive.length), 1)
  cluster.kill(victim!, { certified })
  await load.acks(randomInt(random, 200))
  await load.everyKey()
  const added = cluster.members.length
  const joined = cluster.add()
  await load.everyKey()
  await load.stop()
  await load.verify()
  alive.push(added)
  await joined
  await cluster.settled()
}

async function run(cluster: TestCluster, seed: number, rounds: number, certified: boolean): Promise<void> {
  const random = seededRandom(seed)
  const load = new Workload(cluster.grid)
  const other = await cluster.connect()
  const counters = new Copy(other.map<string, Count>('counters').watch(), countsOn)
  const registers = new Copy(other.map<string, string>('registers').watch())
  const thirds = new Copy(other.map<string, Count>('counters').watch({ where: { third: 0 } }))
  await Promise.all([counters.ready, registers.ready])
  const alive = cluster.members.map((_, index) => index)
  for (let round = 0; round < rounds; round++) {
    await killRound(cluster, load, random, alive, certified)
    const held = await load.verify()
    await counters.equals(held.counters)
    await registers.equals(held.registers)
    await thirds.equals(new Map([...held.counters].filter(([, { third }]) => third === 0)))
  }
  const entries = new Map<string, Count>()
  for await (const [key, value] of load.counters.entries()) entries.set(key, value)
  await counters.equals(entries)
  expect(load.errors).toEqual([])
  expect(counters.resets + registers.resets + thirds.resets).toBe(0)
}

describe('a member of an embedded cluster is killed during writes', () => {
  test('30 times, its death certified', async () => {
    await using cluster = await startTestCluster({ processors: [add] })
    await cluster.settled()
    await run(cluster, 1, 30, true)
  }, 300_000)
})
