/** Faults of the service that orders the configuration, and of members while it is away. */

import type { Random } from '../../src/core/base/random.ts'
import { between, pick } from './chance.ts'
import type { ChaosCluster } from './cluster.ts'
import type { Fault } from './fault.ts'
import { last, randomMember } from './fault-process.ts'
import type { Variant } from './variant.ts'

const isAlone = (variant: Variant): boolean => variant.servers === 1
const isThree = (variant: Variant): boolean => variant.servers === 3

/** Lets a drawn part of the load go on, but not for long where that is slow. */
async function some(cluster: ChaosCluster, random: Random, max: number): Promise<void> {
  await Promise.race([cluster.acks(between(random, 1, max)), last(3000)])
}

/**
 * Ends the service and does nothing else for a while; `before` is done to the store while it is down. From rest: a partition
 * that is being handed over just then is served by nobody until the log can be read again.
 */
function restart(before?: (cluster: ChaosCluster) => Promise<void>): Fault['inject'] {
  return async (cluster, random) => {
    await cluster.atRest()
    cluster.hit()
    await cluster.nats.kill()
    await some(cluster, random, 1500)
    return async () => {
      await before?.(cluster)
      await cluster.nats.start()
    }
  }
}

async function loseStores(cluster: ChaosCluster): Promise<void> {
  await Promise.all(cluster.nats.servers.map((server) => server.loseStore()))
}

/** What happened after the image was taken is on no disk any more: a death, takeovers, a newcomer. */
async function rollBack(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  const { servers } = cluster.nats
  const images = await Promise.all(servers.map((server) => server.image()))
  const change = pick(random, ['kill', 'leave', 'join'] as const)
  const victim = randomMember(cluster, random)
  if (change === 'kill') cluster.kill(victim)
  await cluster.add()
  if (change === 'leave') await cluster.leave(victim)
  if (random.next() < 0.5) await cluster.settled()
  else await some(cluster, random, 300)
  cluster.hit()
  await cluster.nats.kill()
  await Promise.all(servers.map((server, i) => server.rollBack(images[i]!)))
  return () => cluster.nats.start()
}

/** A member dies while nobody can write that down: its partitions wait, the others do not, and all go on afterwards. */
function deathWhileAway(whole: boolean): Fault['inject'] {
  return async (cluster, random) => {
    await cluster.settled()
    await cluster.nats.kill()
    await some(cluster, random, 300)
    const victim = randomMember(cluster, random)
    if (whole) cluster.killHost(victim)
    else cluster.kill(victim)
    await last(between(random, 500, 4000))
    return async () => {
      await cluster.nats.start()
      await cluster.add()
    }
  }
}

async function pauseWhileAway(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  await cluster.nats.kill()
  const sleeper = randomMember(cluster, random)
  cluster.pause(sleeper)
  await last(between(random, 500, 5000))
  const wakesFirst = random.next() < 0.5
  return async () => {
    if (wakesFirst) cluster.resume(sleeper)
    await cluster.nats.start()
    if (!wakesFirst) cluster.resume(sleeper)
  }
}

/** One of three servers: the one that leads the stream, or another. */
function loseServer(isLeader: boolean): Fault['inject'] {
  return async (cluster, random) => {
    const leader = await cluster.nats.leader(cluster.name)
    const others = cluster.nats.servers.filter((server) => server !== leader)
    const victim = isLeader && leader !== undefined ? leader : pick(random, others)
    await cluster.atRest()
    cluster.hit()
    await victim.kill()
    await some(cluster, random, 1500)
    return () => victim.start()
  }
}

export const natsFaults: readonly Fault[] = [
  { name: 'nats-kill', allows: 'none', inject: restart() },
  { name: 'nats-lost', allows: 'none', inject: restart(loseStores) },
  { name: 'nats-rollback', allows: 'unknown', inject: rollBack },
  {
    name: 'nats-pause',
    allows: 'none',
    async inject(cluster, random) {
      await cluster.atRest()
      cluster.hit()
      cluster.nats.pause()
      await last(between(random, 500, 6000))
      return async () => cluster.nats.resume()
    },
  },
  { name: 'nats-leader', allows: 'none', fits: isThree, inject: loseServer(true) },
  { name: 'nats-follower', allows: 'none', fits: isThree, inject: loseServer(false) },
  {
    // A member that finds no server while others do is struck off as silent, and may be the last that holds a partition.
    name: 'nats-leader-kill',
    allows: 'unknown',
    codes: ['PARTITION_LOST'],
    fits: isThree,
    async inject(cluster, random) {
      await cluster.settled()
      const leader = await cluster.nats.leader(cluster.name)
      const server = leader ?? pick(random, cluster.nats.servers)
      cluster.kill(randomMember(cluster, random))
      await server.kill()
      return async () => {
        await server.start()
        await cluster.add()
      }
    },
  },
  { name: 'nats-away-kill', allows: 'unknown', inject: deathWhileAway(false) },
  { name: 'nats-away-kill-host', allows: 'unknown', fits: isAlone, inject: deathWhileAway(true) },
  { name: 'nats-away-pause', allows: 'unknown', inject: pauseWhileAway },
]
