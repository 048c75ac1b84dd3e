/**
 * The loss of a partition: nobody is left in the roster who holds what was committed.
 *
 * Where every replica of the in-sync set is proven dead, the members begin a new era by themselves (steward.ts), and
 * that is over in a moment. Where one of them was only struck off for its silence, it may be alive, and even serving
 * clients that can reach it: then an operator has to decide (`actorgrid partitions reset`), or it comes back.
 */

import type { Epoch, MemberId, MemberInfo, PartitionConfig } from './config.ts'
import { nextEpoch } from './config.ts'
import { activeMembers } from './roster.ts'
import type { View } from './view.ts'

export interface LostReplica {
  readonly id: MemberId
  /** Empty where the log has forgotten it. */
  readonly name: string
  /** Proven; else it is only silent. */
  readonly dead: boolean
}

export interface Loss {
  readonly config: PartitionConfig
  /** The in-sync set, the owner first. */
  readonly replicas: readonly LostReplica[]
}

/** What has become of a partition's replicas, if it is lost and the members may not begin it anew by themselves. */
export function lossOf(view: View, partition: number): Loss | undefined {
  const config = view.configs[partition]
  if (config === undefined) return undefined
  const { inSync, owner } = config
  if (inSync.some((id) => view.members.has(id)) || inSync.every((id) => view.dead.has(id))) return undefined
  const replicas = [owner, ...inSync.filter((id) => id !== owner)].map((id) => ({
    id,
    name: view.silent.get(id)?.name ?? '',
    dead: view.dead.has(id),
  }))
  return { config, replicas }
}

/** Replicas for people: names where they are known, ids, and what is known of each. */
export function replicasText(replicas: readonly LostReplica[]): string {
  return replicas
    .map(({ id, name, dead }) => `${name === '' ? '' : `${name} `}${id} (${dead ? 'dead' : 'silent'})`)
    .join(', ')
}

/** Who begins a lost partition anew: who is to own it, or else one of the active members in turn. */
export function heirOf(
  view: View,
  partition: number,
  living: readonly MemberInfo[] = activeMembers(view),
): MemberId | undefined {
  const wanted = view.target?.table[partition]?.find((id) => living.some((member) => member.id === id))
  return wanted ?? living[partition % Math.max(1, living.length)]?.id
}

/** The config with which a lost partition begins a new era, empty, at its heir. */
export function lostConfig(
  config: PartitionConfig,
  gen: number,
  heir: MemberId,
  id: string,
  by: MemberId,
): PartitionConfig {
  const epoch: Epoch = nextEpoch(config.epoch, gen)
  const { partition, era } = config
  return {
    partition,
    epoch,
    id,
    prev: config.id,
    owner: heir,
    ownership: id,
    inSync: [heir],
    era: era + 1,
    reason: 'lost',
    by,
  }
}
