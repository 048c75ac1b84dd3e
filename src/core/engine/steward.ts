/**
 * A member's care for the partitions: what the view says is to be done, and by whom.
 *
 * Nothing here is needed for safety; every step is a proposal that the log judges. Deaths first: who owns with a dead
 * backup takes it out, who backs up a dead owner takes over. Then silence: the same, after the times of the protocol.
 * Then what has no replica left at all. Then, when the roster has stood still for a while, the walk to the target
 * table: add, hand over, remove, a few at a time.
 */

import { type MemberId, nextEpoch, type PartitionConfig, successorOf } from '../membership/config.ts'
import { heirOf, lostConfig } from '../membership/loss.ts'
import { targetOf, wishes } from '../membership/placement.ts'
import { emptyView, type Target, type View } from '../membership/view.ts'
import type { Now } from '../partition/context.ts'
import type { Partition } from '../partition/partition.ts'
import type { ConfigLog } from './config-log.ts'
import type { Effects, Settings } from './settings.ts'

/** Between one backup's claim to an owner's place and the next one's. */
const STAGGER_MS = 400
/** A gap between two rounds above which this member stood still, and blames nobody else for the silence. */
const STALL_MS = 500
/**
 * A gap between two rounds above which the rest counts for nobody's silence: what has come meanwhile is only read after the
 * round. On a busy machine both sides are late, and two small delays must not add up to a suspicion.
 */
const LATE_MS = 100
/** Between two rounds the monotonic clock and the wall clock may part by so much. */
const CLOCKS_PART_MS = 200
/** Handovers under way at a time: each stops its partition for the length of one proposal. */
const HANDOVERS_MAX = 16

export class Steward {
  readonly #settings: Settings
  readonly #effects: Effects
  readonly #log: ConfigLog
  readonly #partitions: readonly Partition[]
  #tickMonoMs = Number.NEGATIVE_INFINITY
  #tickWallMs = 0
  /** When this member last stood still: suspicion starts from there. */
  #stalledMonoMs = 0
  /** When this member last heard itself, and since when it has done so without a long gap. */
  #echoMonoMs = Number.NEGATIVE_INFINITY
  #hearingMonoMs = 0
  #rosterMonoMs = 0
  #rosterSize = ''
  /** What `targetOf` says of the view that was looked at last; it takes a walk over the whole roster. */
  #target: { readonly of: View; readonly target: Target | undefined } = { of: emptyView, target: undefined }
  #deadMonoMs = new Map<MemberId, number>()
  /** Changes by which this member takes itself out of an in-sync set, by partition. */
  readonly #asides = new Map<number, { readonly sinceMonoMs: number; readonly next: PartitionConfig }>()
  /** Those that stood under this member's name when it joined. */
  #predecessors: readonly MemberId[] | undefined

  constructor(settings: Settings, effects: Effects, log: ConfigLog, partitions: readonly Partition[]) {
    this.#settings = settings
    this.#effects = effects
    this.#log = log
    this.#partitions = partitions
  }

