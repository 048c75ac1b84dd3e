/**
 * The view: what the configuration log says, as the fold of its messages in order.
 *
 * Every member folds the same log to the same view, whatever batches it arrives in. An item that does not fit is
 * ignored by everyone, alike, and counted. A view never changes: folding yields a new one, which shares what stayed
 * the same. The rules are those of ARCHITECTURE.md, "Configuration log": a partition's change must name the config
 * that it replaces, and must come from a member that has seen the newest boot of the log, for a log that was rolled
 * back may otherwise take two successors of one config (replication in Vertical Paxos II style, with the log as master).
 */

import { defaultLimits } from '../base/limits.ts'
import type { MapDefinition, MemberId, MemberInfo, MemberState, PartitionConfig, Table } from './config.ts'
import { epochOf, isWellFormed } from './config.ts'
import type { Item, ItemOf, LogMessage } from './item.ts'
import { decodeMessage } from './item.ts'
import { isDead, isNeeded, rosterDigest } from './roster.ts'

export interface View {
  /** The last entry of the log folded in; 0 before the first. */
  readonly version: number
  /** Empty until the cluster is founded. */
  readonly clusterId: string
  readonly gen: number
  readonly partitionCount: number
  readonly backups: number
  readonly minInSync: number
  /** The roster, in the order of joining. */
  readonly members: ReadonlyMap<MemberId, MemberInfo>
  /** Removed for silence without proof of death, while a config or the roll call still names them. */
  readonly silent: ReadonlyMap<MemberId, MemberInfo>
  /** Proven dead, while a config or the roll call still names them. */
  readonly dead: ReadonlySet<MemberId>
  /** Removed, and named no more: the newest `pastMax`, the dead without what they were. A change on its way may name them yet. */
  readonly past: ReadonlyMap<MemberId, MemberInfo | undefined>
  /** The current config of each partition. */
  readonly configs: readonly PartitionConfig[]
  /** In how many in-sync sets a member is. One that is in none may exit. */
  readonly named: ReadonlyMap<MemberId, number>
  /** `maps[id - 1]` */
  readonly maps: readonly MapDefinition[]
  readonly mapsByName: ReadonlyMap<string, MapDefinition>
  readonly target: Target | undefined
  readonly boot: Boot
  /** Items that were ignored, by reason. */
  readonly ignored: Readonly<Record<IgnoredReason, number>>
}

export interface Target {
  /** The digest of the roster that the table was made for. */
  readonly roster: string
  readonly table: Table
}

/** A stretch of the log's life between two events after which its end may have been lost. */
export interface Boot {
  readonly id: string
  /** What the member that wrote it saw of the store's incarnation. */
  readonly evidence: string
  /** Everyone who could know a newer config than the log, when the boot was recorded. */
  readonly roster: ReadonlySet<MemberId>
  /** Those of the roster who have healed the log since. */
  readonly reported: ReadonlySet<MemberId>
  /** While frozen, configs are not changed: the log is being healed. */
  readonly frozen: boolean
}

export type IgnoredReason = (typeof IGNORED_REASONS)[number]

export const IGNORED_REASONS = [
  'malformed',
  'unknown',
  /** Of another cluster. */
  'foreign',
  /** Before the founding. */
  'unfounded',
  /** A second founding. */
  'founded',
  /** Names something as current that is not. */
  'stale',
  /** From a member that has not seen the newest boot. */
  'boot',
  'frozen',
  /** Breaks a rule of its kind. */
  'invalid',
  /** Another config of the same epoch. */
  'conflict',
  /** Says what is known. */
  'repeat',
  /** A removal without valid proof. */
  'proof',
  /** Past a limit. */
  'full',
] as const

/** Hashes the secret of a death certificate; the same function that made `secretHash`. */
export type HashSecret = (secret: string) => string

export const membersMax = 10_000
export const pastMax = 200

export const emptyView: View = {
  version: 0,
  clusterId: '',
  gen: 0,
  partitionCount: 0,
  backups: 0,
  minInSync: 0,
  members: new Map(),
  silent: new Map(),
  dead: new Set(),
  past: new Map(),
  configs: [],
  named: new Map(),
  maps: [],
  mapsByName: new Map(),
  target: undefined,
  boot: { id: '', evidence: '', roster: new Set(), reported: new Set(), frozen: false },
  ignored: Object.fromEntries(IGNORED_REASONS.map((reason) => [reason, 0])) as Record<IgnoredReason, number>,
}

