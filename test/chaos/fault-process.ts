/** Faults of member processes: ended, stopped, asked to leave; one, two or all of them. */

import type { Random } from '../../src/core/base/random.ts'
import { between, pick, shuffled } from './chance.ts'
import type { ChaosCluster, ChaosMember } from './cluster.ts'
import type { Fault } from './fault.ts'
import type { Variant } from './variant.ts'

/** Below the lease: nobody may notice more than a delay. */
const SHORT_PAUSE_MS = [300, 1500] as const
/** Above the grace time: a backup takes over, and the member comes back to find itself fenced. */
const LONG_PAUSE_MS = [4000, 8000] as const

export function randomMember(cluster: ChaosCluster, random: Random): ChaosMember {
  return pick(random, [...cluster.members.values()])
}

/** A fault has a length, of course. */
export function last(timeMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeMs))
}

const nothing = (): Promise<void> => Promise.resolve()

/** Heals the loss of members: others come in their place. */
function replace(cluster: ChaosCluster, count = 1): () => Promise<void> {
  return async () => {
    await Promise.all(Array.from({ length: count }, () => cluster.add()))
  }
}

function paused(name: string, [min, max]: readonly [number, number], whole: boolean, weight = 1): Fault {
  return {
    name,
    weight,
    allows: 'unknown',
    async inject(cluster, random) {
      await cluster.settled()
      const victim = randomMember(cluster, random)
      cluster.pause(victim, whole)
      await last(between(random, min, max))
      return async () => cluster.resume(victim)
    },
  }
}

/** Two members at once, where two backups stand behind each owner: one of each in-sync set is left. */
async function killTwo(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  const [first, second] = shuffled(random, [...cluster.members.values()]) as [ChaosMember, ChaosMember]
  cluster.kill(first)
  if (random.next() < 0.5) cluster.kill(second)
  else cluster.killHost(second)
  return replace(cluster, 2)
}

/** All replicas of some partitions at once: what they held is declared lost, loudly, and the rest stays. */
async function loseAll(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  const members = shuffled(random, [...cluster.members.values()])
  const victims = members.slice(0, cluster.variant.backups + 1)
  const atMs = performance.now()
  for (const partition of cluster.heldOnlyBy(victims)) cluster.lost.set(partition, atMs)
  for (const victim of victims) cluster.kill(victim)
  return replace(cluster, victims.length)
}

/** A backup is cut off by a pause, its owner dies just after it is back in sync or about to be. */
async function pauseThenKill(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  const [sleeper, victim] = shuffled(random, [...cluster.members.values()]) as [ChaosMember, ChaosMember]
  cluster.pause(sleeper)
  await last(between(random, 1200, 5000))
  cluster.resume(sleeper)
  await cluster.settled()
  cluster.kill(victim)
  return replace(cluster)
}

async function rolling(cluster: ChaosCluster): Promise<() => Promise<void>> {
  for (const member of [...cluster.members.values()]) {
    await cluster.add()
    await cluster.leave(member)
    await cluster.acks(100)
  }
  return nothing
}

const isWide = (variant: Variant): boolean => variant.backups > 1

export const processFaults: readonly Fault[] = [
  {
    name: 'kill',
    allows: 'unknown',
    weight: 4,
    async inject(cluster, random) {
      await cluster.settled()
      cluster.kill(randomMember(cluster, random))
      return replace(cluster)
    },
  },
  {
    name: 'kill-host',
    allows: 'unknown',
    weight: 2,
    async inject(cluster, random) {
      await cluster.settled()
      cluster.killHost(randomMember(cluster, random))
      return replace(cluster)
    },
  },
  {
    name: 'kill-parent',
    allows: 'none',
    async inject(cluster, random) {
      await cluster.settled()
      await cluster.killParent(randomMember(cluster, random))
      return replace(cluster)
    },
  },
  paused('pause-short', SHORT_PAUSE_MS, false, 4),
  paused('pause-long', LONG_PAUSE_MS, false),
  paused('pause-host', LONG_PAUSE_MS, true),
  {
    name: 'leave',
    allows: 'none',
    weight: 2,
    async inject(cluster, random) {
      const leaver = randomMember(cluster, random)
      await cluster.add()
      await cluster.leave(leaver)
      return nothing
    },
  },
  { name: 'rolling', allows: 'none', fits: (variant) => !isWide(variant), inject: rolling },
  { name: 'kill-two', allows: 'unknown', fits: isWide, inject: killTwo },
  { name: 'pause-then-kill', allows: 'unknown', inject: pauseThenKill },
  {
    name: 'kill-while-paused',
    allows: 'unknown',
    fits: isWide,
    async inject(cluster, random) {
      await cluster.settled()
      const [sleeper, victim] = shuffled(random, [...cluster.members.values()]) as [ChaosMember, ChaosMember]
      cluster.pause(sleeper)
      await last(between(random, 200, 3000))
      cluster.kill(victim)
      await last(between(random, 200, 3000))
      return async () => {
        cluster.resume(sleeper)
        await cluster.add()
      }
    },
  },
  {
    name: 'lose-all',
    allows: 'unknown',
    codes: ['PARTITION_LOST', 'SESSION_EXPIRED'],
    fits: (variant) => !isWide(variant),
    inject: loseAll,
  },
]
