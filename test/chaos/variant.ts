/** The kinds of clusters that a chaos run goes through. */

import { type Hosts, loopbackHosts } from './host.ts'

export interface Variant {
  readonly name: string
  readonly members: number
  readonly backups: number
  /** 3: they keep the log together. */
  readonly servers: 1 | 3
  readonly hosts: () => Promise<Hosts>
  /** Options of members that are not at their defaults, by their flags. */
  readonly options: Readonly<Record<string, string | number>>
  /** Why there can be none here, or undefined. */
  readonly unavailable?: () => string | undefined
}

/**
 * What decides how long a failover takes is at its default; what only decides when the roster is put in order is
 * shorter, so that the next fault may come sooner.
 */
const SHORT = { 'rebalance-delay-ms': 100, 'silent-remove-ms': 4000 }
const loopback = (): Promise<Hosts> => Promise.resolve(loopbackHosts)

export const variants: readonly Variant[] = [
  { name: 'plain', members: 3, backups: 1, servers: 1, hosts: loopback, options: SHORT },
  { name: 'wide', members: 5, backups: 2, servers: 1, hosts: loopback, options: SHORT },
  { name: 'three-nats', members: 3, backups: 1, servers: 3, hosts: loopback, options: SHORT },
]