/** The view after one more message of the log, whose place in it is `seq`. */
export function fold(view: View, message: LogMessage, seq: number, hashSecret: HashSecret): View {
  const draft = new Draft(view, hashSecret)
  draft.apply(message, seq)
  return draft.view
}

/** The view after more entries of the log, as stored. What cannot be read is counted and skipped. */
export function foldEntries(
  view: View,
  entries: readonly { readonly seq: number; readonly bytes: Uint8Array }[],
  hashSecret: HashSecret,
): View {
  if (entries.length === 0) return view
  const draft = new Draft(view, hashSecret)
  for (const { seq, bytes } of entries) {
    const message = decodeMessage(bytes)
    if (message) draft.apply(message, seq)
    else draft.skip(seq)
  }
  return draft.view
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const STATES: readonly MemberState[] = ['joining', 'active', 'leaving']

/** A view in the making. Collections are copied when first written to. */
class Draft {
  readonly view: Mutable<View>
  private readonly hashSecret: HashSecret
  private readonly copied = new Set<keyof View>()

  constructor(base: View, hashSecret: HashSecret) {
    this.view = { ...base }
    this.hashSecret = hashSecret
  }

  apply(message: LogMessage, seq: number): void {
    for (const item of message.items) {
      const reason = this.judge(message, item)
      if (reason !== undefined) this.ignore(reason)
    }
    this.forget()
    this.view.version = seq
  }

  skip(seq: number): void {
    this.ignore('malformed')
    this.view.version = seq
  }

  private ignore(reason: IgnoredReason): void {
    const { view } = this
    view.ignored = { ...view.ignored, [reason]: view.ignored[reason] + 1 }
  }

  /** Folds one item in, or says why it is ignored. */
  private judge(message: LogMessage, item: Item): IgnoredReason | undefined {
    if (item.kind === 'ignored') return item.reason
    if (item.kind === 'genesis') return this.found(message, item)
    if (this.view.clusterId === '') return 'unfounded'
    if (message.cluster !== this.view.clusterId) return 'foreign'
    switch (item.kind) {
      case 'config':
        return this.change(message, item.next, false)
      case 'lost':
        return this.lose(message, item)
      case 'heal':
        return this.heal(item)
      case 'member':
        return this.join(item.info)
      case 'remove':
        return this.remove(message, item)
      case 'map':
        return this.define(message, item)
      case 'target':
        return this.retarget(item)
      case 'boot':
        return this.reboot(item)
      case 'report':
        return this.report(message, item)
      case 'thaw':
        if (item.boot !== this.view.boot.id) return 'stale'
        if (!this.view.boot.frozen) return 'repeat'
        this.view.boot = { ...this.view.boot, frozen: false }
        return undefined
    }
  }

  private found(message: LogMessage, item: ItemOf<'genesis'>): IgnoredReason | undefined {
    const { view } = this
    if (view.clusterId !== '') return message.cluster === view.clusterId ? 'founded' : 'foreign'
    if (message.cluster !== item.clusterId) return 'foreign'
    const { configs, partitionCount, gen } = item
    if (configs.length !== partitionCount || item.minInSync > item.backups + 1) return 'invalid'
    for (let p = 0; p < partitionCount; p++) {
      const config = configs[p]!
      if (config.partition !== p || !isWellFormed(config, partitionCount)) return 'invalid'
      if (gen === 1 && (config.prev !== '' || config.epoch !== epochOf(1, 1))) return 'invalid'
    }
    view.clusterId = item.clusterId
    view.gen = gen
    view.partitionCount = partitionCount
    view.backups = item.backups
    view.minInSync = item.minInSync
    view.configs = configs
    view.named = countNamed(configs)
    // A log founded anew may know less than its members do: they are called before anything changes.
    this.startBoot(message.boot, item.evidence, gen > 1)
    return undefined
  }

  private change(message: LogMessage, next: PartitionConfig, lost: boolean): IgnoredReason | undefined {
    const { view } = this
    if (!isWellFormed(next, view.partitionCount)) return 'invalid'
    const current = view.configs[next.partition]!
    if (next.id === current.id) return 'repeat'
    if (next.prev !== current.id) return 'stale'
    if (message.boot !== view.boot.id) return 'boot'
    if (view.boot.frozen) return 'frozen'
    if (next.epoch <= current.epoch) return 'invalid'
    if (next.era !== current.era + (lost ? 1 : 0)) return 'invalid'
    // Only a replica that holds every committed write may own; after a loss nobody does, and anybody may.
    if (!lost && !current.inSync.includes(next.owner)) return 'invalid'
    const ownership = !lost && next.owner === current.owner ? current.ownership : next.id
    if (next.ownership !== ownership) return 'invalid'
    this.setConfig(current, next)
    return undefined
  }

  private lose(message: LogMessage, item: ItemOf<'lost'>): IgnoredReason | undefined {
    const { next, forced } = item
    const current = this.view.configs[next.partition]
    if (next.reason !== 'lost') return 'invalid'
    const { dead } = this.view
    if (current?.id === next.prev && !forced && !current.inSync.every((m) => dead.has(m))) return 'proof'
    return this.change(message, next, true)
  }

  private heal(item: ItemOf<'heal'>): IgnoredReason | undefined {
    const { state, onto } = item
    if (!isWellFormed(state, this.view.partitionCount)) return 'invalid'
    const current = this.view.configs[state.partition]!
    if (state.id === current.id) return 'repeat'
    if (state.epoch === current.epoch) return 'conflict'
    if (onto !== current.id || state.epoch < current.epoch) return 'stale'
    this.setConfig(current, state)
    return undefined
  }

  private setConfig(current: PartitionConfig, next: PartitionConfig): void {
    const { view } = this
    if (this.first('configs')) view.configs = [...view.configs]
    if (this.first('named')) view.named = new Map(view.named)
    const configs = view.configs as PartitionConfig[]
    const named = view.named as Map<MemberId, number>
    configs[next.partition] = next
    for (const member of next.inSync) named.set(member, (named.get(member) ?? 0) + 1)
    for (const member of current.inSync) {
      const count = named.get(member)! - 1
      if (count > 0) named.set(member, count)
      else named.delete(member)
    }
  }

  private join(info: MemberInfo): IgnoredReason | undefined {
    const { view } = this
    if (isDead(view, info.id)) return 'invalid'
    const present = view.members.get(info.id)
    const known = present ?? view.silent.get(info.id) ?? view.past.get(info.id)
    if (known) {
      // Who it is stays; an older state is a message that came late.
      if (known.name !== info.name || known.secretHash !== info.secretHash) return 'invalid'
      if (known.zone !== info.zone || known.host !== info.host) return 'invalid'
      const rise = STATES.indexOf(info.state) - STATES.indexOf(known.state)
      if (rise < 0) return 'stale'
      if (present && rise === 0 && present.address === info.address) return 'repeat'
    } else if (view.members.size >= membersMax) return 'full'
    this.members().set(info.id, info)
    if (view.silent.has(info.id)) this.silent().delete(info.id)
    if (view.past.has(info.id)) view.past = new Map([...view.past].filter(([id]) => id !== info.id))
    return undefined
  }

  private remove(message: LogMessage, item: ItemOf<'remove'>): IgnoredReason | undefined {
    const { view } = this
    const { member, proof } = item
    if (isDead(view, member)) return 'repeat'
    const present = view.members.get(member)
    const info = present ?? view.silent.get(member) ?? view.past.get(member)
    if (!info) return 'stale'
    if (proof === 'silent') {
      if (!present) return 'repeat'
      this.silent().set(member, info)
    } else {
      if (!this.proven(message, item, info)) return 'proof'
      if (this.first('dead')) view.dead = new Set(view.dead)
      ;(view.dead as Set<MemberId>).add(member)
      if (!present) this.silent().delete(member)
      this.settle()
    }
    if (present) this.members().delete(member)
    return undefined
  }

  private proven(message: LogMessage, item: ItemOf<'remove'>, info: MemberInfo): boolean {
    const { by } = message
    switch (item.proof) {
      case 'left':
        return by === item.member && !isNeeded(this.view, by)
      case 'certificate':
        return (
          info.secretHash !== '' &&
          item.secret !== undefined &&
          this.hashSecret(item.secret) === info.secretHash
        )
      case 'successor':
        return by !== item.member && this.view.members.get(by)?.name === info.name
      case 'silent':
        return false
    }
  }

  /** A log that has lost its end gets its maps back, in their places, before it takes another. */
  private define(message: LogMessage, item: ItemOf<'map'>): IgnoredReason | undefined {
    const { view } = this
    const id = view.maps.length + 1
    const known = view.mapsByName.get(item.name)
    if (known) return item.healed && known.id !== item.id ? 'conflict' : 'repeat'
    if (item.id !== undefined && item.id !== id) return item.healed && item.id < id ? 'conflict' : 'stale'
    if (!item.healed && message.boot !== view.boot.id) return 'boot'
    if (!item.healed && view.boot.frozen) return 'frozen'
    if (view.maps.length >= defaultLimits.mapsMax) return 'full'
    const map: MapDefinition = { id, name: item.name, config: item.config }
    view.maps = [...view.maps, map]
    if (this.first('mapsByName')) view.mapsByName = new Map(view.mapsByName)
    ;(view.mapsByName as Map<string, MapDefinition>).set(map.name, map)
    return undefined
  }

  /** The first table for a roster holds until the roster changes. */
  private retarget(item: ItemOf<'target'>): IgnoredReason | undefined {
    const { view } = this
    if (view.target?.roster === item.roster) return 'repeat'
    if (item.roster !== rosterDigest(view)) return 'stale'
    if (item.table.length !== view.partitionCount) return 'invalid'
    for (const row of item.table) {
      if (row.length === 0 || row.length > view.backups + 1 || new Set(row).size !== row.length)
        return 'invalid'
      for (const member of row) if (!view.members.has(member)) return 'invalid'
    }
    view.target = { roster: item.roster, table: item.table }
    return undefined
  }

  private reboot(item: ItemOf<'boot'>): IgnoredReason | undefined {
    if (item.id === this.view.boot.id) return 'repeat'
    if (item.prev !== this.view.boot.id) return 'stale'
    this.startBoot(item.id, item.evidence, true)
    return undefined
  }

  private startBoot(id: string, evidence: string, frozen: boolean): void {
    const { view } = this
    const roster = new Set([...view.members.keys(), ...view.named.keys()])
    view.boot = { id, evidence, roster, reported: new Set(), frozen }
    this.settle()
  }

  private report(message: LogMessage, item: ItemOf<'report'>): IgnoredReason | undefined {
    const { boot } = this.view
    if (item.boot !== boot.id) return 'stale'
    if (!boot.roster.has(message.by) || boot.reported.has(message.by)) return 'repeat'
    this.view.boot = { ...boot, reported: new Set(boot.reported).add(message.by) }
    this.settle()
    return undefined
  }

  /** Ends the freeze when everyone called has reported or is dead. */
  private settle(): void {
    const { boot, dead } = this.view
    if (!boot.frozen) return
    for (const member of boot.roster) if (!boot.reported.has(member) && !dead.has(member)) return
    this.view.boot = { ...boot, frozen: false }
  }

  /** The dead and the silent that nothing names any more are past, until something does; judged after each message. */
  private forget(): void {
    const { named, boot, dead, silent, past } = this.view
    const wanted = (member: MemberId): boolean =>
      named.has(member) || (boot.frozen && boot.roster.has(member))
    if ([...dead, ...silent.keys()].every(wanted) && ![...past.keys()].some(wanted)) return
    const gone: [MemberId, MemberInfo | undefined][] = [...past, ...silent]
    const all = new Map(gone.concat([...dead].map((member) => [member, undefined])))
    this.view.dead = new Set([...all.keys()].filter((member) => wanted(member) && !all.get(member)))
    this.view.silent = new Map([...all].flatMap(([id, info]) => (info && wanted(id) ? [[id, info]] : [])))
    this.view.past = new Map([...all].filter(([member]) => !wanted(member)).slice(-pastMax))
    this.copied.add('dead').add('silent')
  }

  private members(): Map<MemberId, MemberInfo> {
    if (this.first('members')) this.view.members = new Map(this.view.members)
    return this.view.members as Map<MemberId, MemberInfo>
  }

  private silent(): Map<MemberId, MemberInfo> {
    if (this.first('silent')) this.view.silent = new Map(this.view.silent)
    return this.view.silent as Map<MemberId, MemberInfo>
  }

  /** Whether this is the first change to a collection, which is then to be copied. */
  private first(name: keyof View): boolean {
    if (this.copied.has(name)) return false
    this.copied.add(name)
    return true
  }
}

/** In how many in-sync sets each member is. */
export function countNamed(configs: readonly PartitionConfig[]): Map<MemberId, number> {
  const named = new Map<MemberId, number>()
  for (const { inSync } of configs)
    for (const member of inSync) named.set(member, (named.get(member) ?? 0) + 1)
  return named
}
