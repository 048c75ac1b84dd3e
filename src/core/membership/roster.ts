/**
 * Who may hold data: the members that are active, and one short text that stands for all of them, so that a table
 * can say which roster it was made for.
 */

import { hashBytes } from '../ring/hash.ts'
import type { MemberId, MemberInfo } from './config.ts'

interface Roster {
  readonly members: ReadonlyMap<MemberId, MemberInfo>
}

interface Gone {
  readonly dead: ReadonlySet<MemberId>
  readonly past: ReadonlyMap<MemberId, MemberInfo | undefined>
}

interface Named {
  readonly named: ReadonlyMap<MemberId, unknown>
  readonly silent: ReadonlyMap<MemberId, MemberInfo>
}

/** The members that partitions are placed on, by id. */
export function activeMembers(view: Roster): MemberInfo[] {
  return [...view.members.values()]
    .filter(({ state }) => state === 'active')
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}

/** How many members partitions are placed on. */
export function countActive(view: Roster): number {
  let count = 0
  for (const { state } of view.members.values()) if (state === 'active') count++
  return count
}

/** Whether a member is proven dead, as far as the log remembers. */
export function isDead({ dead, past }: Gone, member: MemberId): boolean {
  return dead.has(member) || (past.has(member) && !past.get(member))
}

/** A digest of the members that partitions are placed on and of where they stand: 16 hexadecimal digits. */
export function rosterDigest(view: Roster): string {
  const rows = activeMembers(view).map(({ id, zone, host }) => [id, zone, host])
  // Two hashes of one text whose words begin at other places: 32 bits alone would meet by chance now and then.
  const bytes = Buffer.from(`.${JSON.stringify(rows)}`)
  return [hashBytes(bytes, 0, bytes.length), hashBytes(bytes, 1, bytes.length)]
    .map((hash) => hash.toString(16).padStart(8, '0'))
    .join('')
}

/** Whether a configuration counts on a member, and there is somebody who could still take from it what it holds. */
export function isNeeded({ named, silent, members }: Named & Roster, member: MemberId): boolean {
  const stays = [...members.values()].some(({ id, state }) => id !== member && state !== 'leaving')
  return named.has(member) && (stays || [...silent.keys()].some((id) => id !== member))
}
