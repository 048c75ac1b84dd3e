/**
 * Faults of the network between hosts that are network namespaces: silent loss between some of them in one or both
 * directions, and hosts whose link is pulled out. Clients reach every host unless a fault says otherwise, so that they
 * meet both sides of a partition: whoever serves what it must not is found out.
 *
 * Lengths are drawn on both sides of what decides: shorter than a suspicion, than a lease, than the grace time, and
 * longer than a member may be silent and stay in the roster.
 */

import type { Random } from '../../src/core/base/random.ts'
import { between, pick, shuffled } from './chance.ts'
import type { ChaosCluster, ChaosMember } from './cluster.ts'
import type { Fault } from './fault.ts'
import { last, randomMember } from './fault-process.ts'
import type { Host } from './host.ts'
import { type Heal, NamespaceHosts } from './namespace.ts'
import type { Variant } from './variant.ts'

const LENGTHS_MS = [
  [200, 900],
  [1100, 1900],
  [2100, 2900],
  [3100, 4000],
  [5000, 9000],
] as const
const FLAPS_MAX = 8

function drawLength(random: Random): Promise<void> {
  const [min, max] = pick(random, LENGTHS_MS)
  return last(between(random, min, max))
}

function networkOf(cluster: ChaosCluster): NamespaceHosts {
  if (cluster.hosts instanceof NamespaceHosts) return cluster.hosts
  throw new Error(`the hosts of ${cluster.name} have no network of their own`)
}

const hasNetwork = (variant: Variant): boolean => variant.network === 'namespaces'
const hasMany = (variant: Variant): boolean => hasNetwork(variant) && variant.members > 3
const hasOneServer = (variant: Variant): boolean => hasNetwork(variant) && variant.servers === 1

function hostsOf(members: readonly ChaosMember[]): Host[] {
  return members.map(({ host }) => host)
}

function serversOf(cluster: ChaosCluster): Host[] {
  return cluster.nats.servers.map(({ host }) => host)
}

function othersThan(cluster: ChaosCluster, some: readonly ChaosMember[]): ChaosMember[] {
  return [...cluster.members.values()].filter((member) => !some.includes(member))
}

/** The owner and a backup of one partition. */
function pairOf(cluster: ChaosCluster, random: Random): [ChaosMember, ChaosMember] {
  const config = pick(random, cluster.view.configs)
  const named = (id: string): ChaosMember | undefined =>
    [...cluster.members.values()].find((member) => member.id === id)
  const owner = named(config.owner)
  const backup = named(
    pick(
      random,
      config.inSync.filter((id) => id !== config.owner),
    ),
  )
  if (owner === undefined || backup === undefined) throw new Error('a settled cluster has owners and backups')
  return [owner, backup]
}

/** A fault that lasts for a while, with members for it drawn from a settled cluster. */
function lasting(
  name: string,
  begin: (cluster: ChaosCluster, random: Random) => Promise<Heal>,
  more: Partial<Fault> = {},
): Fault {
  return {
    name,
    allows: 'unknown',
    fits: hasNetwork,
    ...more,
    async inject(cluster, random) {
      await cluster.settled()
      const heal = await begin(cluster, random)
      await drawLength(random)
      return heal
    },
  }
}

/** Owner and backup do not hear each other, and all others hear both. */
async function cutPair(cluster: ChaosCluster, random: Random): Promise<Heal> {
  const [owner, backup] = pairOf(cluster, random)
  for (const member of [owner, backup]) cluster.hit(member)
  return await networkOf(cluster).separate([owner.host], [backup.host])
}

/** Beacons arrive and nothing comes back, or the other way round. */
async function losePair(cluster: ChaosCluster, random: Random): Promise<Heal> {
  const pair = pairOf(cluster, random)
  for (const member of pair) cluster.hit(member)
  const [from, to] = shuffled(random, pair) as [ChaosMember, ChaosMember]
  return await networkOf(cluster).lose(from.host, to.host)
}

/** The smaller part keeps NATS, or the larger one does, or both do; clients reach both. */
async function split(cluster: ChaosCluster, random: Random): Promise<Heal> {
  const members = shuffled(random, [...cluster.members.values()])
  const minority = members.slice(0, Math.ceil(members.length / 2) - 1)
  const majority = othersThan(cluster, minority)
  for (const member of minority) cluster.hit(member)
  const withNats = pick(random, ['minority', 'majority', 'both'] as const)
  const [some, others] = [hostsOf(minority), hostsOf(majority)]
  if (withNats === 'minority') some.push(...serversOf(cluster))
  if (withNats === 'majority') others.push(...serversOf(cluster))
  return await networkOf(cluster).separate(some, others)
}

