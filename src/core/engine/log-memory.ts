/**
 * What a member remembers of the configuration log beyond its present view, for a log that has lost its end: maps and their
 * numbers, who the members were, and the certificates of those that died.
 *
 * Whoever lives comes back by itself when the log has forgotten it. The dead cannot, and maps do not: without this the
 * number of a lost map would go to another one, and a healed configuration could name somebody of whom nothing can be
 * proven any more, which keeps its partition waiting for ever.
 */

import type { MapDefinition, MemberId, MemberInfo } from '../membership/config.ts'
import type { Item } from '../membership/item.ts'
import { emptyView, type View } from '../membership/view.ts'

/** Members of the past whose entries are kept. */
const MEMBERS_MAX = 20_000
const SECRETS_MAX = 2000
/** Boots that are remembered: those that a log may fall back to. */
const BOOTS_MAX = 100

export class LogMemory {
  readonly #members = new Map<MemberId, MemberInfo>()
  readonly #secrets = new Map<MemberId, string>()
  readonly #boots = new Map<string, true>()
  /** The boot that the log had fallen back to when it was found to have lost its end. */
  rewoundBoot: string | undefined
  /** Every map that the log has shown. */
  maps: readonly MapDefinition[] = []
  #view = emptyView

  /** Takes in a newer view. Returns false where it gives the number of a map to another one. */
  take(view: View): boolean {
    const { maps, members, silent, boot } = view
    // A boot that this member has not seen was recorded since.
    if (this.#boots.has(boot.id) && hasRewound(this.#view, view)) this.rewoundBoot = boot.id
    this.#boots.set(boot.id, true)
    trim(this.#boots, BOOTS_MAX)
    if (maps.some(({ name }, i) => i < this.maps.length && name !== this.maps[i]!.name)) return false
    if (maps.length > this.maps.length) this.maps = maps
    if (members !== this.#view.members || silent !== this.#view.silent) {
      for (const info of [...silent.values(), ...members.values()]) {
        this.#members.delete(info.id)
        this.#members.set(info.id, info)
      }
      trim(this.#members, MEMBERS_MAX)
    }
    this.#view = view
    return true
  }

  /** A parent has revealed the secret of its child, which has ended. */
  died(id: MemberId, secret: string): void {
    if (!this.#members.has(id)) return
    this.#secrets.set(id, secret)
    trim(this.#secrets, SECRETS_MAX)
  }

  /** Whether a member is known to have ended. */
  hasDied(id: MemberId): boolean {
    return this.#secrets.has(id)
  }

  /** What the log is to be told of members that it names, or counts as living, for want of knowing better. */
  corrections({ members, silent, dead, past, named }: View, self: MemberId): Item[] {
    const items: Item[] = []
    for (const id of named.keys()) {
      const info = this.#members.get(id)
      if (info && id !== self && !members.has(id) && !silent.has(id) && !dead.has(id))
        items.push({ kind: 'member', info })
    }
    for (const [id, secret] of this.#secrets) {
      if (members.has(id) || silent.has(id) || past.get(id))
        items.push({ kind: 'remove', member: id, proof: 'certificate', secret })
    }
    return items
  }
}

/** Whether the log shows less than it had shown before: its end was lost, whatever its store says of itself. */
function hasRewound(before: View, after: View): boolean {
  if (before.clusterId === '' || after.clusterId !== before.clusterId) return false
  if (after.version < before.version || after.maps.length < before.maps.length) return true
  if (after.configs === before.configs) return false
  return before.configs.some(({ epoch }, partition) => after.configs[partition]!.epoch < epoch)
}

/** Gives new maps the next numbers; none is asked for while the log may have lost maps that others know. */
export function numbered(items: readonly Item[], known: number, mayChange: boolean): Item[] {
  let id = known
  return items
    .filter((item) => item.kind !== 'map' || item.healed || mayChange)
    .map((item) => (item.kind === 'map' && !item.healed ? { ...item, id: ++id } : item))
}

/** Keeps the newest `max` rows. */
function trim(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return
    map.delete(key)
  }
}
