/**
 * A member's dealings with the configuration log: it folds the log into the view, keeps asking for what it wants
 * until the log shows an outcome, and helps to heal a log whose end was lost.
 *
 * The log decides, never an acknowledgement: what was appended counts when it has been read back and folded. A change of
 * a partition's configuration is asked for again and again, under ever new message ids but with the same configuration
 * id, until the log shows a successor of what it changes; it is never abandoned, for a copy under way can still land.
 *
 * *Boots.* Whenever the store's incarnation has changed, its newest entries may be gone; where the log shows less than it
 * did, they are. The first to notice records a boot, which freezes configurations; each member then heals the log where
 * it knows more, and reports. When all of the roster have, or are dead, or the roll call's time is over, changes go on.
 */

import { ByteReader } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { decodeView, encodeView } from '../membership/checkpoint.ts'
import type { MemberId, MemberInfo, PartitionConfig } from '../membership/config.ts'
import { genesis, genesisAnew } from '../membership/genesis.ts'
import { encodeMessage, type Item, type LogMessage } from '../membership/item.ts'
import { isDead } from '../membership/roster.ts'
import { emptyView, foldEntries, type View } from '../membership/view.ts'
import type { Now } from '../partition/context.ts'
import { AnnouncementKind, readAnnouncement } from '../wire/message.ts'
import { memberAnnouncement, readMemberAnnouncement, whoIsThere } from './announcement.ts'
import { LogMemory, numbered } from './log-memory.ts'
import type { Effects, Settings } from './settings.ts'
import { Wishes } from './wish.ts'

const ANNOUNCE_MS = 1000
/** How long a log may show less than this member knows before it is told. */
const HEAL_AFTER_MS = 2000
/** How long another look at the store's incarnation may take. */
const VERIFY_MS = 1000
/** Changes of configuration in one message. */
const ITEMS_MAX = 1000
/** A member that has announced itself within this time counts as there. */
const HEARD_LATELY_MS = 5 * ANNOUNCE_MS
/** Members that are remembered by their announcements. */
const ANNOUNCED_MAX = 2000
/** Entries after which somebody writes a checkpoint, unless told otherwise. */
const CHECKPOINT_ENTRIES = 1000

/** Somebody who has announced itself. */
interface Announced {
  readonly info: MemberInfo
  /** The cluster that it belongs to already, or empty. */
  readonly clusterId: string
  readonly heardMonoMs: number
}

export class ConfigLog {
  readonly #settings: Settings
  readonly #effects: Effects
  /** The cluster as the log shows it; what is read anew after a reconnect appears here only when it is complete. */
  view: View = emptyView
  #folding: View = emptyView
  /** Whether the log can be reached and has been read to its end. */
  ready = false
  #evidence = ''
  /** The log cannot be followed: it begins with a checkpoint that this member cannot read. */
  #unreadable = false
  /** Since when the log has named another incarnation of the store than the one that is seen from here. */
  #partedMonoMs: number | undefined
  #readyMonoMs = 0
  #checkpointSeq = 0
  /** The boot since which this member has healed and reported. */
  #reportedBoot = ''
  #bootMonoMs = 0
  #bootSeen = ''
  /** When this member last knew nothing newer than the log. */
  #levelMonoMs = 0
  readonly #proposals = new Map<number, PartitionConfig>()
  readonly #wishes = new Wishes()
  /** When this member last tried to found the log. */
  #foundMonoMs = Number.NEGATIVE_INFINITY
  #outgoing: Item[] = []
  readonly announced = new Map<MemberId, Announced>()
  /** What a log that has lost its end is to be told. */
  readonly memory = new LogMemory()
  /** The partitions as they were founded, where this member read of it; taken once. */
  #founding: readonly PartitionConfig[] = []
  #announcedMonoMs = Number.NEGATIVE_INFINITY
  /** What this member says of itself. */
  info: MemberInfo
  conflicted = false
  /** The newest configuration of each partition that this member knows, from whomever. */
  readonly #newest: (partition: number) => PartitionConfig | undefined

  constructor(
    settings: Settings,
    effects: Effects,
    newest: (partition: number) => PartitionConfig | undefined,
  ) {
    this.#settings = settings
    this.#effects = effects
    this.#newest = newest
    this.info = settings.self
  }

  get founded(): boolean {
    return this.view.clusterId !== ''
  }

  // ---- reading

