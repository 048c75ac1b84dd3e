/** The kinds of clusters that a chaos run goes through. */

import { type Hosts, loopbackHosts } from './host.ts'
import { NamespaceHosts } from './namespace.ts'
import { ProxiedHosts } from './proxied-hosts.ts'
import { isSandboxed, sandboxUnavailable } from './sandbox.ts'

export interface Variant {
  readonly name: string
  readonly members: number
  readonly backups: number
  /** 3: they keep the log together. */
  readonly servers: 1 | 3
  readonly hosts: () => Promise<Hosts>
  /** What faults can do to its links. Left out: nothing. */
  readonly network?: 'namespaces' | 'proxies'
  /** Size of the disk that stores of nats-servers and logs of members are on. Left out: whatever the machine has. */
  readonly diskBytes?: number
  /** Options of members that are not at their defaults, by their flags. */
  readonly options: Readonly<Record<string, string | number>>
  /** Why there can be none here, or undefined. */
  readonly unavailable?: () => string | undefined
}

/**
 * What decides how long a failover takes is at its default; what only decides when the roster is put in order is
 * shorter, so that the next fault may come sooner.
 */
const SHORT = { 'rebalance-delay-ms': 100, 'silent-remove-ms': 6000 }
const MIB = 1024 * 1024
/** Chances of proxies; what is drawn for them hangs on the seed of the run. */
const PROXY_SEED = 1

const loopback = (): Promise<Hosts> => Promise.resolve(loopbackHosts)

/** Such clusters need what only the sandbox of `npm run chaos` has: clients in their network, and mounts that end with it. */
const sandboxLacking = (): string | undefined =>
  isSandboxed() ? undefined : (sandboxUnavailable() ?? 'only inside the sandbox of npm run chaos')

const networked = {
  hosts: () => NamespaceHosts.open(),
  network: 'namespaces',
  unavailable: sandboxLacking,
} as const

export const variants: readonly Variant[] = [
  { name: 'plain', members: 3, backups: 1, servers: 1, hosts: loopback, options: SHORT },
  { name: 'wide', members: 5, backups: 2, servers: 1, hosts: loopback, options: SHORT },
  { name: 'three-nats', members: 3, backups: 1, servers: 3, hosts: loopback, options: SHORT },
  { ...networked, name: 'hosts', members: 3, backups: 1, servers: 1, options: SHORT },
  { ...networked, name: 'hosts-wide', members: 5, backups: 2, servers: 1, options: SHORT },
  { ...networked, name: 'hosts-nats', members: 3, backups: 1, servers: 3, options: SHORT },
  {
    ...{ name: 'proxied', members: 3, backups: 1, servers: 1, options: SHORT, network: 'proxies' },
    hosts: () => Promise.resolve(new ProxiedHosts(PROXY_SEED)),
  },
  {
    ...{ name: 'small-disk', members: 3, backups: 1, servers: 1, hosts: loopback, options: SHORT },
    ...{ diskBytes: 48 * MIB, unavailable: sandboxLacking },
  },
  {
    ...{ name: 'small-memory', members: 3, backups: 1, servers: 1, hosts: loopback },
    options: { ...SHORT, 'max-memory-bytes': 24 * MIB, 'history-bytes': MIB },
  },
]
