/**
 * The first message of a log: the founding of a cluster by the members that have announced themselves, or, where the
 * log was lost, its founding anew by one that still knows the cluster.
 *
 * Both are pure functions. Whether to found is the caller's question: it has asked for incumbents before, and of two
 * founders the log takes the first. A log founded anew keeps the configs as they are known, ids and epochs too, under
 * the next generation; it is frozen until the others have healed what the founder did not know.
 */

import { assert } from '../base/assert.ts'
import { placePartitions } from '../ring/table.ts'
import type { MemberId, MemberInfo, PartitionConfig } from './config.ts'
import { epochOf } from './config.ts'
import type { Item, LogMessage } from './item.ts'
import { rosterDigest } from './roster.ts'
import type { View } from './view.ts'

export interface Founding {
  readonly clusterId: string
  readonly partitionCount: number
  readonly backups: number
  readonly minInSync: number
  /** Everyone who takes part from the start. */
  readonly members: readonly MemberInfo[]
  /** What the founder sees of the store's incarnation. */
  readonly evidence: string
  readonly by: MemberId
  /** A new random id at each call: for the message, the boot and each config. */
  readonly newId: () => string
}

/** Founds a cluster: settings, first configs from the ring, roster and target table, in one message. */
export function genesis(founding: Founding): LogMessage {
  const { clusterId, partitionCount, backups, minInSync, evidence, by, newId } = founding
  assert(founding.members.length > 0, 'a cluster has members')
  const members = founding.members
    .map((info): MemberInfo => ({ ...info, state: 'active' }))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const table = placePartitions({ partitionCount, backups, members })
  const configs = table.map((row, partition): PartitionConfig => {
    const id = newId()
    return {
      partition,
      epoch: epochOf(1, 1),
      id,
      prev: '',
      owner: row[0]!,
      ownership: id,
      inSync: row,
      era: 0,
      reason: 'genesis',
      by,
    }
  })
  const roster = rosterDigest({ members: new Map(members.map((info) => [info.id, info])) })
  const items: Item[] = [
    { kind: 'genesis', clusterId, partitionCount, backups, minInSync, gen: 1, configs, evidence },
    ...members.map((info): Item => ({ kind: 'member', info })),
    { kind: 'target', roster, table },
  ]
  return { v: 1, cluster: clusterId, by, boot: newId(), id: newId(), items }
}

export interface Refounding {
  /** What the founder knew last. */
  readonly view: View
  /** The newest config of each partition that the founder knows, by partition; newer than the view's or the same. */
  readonly configs: readonly PartitionConfig[]
  readonly evidence: string
  readonly by: MemberId
  readonly newId: () => string
}

/** Founds a lost log anew: the same cluster, the next generation, the live configs, roster and maps; frozen. */
export function genesisAnew({ view, configs, evidence, by, newId }: Refounding): LogMessage {
  const { clusterId, partitionCount, backups, minInSync, target } = view
  const boot = newId()
  const items: Item[] = [
    { kind: 'genesis', clusterId, partitionCount, backups, minInSync, gen: view.gen + 1, configs, evidence },
    ...[...view.members.values()].map((info): Item => ({ kind: 'member', info })),
    ...view.maps.map(({ id, name, config }): Item => ({ kind: 'map', name, config, id, healed: true })),
    ...(target ? [{ kind: 'target' as const, ...target }] : []),
    { kind: 'boot', id: newId(), prev: boot, evidence },
  ]
  return { v: 1, cluster: clusterId, by, boot, id: newId(), items }
}