/** A member that nobody but clients can reach. */
async function isolate(cluster: ChaosCluster, random: Random): Promise<Heal> {
  const lonely = randomMember(cluster, random)
  cluster.hit(lonely)
  const others = [...hostsOf(othersThan(cluster, [lonely])), ...serversOf(cluster)]
  return await networkOf(cluster).separate([lonely.host], others)
}

/** A member that clients cannot reach: to them it is gone, to the cluster it is well. */
async function hide(cluster: ChaosCluster, random: Random): Promise<Heal> {
  const network = networkOf(cluster)
  const hidden = randomMember(cluster, random)
  cluster.hit(hidden)
  return await network.separate([hidden.host], network.runner === undefined ? [] : [network.runner])
}

/** Some members, or all of them, are cut off from NATS and from nothing else; in one direction or both. */
function cutNats(all: boolean): (cluster: ChaosCluster, random: Random) => Promise<Heal> {
  return async (cluster, random) => {
    const network = networkOf(cluster)
    const members = all ? [...cluster.members.values()] : [randomMember(cluster, random)]
    const direction = pick(random, ['both', 'to', 'from'] as const)
    const pairs = members.flatMap(({ host }) => serversOf(cluster).map((server) => [host, server] as const))
    const heals: Heal[] = []
    for (const [host, server] of pairs) {
      if (direction !== 'from') heals.push(await network.lose(host, server))
      if (direction !== 'to') heals.push(await network.lose(server, host))
    }
    return async () => {
      for (const heal of heals) await heal()
    }
  }
}

/** The machine is gone for good, without a word: no connection is closed and no death certified. */
async function vanish(cluster: ChaosCluster, random: Random): Promise<Heal> {
  await cluster.settled()
  const victim = randomMember(cluster, random)
  await networkOf(cluster).unplug(victim.host)
  cluster.killHost(victim)
  return async () => {
    await cluster.add()
  }
}

/** A link that comes and goes. */
async function flap(cluster: ChaosCluster, random: Random): Promise<Heal> {
  await cluster.settled()
  const victim = randomMember(cluster, random)
  cluster.hit(victim)
  for (let flaps = between(random, 2, FLAPS_MAX); flaps > 0; flaps--) {
    const heal = await networkOf(cluster).unplug(victim.host)
    await last(between(random, 50, 1800))
    await heal()
    await last(between(random, 50, 1800))
  }
  return () => Promise.resolve()
}

/** An owner dies whose only other replica cannot tell NATS that it takes over. */
async function killWhileCut(cluster: ChaosCluster, random: Random): Promise<Heal> {
  await cluster.settled()
  const network = networkOf(cluster)
  const [owner, backup] = pairOf(cluster, random)
  const heal = await network.separate([backup.host], serversOf(cluster))
  await last(between(random, 0, 1500))
  cluster.kill(owner)
  await drawLength(random)
  return async () => {
    await heal()
    await cluster.add()
  }
}

/** One of three nats-servers hears neither of the others: where it led, another must. */
async function cutServer(cluster: ChaosCluster, random: Random): Promise<Heal> {
  const leader = await cluster.nats.leader(cluster.name)
  const victim = random.next() < 0.7 && leader !== undefined ? leader : pick(random, cluster.nats.servers)
  const others = cluster.nats.servers.filter((server) => server !== victim)
  cluster.hit()
  return await networkOf(cluster).separate(
    [victim.host],
    others.map(({ host }) => host),
  )
}

/**
 * Links are cut one after the other: an owner may have let its backups go before it is cut off from NATS, and whoever asks
 * for its partitions is then told that the one replica left is silent. It lives, and nothing is declared lost.
 */
const codes = ['PARTITION_LOST']

export const networkFaults: readonly Fault[] = [
  lasting('cut-pair', cutPair, { weight: 3 }),
  lasting('lose-one-way', losePair, { weight: 3 }),
  lasting('split', split, { weight: 2, codes }),
  lasting('isolate', isolate, { weight: 2, codes }),
  lasting('hide-from-clients', hide),
  lasting('cut-nats-one', cutNats(false), { weight: 2 }),
  lasting('cut-nats-all', cutNats(true), { fits: hasOneServer }),
  lasting('cut-nats-server', cutServer, { fits: (variant) => hasNetwork(variant) && variant.servers === 3 }),
  lasting(
    'unplug',
    async (cluster, random) => {
      const victim = randomMember(cluster, random)
      cluster.hit(victim)
      return await networkOf(cluster).unplug(victim.host)
    },
    { weight: 2 },
  ),
  { name: 'vanish', allows: 'unknown', weight: 3, fits: hasNetwork, inject: vanish },
  { name: 'flap', allows: 'unknown', fits: hasNetwork, inject: flap },
  { name: 'kill-while-cut', allows: 'unknown', codes, fits: hasMany, inject: killWhileCut },
]
