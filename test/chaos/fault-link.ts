/**
 * Faults of links, made by proxies: late, narrow, stalling, torn and half-open ones, into a member or from it to NATS.
 */

import type { Random } from '../../src/core/base/random.ts'
import { between, pick } from './chance.ts'
import type { ChaosCluster, ChaosMember } from './cluster.ts'
import type { Fault } from './fault.ts'
import { last, randomMember } from './fault-process.ts'
import { ProxiedHosts } from './proxied-hosts.ts'
import type { TcpProxy } from './proxy.ts'
import { type Conditions, PERFECT, type Sender } from './proxy-stream.ts'
import type { Variant } from './variant.ts'

const LENGTH_MS = [1000, 6000] as const
const hasProxies = (variant: Variant): boolean => variant.network === 'proxies'

/** The links of one member: everyone's into it, or its own to NATS. */
type Choose = (cluster: ChaosCluster, member: ChaosMember) => readonly TcpProxy[]

function hostsOf(cluster: ChaosCluster): ProxiedHosts {
  if (cluster.hosts instanceof ProxiedHosts) return cluster.hosts
  throw new Error(`the hosts of ${cluster.name} have no proxies`)
}

const into: Choose = (cluster, { host }) => [hostsOf(cluster).into(host)]
const toNats: Choose = (cluster, { host }) => hostsOf(cluster).toNats(host)

/** Something is done to the links, and undone after a while. */
function lasting(
  name: string,
  choose: Choose,
  begin: (links: readonly TcpProxy[], random: Random) => () => void,
): Fault {
  return {
    name,
    allows: 'unknown',
    fits: hasProxies,
    async inject(cluster, random) {
      await cluster.settled()
      const member = randomMember(cluster, random)
      if (choose === into) cluster.hit(member)
      const heal = begin(choose(cluster, member), random)
      await last(between(random, ...LENGTH_MS))
      return async () => heal()
    },
  }
}

function under(draw: (random: Random) => Partial<Conditions>) {
  return (links: readonly TcpProxy[], random: Random) => {
    const conditions = { ...PERFECT, ...draw(random) }
    for (const link of links) link.conditions = conditions
    return () => {
      for (const link of links) link.conditions = PERFECT
    }
  }
}

function whileIn(what: 'swallow' | 'hold') {
  return (links: readonly TcpProxy[], random: Random) => {
    const senders = pick<readonly Sender[]>(random, [['client'], ['target'], ['client', 'target']])
    const heals = links.flatMap((link) => senders.map((sender) => link[what](sender)))
    return () => {
      for (const heal of heals) heal()
    }
  }
}

/** One end is gone and the other is never told: it has to find out, and does not get the heal as a hint. */
function abandon(links: readonly TcpProxy[], random: Random): () => void {
  const sender = pick<Sender>(random, ['client', 'target'])
  for (const link of links) link.abandon(sender)
  return () => {}
}

function reset(links: readonly TcpProxy[], random: Random): () => void {
  for (const link of links) link.reset(() => random.next() < 0.6)
  return () => {}
}

const slow = under((random) => ({ delayMs: between(random, 5, 120), jitterMs: between(random, 0, 150) }))
const narrow = under((random) => ({ bytesPerSecond: between(random, 30_000, 300_000) }))
const stalling = under((random) => ({ stallShare: 0.02, stallMs: between(random, 200, 2500) }))
const torn = under((random) => ({ resetShare: 0.005 + random.next() / 50, jitterMs: 5 }))

export const linkFaults: readonly Fault[] = [
  lasting('link-slow', into, slow),
  lasting('link-narrow', into, narrow),
  lasting('link-stalling', into, stalling),
  lasting('link-torn', into, torn),
  lasting('link-reset', into, reset),
  lasting('link-swallow', into, whileIn('swallow')),
  lasting('link-hold', into, whileIn('hold')),
  lasting('link-half-open', into, abandon),
  lasting('nats-link-slow', toNats, slow),
  lasting('nats-link-torn', toNats, torn),
  lasting('nats-link-swallow', toNats, whileIn('swallow')),
  lasting('nats-link-hold', toNats, whileIn('hold')),
  lasting('nats-link-half-open', toNats, abandon),
]
