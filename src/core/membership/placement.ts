/**
 * Placement: the table to work towards, and the next step of an owner on the way to it.
 *
 * There is no coordinator. Anyone may propose the table for a new roster, since it is a pure function of the view;
 * each owner walks its own partitions there, one step at a time: a copy is added before one is given up, so the
 * number of live in-sync replicas never falls for a move. Under-replicated partitions come first.
 */

import { placePartitions } from '../ring/table.ts'
import type { MemberId, PartitionConfig, Table } from './config.ts'
import { activeMembers, countActive, rosterDigest } from './roster.ts'
import type { Target, View } from './view.ts'

export interface Wish {
  readonly partition: number
  /** `add` a learner; `handover` the ownership; `remove` an in-sync replica. */
  readonly kind: 'add' | 'handover' | 'remove'
  readonly member: MemberId
  /** Fewer live replicas than wanted: not a mere move. */
  readonly urgent: boolean
}

/** The target for the active members of the view, or undefined where the view's target is it (or nobody is active). */
export function targetOf(view: View): Target | undefined {
  const members = activeMembers(view)
  const roster = rosterDigest(view)
  if (members.length === 0 || view.target?.roster === roster) return undefined
  const { partitionCount, backups } = view
  return { roster, table: placePartitions({ partitionCount, backups, members, previous: previousOf(view) }) }
}

/** What is there to stick to: the target before, else what the configs say. */
function previousOf(view: View): Table {
  return (
    view.target?.table ??
    view.configs.map(({ owner, inSync }) => [owner, ...inSync.filter((member) => member !== owner)])
  )
}

/** The next step for each partition that `self` owns and that is not as the target says; the urgent ones first. */
export function wishes(view: View, self: MemberId): Wish[] {
  const urgent: Wish[] = []
  const moves: Wish[] = []
  if (view.target === undefined) return urgent
  const replicas = Math.min(view.backups + 1, countActive(view))
  for (const config of view.configs) {
    if (config.owner !== self) continue
    const wish = nextStep(view, config, view.target.table[config.partition]!, replicas)
    if (wish) (wish.urgent ? urgent : moves).push(wish)
  }
  return [...urgent, ...moves]
}

function nextStep(
  view: View,
  config: PartitionConfig,
  row: readonly MemberId[],
  replicas: number,
): Wish | undefined {
  const { partition, inSync } = config
  // The roster may have changed since the target was made.
  const wanted = row.filter((member) => mayHold(view, member))
  const missing = wanted.find((member) => !inSync.includes(member))
  const living = inSync.filter((member) => view.members.has(member))
  if (missing !== undefined)
    return { partition, kind: 'add', member: missing, urgent: living.length < wanted.length }
  const owner = wanted[0]
  if (owner === undefined) return undefined
  if (owner !== config.owner) return { partition, kind: 'handover', member: owner, urgent: false }
  // All that are wanted are in sync here. The gone go first, for writes wait for them; the living only while there
  // are more than enough, for the target may name some who have gone since.
  if (inSync.length <= view.minInSync) return undefined
  const gone = inSync.find((member) => !view.members.has(member))
  if (gone !== undefined) return { partition, kind: 'remove', member: gone, urgent: true }
  const spare = inSync.find((member) => !wanted.includes(member))
  if (spare === undefined || living.length <= replicas) return undefined
  return { partition, kind: 'remove', member: spare, urgent: false }
}

/** Whether a member is still there and not about to leave. */
function mayHold(view: View, member: MemberId): boolean {
  return view.members.get(member)?.state === 'active'
}