  open(evidence: string, checkpoint: { readonly seq: number; readonly bytes: Uint8Array } | undefined): void {
    this.ready = false
    this.#evidence = evidence
    this.#folding = emptyView
    this.#unreadable = false
    try {
      if (checkpoint) this.#folding = decodeView(checkpoint.bytes)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      // Written by a newer version, or damaged. This member keeps serving as it is, and changes nothing any more.
      this.#unreadable = true
      this.#effects.note({ kind: 'control-down', detail: `checkpoint ${checkpoint?.seq}: ${error.message}` })
    }
    this.#checkpointSeq = this.#folding.version
    this.#wishes.clear()
    this.#foundMonoMs = Number.NEGATIVE_INFINITY
    this.#partedMonoMs = undefined
    this.#say(AnnouncementKind.who)
  }

  /** Folds more entries. Returns whether `view` is another one now. */
  entries(
    entries: readonly { readonly seq: number; readonly bytes: Uint8Array }[],
    caughtUp: boolean,
    now: Now,
  ): boolean {
    if (this.#unreadable) return false
    this.#fold(entries)
    if (caughtUp && !this.ready) {
      this.ready = true
      this.#readyMonoMs = now.monoMs
    }
    if (!this.ready || this.#folding === this.view) return false
    if (this.founded && this.#folding.clusterId === '') return false
    if (this.founded && this.#folding.clusterId !== this.view.clusterId) {
      this.conflicted = true
      const detail = `the log is of cluster ${this.#folding.clusterId}, this member of ${this.view.clusterId}`
      this.#effects.note({ kind: 'wrong-cluster', detail })
      return false
    }
    if (!this.memory.take(this.#folding)) {
      this.conflicted = true
      const detail = 'the log gives numbers of maps to other maps than this member knows under them'
      this.#effects.note({ kind: 'map-conflict', detail })
      return false
    }
    if (!this.founded && this.#folding.clusterId !== '') {
      this.#effects.note({ kind: 'founded', detail: this.#folding.clusterId })
    }
    this.view = this.#folding
    if (this.view.boot.id !== this.#bootSeen) {
      this.#bootSeen = this.view.boot.id
      this.#bootMonoMs = now.monoMs
      if (this.view.boot.frozen) this.#effects.note({ kind: 'boot', detail: this.view.boot.evidence })
    }
    return true
  }

  /** Up to the founding one by one: who is named in it begins there, however much later it reads of it. */
  #fold(entries: readonly { readonly seq: number; readonly bytes: Uint8Array }[]): void {
    let rest = entries
    while (this.#folding.clusterId === '' && rest.length > 0) {
      this.#folding = foldEntries(this.#folding, rest.slice(0, 1), this.#settings.hashSecret)
      this.#founding = this.#folding.configs
      rest = rest.slice(1)
    }
    this.#folding = foldEntries(this.#folding, rest, this.#settings.hashSecret)
  }

  /** The partitions as they were founded; once. */
  takeFounding(): readonly PartitionConfig[] {
    const founding = this.#founding
    this.#founding = []
    return founding
  }

  down(reason: string): void {
    this.ready = false
    this.#effects.note({ kind: 'control-down', detail: reason })
  }

  // ---- asking

  /** Puts a change of configuration to the log until the log shows its outcome. */
  propose(next: PartitionConfig): void {
    this.#proposals.set(next.partition, next)
  }

  /**
   * Asks for something, once in a while; the caller asks in each round until it sees it in the view. `key` names the wish.
   * Not of a log without a founding: it would be ignored, and by moving the log's end make the founding fail.
   */
  ask(key: string, item: Item, now: Now): void {
    if (!this.ready || this.conflicted || this.#folding.clusterId === '') return
    // Held back at the end of the turn: it must not count as asked for.
    if (item.kind === 'map' && !item.healed && !this.mayChange) return
    if (this.#wishes.due(key, now.monoMs)) this.#outgoing.push(item)
  }

  /** Sends what has been asked for, in as few messages as there can be: the end of a turn. */
  flush(now: Now, unresolved: (partition: number) => PartitionConfig | undefined): void {
    if (this.#proposals.size > 0 && this.mayChange) this.#flushProposals(now, unresolved)
    if (this.#outgoing.length === 0) return
    const { clusterId, boot } = this.view
    for (let i = 0; i < this.#outgoing.length; i += ITEMS_MAX) {
      const items = numbered(this.#outgoing.slice(i, i + ITEMS_MAX), this.view.maps.length, this.mayChange)
      if (items.length === 0) continue
      const id = this.#settings.newId()
      this.#append({ v: 1, cluster: clusterId, by: this.info.id, boot: boot.id, id, items })
    }
    this.#outgoing = []
  }

  /** Whether changes may be put to the log: it is read, its boot is recorded, and it knows all that this member does. */
  get mayChange(): boolean {
    const { boot } = this.view
    return (
      this.ready &&
      !this.conflicted &&
      !boot.frozen &&
      // What was appended last may be gone from a store that has started again; a boot is recorded first.
      boot.evidence === this.#evidence &&
      boot.id !== this.memory.rewoundBoot &&
      (this.#reportedBoot === boot.id || !boot.roster.has(this.info.id))
    )
  }

  #flushProposals(now: Now, unresolved: (partition: number) => PartitionConfig | undefined): void {
    for (const [partition, next] of this.#proposals) {
      if (unresolved(partition) !== next) this.#proposals.delete(partition)
      else if (this.#wishes.due(next.id, now.monoMs)) this.#outgoing.push({ kind: 'config', next })
    }
  }

  /**
   * Appends without a condition on where the log ends: the fold judges every item by what it changes, and the members'
   * changes after a death, each of its own partitions, must not refuse each other.
   */
  #append(message: LogMessage): void {
    this.#effects.append(encodeMessage(message), message.id, undefined)
  }

  // ---- the regular round

  tick(now: Now): void {
    // Often enough that nobody is struck off for silence who merely lost one.
    if (now.monoMs - this.#announcedMonoMs >= Math.min(ANNOUNCE_MS, this.#settings.silentRemoveMs / 5)) {
      this.#announcedMonoMs = now.monoMs
      this.#say(AnnouncementKind.member)
      this.#wishes.tidy(now.monoMs)
    }
    if (!this.ready || this.conflicted) return
    if (this.#folding.clusterId === '') this.#found(now)
    else {
      this.#checkBoot(now)
      this.#heal(now)
      this.#join(now)
      this.#recall(now)
      this.#checkpoint()
    }
  }

  /** The log is empty. One that knows the cluster founds its log anew; newcomers found a cluster when all are there. */
  #found(now: Now): void {
    const { newId, self, expectMembers, foundAfterMs } = this.#settings
    const waited = now.monoMs - this.#readyMonoMs
    if (this.founded) {
      const configs = this.view.configs.map((config, p) => newer(config, this.#newest(p)))
      this.#tryFounding(
        genesisAnew({ view: this.view, configs, evidence: this.#evidence, by: self.id, newId }),
        now,
      )
      return
    }
    const present = [...this.announced.values()].filter(
      ({ heardMonoMs }) => now.monoMs - heardMonoMs < 3 * ANNOUNCE_MS,
    )
    if (present.some(({ clusterId }) => clusterId !== '')) return
    const members = present.map(({ info }) => info)
    if (!members.some(({ id }) => id === self.id)) members.push(this.info)
    if (members.length < expectMembers || waited < foundAfterMs) return
    // All could do it; the first in order does, the others only if nothing comes of it.
    const first = members.every(({ id }) => id >= self.id)
    if (!first && waited < foundAfterMs + 2 * ANNOUNCE_MS) return
    const { partitionCount, backups, minInSync } = this.#settings
    this.#tryFounding(
      genesis({
        clusterId: newId(),
        partitionCount,
        backups,
        minInSync,
        members,
        evidence: this.#evidence,
        by: self.id,
        newId,
      }),
      now,
    )
  }

  #tryFounding(message: LogMessage, now: Now): void {
    if (now.monoMs - this.#foundMonoMs < 2 * ANNOUNCE_MS) return
    this.#foundMonoMs = now.monoMs
    // Here the filter does save noise: of several founders, all but the first are refused.
    this.#effects.append(encodeMessage(message), message.id, this.#folding.version)
  }

  #checkBoot(now: Now): void {
    const { boot } = this.view
    if (boot.id === this.memory.rewoundBoot) {
      this.#recordBoot(now)
    } else if (boot.evidence === this.#evidence) {
      this.#partedMonoMs = undefined
    } else if (this.#partedMonoMs === undefined) {
      // Either this member sees what the log has not yet heard of, or it sees what is past. It looks again first: two
      // members that each believed themselves would record boots in turn, for ever.
      this.#partedMonoMs = now.monoMs
      this.#effects.verify()
    } else if (now.monoMs - this.#partedMonoMs >= VERIFY_MS) {
      this.#partedMonoMs = undefined
      this.#recordBoot(now)
    }
    if (boot.frozen && now.monoMs - this.#bootMonoMs > this.#settings.rollCallMs) {
      this.#effects.note({
        kind: 'thaw',
        detail: `${boot.roster.size - boot.reported.size} have not reported`,
      })
      this.ask(`thaw ${boot.id}`, { kind: 'thaw', boot: boot.id }, now)
    }
  }

  #recordBoot(now: Now): void {
    const { boot } = this.view
    const id = this.#settings.newId()
    this.ask(`boot ${boot.id}`, { kind: 'boot', id, prev: boot.id, evidence: this.#evidence }, now)
  }

  /** Tells the log what it has forgotten; when it knows all that this member does, reports. */
  #heal(now: Now): void {
    const { view } = this
    let healed = true
    for (const current of view.configs) {
      const mine = this.#newest(current.partition)
      if (!mine || mine.epoch <= current.epoch) continue
      healed = false
      // Ahead of what has been read is usual for a moment: a peer has told of what the log will show.
      if (!view.boot.frozen && now.monoMs - this.#levelMonoMs < HEAL_AFTER_MS) continue
      this.ask(`heal ${current.id} ${mine.id}`, { kind: 'heal', state: mine, onto: current.id }, now)
    }
    for (const { id, name, config } of this.memory.maps.slice(view.maps.length)) {
      healed = false
      if (!view.boot.frozen && now.monoMs - this.#levelMonoMs < HEAL_AFTER_MS) continue
      this.ask(`heal map ${id}`, { kind: 'map', name, config, id, healed: true }, now)
    }
    if (healed) this.#levelMonoMs = now.monoMs
    if (!healed || this.#reportedBoot === view.boot.id) return
    const { boot } = view
    const called = boot.frozen && boot.roster.has(this.info.id) && !boot.reported.has(this.info.id)
    if (!called) this.#reportedBoot = boot.id
    // Not at once: one that the log has forgotten altogether, its joining too, must have time to come and heal.
    else if (now.monoMs - this.#bootMonoMs >= this.#settings.rollCallMinMs)
      this.ask(`report ${boot.id}`, { kind: 'report', boot: boot.id }, now)
  }

  #join(now: Now): void {
    const { view, info } = this
    if (isDead(view, info.id)) {
      this.#effects.ended('this member has been declared dead')
      return
    }
    const known = view.members.get(info.id)
    if (known?.state === info.state && known.address === info.address) return
    // One that has left is not to come back by its own announcement; one struck off for silence goes on leaving.
    if (!known && info.state === 'leaving' && !view.silent.has(info.id) && !view.named.has(info.id)) return
    this.ask(`join ${info.state} ${info.address}`, { kind: 'member', info }, now)
  }

  /** Tells a log that has lost its end who those are that it names, and who of them has died. */
  #recall(now: Now): void {
    for (const item of this.memory.corrections(this.view, this.info.id)) {
      if (item.kind === 'member') this.ask(`recall ${item.info.id}`, item, now)
      else if (item.kind === 'remove') this.ask(`dead ${item.member}`, item, now)
    }
  }

  #checkpoint(): void {
    const { view, info } = this
    if (view.version - this.#checkpointSeq < (this.#settings.checkpointEntries ?? CHECKPOINT_ENTRIES)) return
    this.#checkpointSeq = view.version
    for (const id of view.members.keys()) if (id < info.id) return
    this.#effects.checkpoint(encodeView(view), view.version)
  }

  // ---- announcements

  announcement(bytes: Uint8Array, now: Now): void {
    const { kind, id, info } = readAnnouncement(new ByteReader(bytes))
    if (kind === AnnouncementKind.who) this.#say(AnnouncementKind.member)
    if (kind === AnnouncementKind.death) {
      this.memory.died(id, Buffer.from(info).toString('utf8'))
      this.#recall(now)
    }
    if (kind !== AnnouncementKind.member) return
    const { member, clusterId } = readMemberAnnouncement(info)
    if (this.announced.size >= ANNOUNCED_MAX) this.#forgetSilent(now)
    if (this.announced.size >= ANNOUNCED_MAX && !this.announced.has(member.id)) return
    this.announced.set(member.id, { info: member, clusterId, heardMonoMs: now.monoMs })
  }

  /** Whether somebody who could take over from this member has been heard of lately, whatever the roster says. */
  hearsOthers(now: Now): boolean {
    for (const [id, { info, clusterId, heardMonoMs }] of this.announced) {
      const stranger = clusterId !== '' && clusterId !== this.view.clusterId
      if (id === this.info.id || info.state !== 'active' || stranger) continue
      if (this.view.members.get(id)?.state === 'leaving') continue
      // Whoever lives says so every second; one that has left just before is waited for no longer than this.
      if (now.monoMs - heardMonoMs < HEARD_LATELY_MS && !this.memory.hasDied(id)) return true
    }
    return false
  }

  #forgetSilent(now: Now): void {
    for (const [id, { heardMonoMs }] of this.announced) {
      if (now.monoMs - heardMonoMs > 60 * ANNOUNCE_MS) this.announced.delete(id)
    }
  }

  #say(kind: number): void {
    const who = kind === AnnouncementKind.who
    this.#effects.announce(who ? whoIsThere() : memberAnnouncement(this.info, this.view.clusterId))
  }
}

function newer(a: PartitionConfig, b: PartitionConfig | undefined): PartitionConfig {
  return b && b.epoch > a.epoch ? b : a
}