  /** The view has changed: what the dead have left behind is taken up at once. */
  viewed(now: Now): void {
    const { view } = this.#log
    for (const id of view.dead) if (!this.#deadMonoMs.has(id)) this.#deadMonoMs.set(id, now.monoMs)
    for (const id of this.#deadMonoMs.keys()) if (!view.dead.has(id)) this.#deadMonoMs.delete(id)
    if (view.dead.size > 0) this.#buryAll(view, now)
    this.#removePredecessors(view, now)
    const roster = [...view.members.values()].map(({ id, state }) => id + state).join()
    if (roster !== this.#rosterSize) {
      this.#rosterSize = roster
      this.#rosterMonoMs = now.monoMs
      this.#effects.note({ kind: 'roster', detail: `${view.members.size} members` })
    }
  }

  tick(now: Now): void {
    const { view } = this.#log
    const passedMs = now.monoMs - this.#tickMonoMs
    if (passedMs > STALL_MS) this.#stalled(now)
    else if (passedMs > LATE_MS) this.#late(passedMs - LATE_MS, now)
    // The clocks disagree: the machine was suspended, or somebody set one. No lease can be trusted.
    if (Math.abs(now.wallMs - this.#tickWallMs - passedMs) > CLOCKS_PART_MS) {
      for (const { owner } of this.#partitions) owner?.log.dropLeases(now.monoMs)
    }
    this.#tickMonoMs = now.monoMs
    this.#tickWallMs = now.wallMs
    if (!this.#log.founded) return
    if (view.dead.size > 0) this.#buryAll(view, now)
    for (const partition of this.#partitions) this.#round(partition, view, now)
    this.#walk(view, now)
    this.#removePredecessors(view, now)
    this.#removeSilent(view, now)
  }

  /** Nobody's silence counts that this member slept through. Leases are another matter: they end by the clock. */
  #stalled(now: Now): void {
    this.#stalledMonoMs = now.monoMs
    for (const { owner } of this.#partitions) {
      if (!owner) continue
      for (const peer of owner.log.peers.values()) peer.heardMonoMs = Math.max(peer.heardMonoMs, now.monoMs)
    }
  }

  #late(lateMs: number, now: Now): void {
    for (const { owner } of this.#partitions) {
      if (!owner) continue
      for (const peer of owner.log.peers.values())
        peer.heardMonoMs = Math.min(peer.heardMonoMs + lateMs, now.monoMs)
    }
  }

  #round(partition: Partition, view: View, now: Now): void {
    const { config, owner, backup } = partition
    if (!config || partition.conflicted) return
    const epoch = nextEpoch(config.epoch, view.gen)
    if (owner) {
      // Learners that left or died; and one whose addition was under way then: the view knows it no more. A log that
      // has lost its end and is not healed yet knows less than that.
      const { self } = this.#settings
      const whole = this.#log.ready && !view.boot.frozen
      const gone = config.inSync.find((id) => id !== self.id && !view.members.has(id) && !view.silent.has(id))
      if (gone !== undefined && whole) owner.shrink(gone, 'gone', epoch)
      for (const { id, learner } of owner.log.peers.values())
        if (learner && !view.members.has(id)) owner.forget(id)
      owner.round(now, epoch)
    } else if (backup && partition.role === 'backup') {
      const since = Math.max(backup.promisedMonoMs, this.#stalledMonoMs)
      const rank = config.inSync.filter((id) => id !== config.owner).indexOf(this.#settings.self.id)
      if (now.monoMs - since > this.#settings.timing.graceMs + rank * STAGGER_MS)
        partition.takeOver('silent owner', epoch)
    } else if (partition.role === 'none') {
      this.#stepAside(partition, config, view, epoch, now)
    }
  }

  /**
   * In sync in name only: a replica that has lost what it held is taken out by the owner. Where that is gone too, nobody takes
   * over, and as long as somebody living is named the partition is not lost either; and an owner that needs `minInSync`
   * cannot do without it. So this member takes itself out, of a set in which it counted for nothing.
   */
  #stepAside(partition: Partition, config: PartitionConfig, view: View, epoch: number, now: Now): void {
    const { self, newId, timing } = this.#settings
    const { id, owner, inSync } = config
    if (!inSync.includes(self.id) || owner === self.id || view.configs[config.partition]!.id !== id) return
    let aside = this.#asides.get(partition.id)
    if (aside?.next.prev !== id) {
      const rest = inSync.filter((member) => member !== self.id)
      const change = { epoch, id: newId(), inSync: rest, reason: 'holds nothing', by: self.id }
      aside = { sinceMonoMs: now.monoMs, next: successorOf(config, change) }
      this.#asides.set(partition.id, aside)
    }
    if (view.members.has(owner) && now.monoMs - aside.sinceMonoMs < timing.graceMs) return
    if (this.#log.mayChange)
      this.#log.ask(`aside ${aside.next.id}`, { kind: 'config', next: aside.next }, now)
  }

  #buryAll(view: View, now: Now): void {
    for (const partition of this.#partitions) {
      const { config } = partition
      if (!config) continue
      const gone = config.inSync.filter((id) => view.dead.has(id))
      if (gone.length > 0) this.#bury(partition, config, gone, view, now)
    }
  }

  #bury(
    partition: Partition,
    config: PartitionConfig,
    gone: readonly MemberId[],
    view: View,
    now: Now,
  ): void {
    const epoch = nextEpoch(config.epoch, view.gen)
    const { self } = this.#settings
    if (gone.length === config.inSync.length) this.#declareLost(config, view, now)
    else if (partition.owner) {
      // This member itself counts as dead once it has left.
      const other = gone.find((id) => id !== self.id)
      if (other !== undefined) partition.owner.shrink(other, 'dead', epoch)
    } else if (gone.includes(config.owner)) {
      // Each living replica waits for those before it, in case they are gone too.
      const rank = config.inSync.filter((id) => !view.dead.has(id)).indexOf(self.id)
      const since = this.#deadMonoMs.get(config.owner) ?? now.monoMs
      if (rank >= 0 && now.monoMs - since >= rank * STAGGER_MS) partition.takeOver('dead owner', epoch)
    }
  }

  /** Every replica is proven dead: the partition begins a new era, empty. */
  #declareLost(config: PartitionConfig, view: View, now: Now): void {
    const heir = heirOf(view, config.partition)
    // A log that has lost its end may name the dead of long ago: it is healed first.
    if (heir !== this.#settings.self.id || !this.#log.mayChange) return
    const next = lostConfig(config, view.gen, heir, this.#settings.newId(), heir)
    this.#log.ask(`lost ${config.partition} ${config.id}`, { kind: 'lost', next, forced: false }, now)
  }

  /** Towards the target table. */
  #walk(view: View, now: Now): void {
    const { self, rebalanceDelayMs, transfersMax } = this.#settings
    if (now.monoMs - this.#rosterMonoMs < rebalanceDelayMs || !this.#log.ready || view.boot.frozen) return
    if (this.#target.of !== view) this.#target = { of: view, target: targetOf(view) }
    const { target } = this.#target
    if (target) this.#log.ask(`target ${target.roster}`, { kind: 'target', ...target }, now)
    let transfers = 0
    let handovers = 0
    for (const { owner } of this.#partitions) {
      if (!owner) continue
      for (const peer of owner.log.peers.values()) if (peer.learner) transfers++
      if (owner.handsOver) handovers++
    }
    for (const { partition, kind, member } of wishes(view, self.id)) {
      const { owner, config } = this.#partitions[partition]!
      // The view may be behind what this owner knows already.
      if (!owner || !config || owner.unresolved || config.id !== view.configs[partition]!.id) continue
      if (kind === 'remove') owner.shrink(member, 'moved', nextEpoch(config.epoch, view.gen))
      else if (kind === 'handover' && handovers < HANDOVERS_MAX && !owner.handsOver) {
        owner.handOver(member)
        // Nothing may be under way, and then there is nothing to wait for: its calls waited 50 ms and more for the next beat.
        owner.round(now, nextEpoch(config.epoch, view.gen))
        handovers++
      } else if (kind === 'add' && transfers < transfersMax && !owner.log.peers.has(member)) {
        owner.teach(member, now)
        transfers++
      }
    }
  }

  /**
   * Whoever stood under this member's name when it joined has ended, if the name is exclusive: that is proof of its death.
   * Later ones are none of its predecessors; if there are any, they prove the death of this one.
   */
  #removePredecessors(view: View, now: Now): void {
    const { self, exclusiveName = false } = this.#settings
    if (!exclusiveName || !view.members.has(self.id)) return
    this.#predecessors ??= [...view.members.values(), ...view.silent.values()]
      .filter(({ id, name }) => name === self.name && id !== self.id)
      .map(({ id }) => id)
    for (const id of this.#predecessors) {
      if (view.members.has(id) || view.silent.has(id))
        this.#log.ask(`succeed ${id}`, { kind: 'remove', member: id, proof: 'successor' }, now)
    }
  }

  /**
   * A member of which nothing is heard any more is no longer planned with. That says nothing about its death. Nobody is to
   * blame for silence in which this member did not hear its own announcements either: the service was away that carries them.
   */
  #removeSilent(view: View, now: Now): void {
    const { self, silentRemoveMs } = this.#settings
    const echoMonoMs = this.#log.announced.get(self.id)?.heardMonoMs ?? Number.NEGATIVE_INFINITY
    if (echoMonoMs - this.#echoMonoMs > silentRemoveMs / 2) this.#hearingMonoMs = echoMonoMs
    this.#echoMonoMs = echoMonoMs
    if (now.monoMs - echoMonoMs > silentRemoveMs / 2) return
    const patience = Math.max(this.#stalledMonoMs, this.#rosterMonoMs, this.#hearingMonoMs)
    if (!this.#log.ready || now.monoMs - patience < silentRemoveMs) return
    for (const id of view.members.keys()) {
      if (id === self.id) continue
      const heard = this.#log.announced.get(id)?.heardMonoMs ?? 0
      if (now.monoMs - Math.max(heard, patience) < silentRemoveMs) continue
      this.#log.ask(`silent ${id}`, { kind: 'remove', member: id, proof: 'silent' }, now)
    }
  }
}
