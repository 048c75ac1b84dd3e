/**
 * What happens to the cluster, as far as a client hears of it.
 */

import type { ClientView } from '../core/wire/message.ts'

/** A member as clients know it. */
export interface RosterMember {
  /** The incarnation: a process that starts again is another member. */
  readonly id: string
  readonly name: string
  readonly address: string
}

export type GridEvent =
  | { readonly type: 'memberJoined' | 'memberLeft'; readonly member: RosterMember }
  /** Partitions whose owner is another one than before. */
  | { readonly type: 'partitionsMoved'; readonly partitions: readonly number[] }
  /** Partitions that nobody owns. */
  | { readonly type: 'partitionsLost'; readonly partitions: readonly number[] }
  /** No member is connected; the client goes on looking for one. */
  | { readonly type: 'connectionLost'; readonly address: string; readonly reason: string }
  | { readonly type: 'connectionRestored'; readonly address: string }
  /** Events were dropped because the iterator was not read. */
  | { readonly type: 'missed'; readonly count: number }

/** What a newer view tells. */
export function eventsBetween(before: ClientView, after: ClientView): GridEvent[] {
  const events: GridEvent[] = []
  const old = new Set(before.members.map(({ id }) => id))
  const now = new Set(after.members.map(({ id }) => id))
  for (const member of after.members) if (!old.has(member.id)) events.push({ type: 'memberJoined', member })
  for (const member of before.members) if (!now.has(member.id)) events.push({ type: 'memberLeft', member })
  const moved: number[] = []
  const lost: number[] = []
  for (let p = 0; p < after.owners.length; p++) {
    const owner = ownerOf(after, p)
    if (owner === ownerOf(before, p)) continue
    ;(owner === undefined ? lost : moved).push(p)
  }
  if (moved.length > 0) events.push({ type: 'partitionsMoved', partitions: moved })
  if (lost.length > 0) events.push({ type: 'partitionsLost', partitions: lost })
  return events
}

export function ownerOf(view: ClientView, partition: number): string | undefined {
  return view.members[view.owners[partition]!]?.id
}
