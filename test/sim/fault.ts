/**
 * What goes wrong, drawn by the seed: at any time, and at the moments that hurt most (an append lands, a beacon is
 * answered, a transfer is under way, a handover waits).
 *
 * Each run has its own mix (swarm testing, Groce et al., ISSTA 2012): a run without pauses sees things that pauses hide.
 */

import { GridError } from '../../src/core/base/errors.ts'
import type { PartitionConfig } from '../../src/core/membership/config.ts'
import { decodeMessage } from '../../src/core/membership/item.ts'
import { LogStore } from '../../src/core/store/log-store.ts'
import { STORE_HOST, type StoredEntry } from './control-store.ts'
import type { SimMember } from './member.ts'
import { type PlotKind, Plots } from './plot.ts'
import type { Simulation } from './simulation.ts'
import type { World } from './world.ts'

/** How often each kind is drawn in this run, 0 to 1. */
export interface FaultMix {
  kill: number
  pause: number
  cut: number
  breakLink: number
  storeDown: number
  rollback: number
  leave: number
  clock: number
  trigger: number
  /** The same for plots of several steps against one partition (plot.ts). */
  plot: number
  /** How much more often than the others a plot of this kind is drawn; 1 where nothing is said. */
  plots: Readonly<Partial<Record<PlotKind, number>>>
  /** A backup finds its memory full, and gives up what it holds. */
  full: number
  everyMs: number
  /** All replicas of a partition may die, with proof: its data is declared lost. */
  loss: boolean
}

/** Between two faults of the clocks of one member. */
const CLOCK_FAULT_APART_MS = 15_000

export const noFaults: FaultMix = {
  kill: 0,
  pause: 0,
  cut: 0,
  breakLink: 0,
  storeDown: 0,
  rollback: 0,
  leave: 0,
  clock: 0,
  trigger: 0,
  plot: 0,
  plots: {},
  full: 0,
  everyMs: 1000,
  loss: false,
}

export function drawMix(world: World, rollback: boolean, loss: boolean): FaultMix {
  const some = (): number => (world.chance(0.6) ? world.random.next() : 0)
  return {
    kill: loss ? 1 : some(),
    pause: some(),
    cut: some(),
    breakLink: some(),
    storeDown: world.chance(0.4) ? world.random.next() * 0.6 : 0,
    rollback: rollback ? 0.25 : 0,
    leave: some() * 0.6,
    clock: world.chance(0.4) ? 0.4 : 0,
    trigger: world.chance(0.7) ? 0.3 * world.random.next() : 0,
    plot: world.chance(0.4) ? world.random.next() : 0,
    plots: {},
    full: world.chance(0.2) ? 0.3 : 0,
    everyMs: world.between(300, 4000),
    loss,
  }
}

export class Faults {
  active = false
  readonly counts: Record<string, number> = {}
  readonly #sim: Simulation
  readonly #world: World
  readonly #mix: FaultMix
  readonly #plots: Plots
  /** Until then the store stays reachable and nobody dies: the log was rolled back and is being healed. */
  #sparedUntilMs = 0

  constructor(sim: Simulation, mix: FaultMix) {
    this.#sim = sim
    this.#world = sim.world
    this.#mix = mix
    this.#plots = new Plots(sim, mix, this)
    sim.store.onAppended = (entry) => this.#appended(entry)
    this.#round()
  }

  count(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
    this.#world.log(`fault ${kind}`)
  }

  /** Nobody may die and the store stays in reach. */
  get spared(): boolean {
    return this.#world.nowMs < this.#sparedUntilMs
  }

  #round(): void {
    const { everyMs } = this.#mix
    this.#world.after(this.#world.between(0.3 * everyMs, 1.7 * everyMs), () => {
      if (this.active) this.#draw()
      this.#round()
    })
  }

  #draw(): void {
    const { kill, pause, cut, breakLink, storeDown, rollback, leave, clock, full } = this.#mix
    const table: [number, () => void][] = [
      [kill, () => this.kill(this.#member())],
      [pause, () => this.#pauseOne()],
      [cut, () => this.#partition()],
      [breakLink, () => this.#breakOne()],
      [storeDown, () => this.#storeDown(this.#world.between(500, 15_000))],
      [rollback, () => this.rollback(this.#world.between(0, 8000))],
      [leave, () => this.#leaveOne()],
      [clock, () => this.#clock()],
      [full, () => this.#fill()],
    ]
    let x = this.#world.random.next() * table.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, run] of table) {
      x -= weight
      if (x >= 0) continue
      run()
      return
    }
  }

  #member(): SimMember | undefined {
    const { members } = this.#sim
    return members.length > 0 ? this.#world.pick(members) : undefined
  }

  // ---- processes

  /** `certified`: its death is proven at once; by chance where nothing is said. */
  kill(member: SimMember | undefined, certified = this.#world.chance(0.6)): void {
    if (!member?.alive || this.spared) return
    const { loss } = this.#mix
    if (!loss && !this.#survivable(member)) return
    this.count('kill')
    this.#sim.kill(member, loss || certified)
  }

  /** Whether some replica that holds everything is left without `member`, whichever configuration turns out true. */
  #survivable(member: SimMember): boolean {
    const { members, store, partitionCount } = this.#sim
    const others = members.filter((other) => other !== member && !other.leaving)
    if (others.length < 2) return false
    const landing = [...store.underWay].flatMap((bytes) => decodeMessage(bytes)?.items ?? [])
    for (let p = 0; p < partitionCount; p++) {
      const current = store.view.configs[p]
      if (!current) return false
      const candidates: PartitionConfig[] = [current]
      for (const { engine } of members) {
        const partition = engine.partitions[p]
        if (partition?.config && partition.config.epoch >= current.epoch) candidates.push(partition.config)
        if (partition?.unresolved) candidates.push(partition.unresolved)
      }
      for (const item of landing)
        if (item.kind === 'config' && item.next.partition === p) candidates.push(item.next)
      const holds = (other: SimMember, { era }: PartitionConfig): boolean => {
        const partition = other.engine.partitions[p]
        return partition?.config?.era === era && Boolean(partition.owner ?? partition.backup)
      }
      for (const config of candidates)
        if (!others.some((other) => config.inSync.includes(other.id) && holds(other, config))) return false
    }
    return true
  }

  pause(member: SimMember, durationMs: number): void {
    this.count('pause')
    this.#world.log(`${member.host} pauses for ${Math.round(durationMs)}`)
    member.pause(durationMs)
  }

  #pauseOne(): void {
    const member = this.#member()
    if (!member || member.paused) return
    const { world } = this.#sim
    const durationMs = world.chance(0.5) ? world.between(0, 1500) : world.between(2000, 10_000)
    this.pause(member, durationMs)
    if (world.chance(0.35))
      world.after(world.between(0, durationMs), () =>
        this.isolate(member, durationMs + world.between(0, 4000)),
      )
  }

  #clock(): void {
    const member = this.#member()
    if (!member) return
    const { world } = this.#sim
    // Both at once would hide the pause from both clocks, which leases do not survive.
    if (world.nowMs - member.clockFaultMs < CLOCK_FAULT_APART_MS) return
    member.clockFaultMs = world.nowMs
    if (world.chance(0.5)) {
      this.count('suspend')
      member.suspend(world.between(500, 8000))
    } else {
      this.count('wall step')
      member.wallStepMs += world.between(-5000, 5000)
    }
  }

  /** The next records that a backup is sent are too much for it. */
  #fill(): void {
    const { world, checker, partitionCount } = this.#sim
    const member = this.#member()
    const partition = member?.engine.partitions[world.int(partitionCount)]
    const store = partition?.replica?.store
    if (!member || !store || partition.role !== 'backup' || this.spared) return
    store.appendBytes = (...records) => {
      store.appendBytes = LogStore.prototype.appendBytes
      // Only now it shows whether it can be spared.
      if (!this.active || this.spared || (!this.#mix.loss && !this.#survivable(member)))
        return store.appendBytes(...records)
      this.count('full')
      const owner = this.#sim.members.find(({ id }) => id === partition.config?.owner)
      if (this.#mix.loss && world.chance(0.5)) world.after(0, () => this.kill(owner))
      checker.emptied.add(`${member.id} ${partition.id}`)
      throw new GridError('STORE_FULL', 'no room for another record')
    }
  }

  #leaveOne(): void {
    const member = this.#member()
    const { members, world } = this.#sim
    if (!member || member.leaving || members.filter((m) => !m.leaving).length <= 2) return
    this.count('leave')
    world.log(`${member.host} leaves`)
    member.leaving = true
    member.exec(() => member.engine.leave(member.clocks()))
  }

  // ---- the network

  /** Cuts a member off, at once, from the others and mostly from the store too. */
  isolate(member: SimMember, durationMs: number): void {
    if (!this.active) return
    this.count('isolate')
    const { world, hosts, network } = this.#sim
    const pairs: [string, string][] = []
    for (const host of hosts) if (host !== member.host) pairs.push([host, member.host], [member.host, host])
    if (!this.spared && world.chance(0.7)) pairs.push([STORE_HOST, member.host], [member.host, STORE_HOST])
    network.cut(pairs, durationMs)
  }

  #partition(): void {
    this.count('cut')
    const { world, hosts, network } = this.#sim
    const inside = hosts.filter(() => world.chance(0.5))
    const oneWay = world.chance(0.3)
    const pairs: [string, string][] = []
    for (const a of inside)
      for (const b of hosts)
        if (!inside.includes(b)) {
          pairs.push([a, b])
          if (!oneWay) pairs.push([b, a])
        }
    if (!this.spared && world.chance(0.4))
      for (const a of inside) {
        pairs.push([a, STORE_HOST])
        if (!oneWay) pairs.push([STORE_HOST, a])
      }
    network.cut(pairs, world.chance(0.5) ? world.between(100, 2000) : world.between(2000, 12_000))
  }

  #breakOne(): void {
    const { world, network } = this.#sim
    const links = [...network.links]
    if (links.length === 0) return
    this.count('break')
    const some = world.chance(0.3) ? links.filter(() => world.chance(0.5)) : [world.pick(links)]
    for (const link of some) link.breakFrom(world.pick(link.ends), world.chance(0.3))
  }

  // ---- the store

  #storeDown(durationMs: number): void {
    const { store, world } = this.#sim
    if (this.spared || store.isDown) return
    this.count('store down')
    store.isDown = true
    world.after(durationMs, () => {
      store.isDown = false
      // Another server may lead from now on, though nothing is lost.
      if (world.chance(0.3)) store.restart(0, store.lastSeq)
    })
  }

  rollback(lostMs: number): void {
    const { store, world, checker, network } = this.#sim
    if (this.spared || store.isDown) return
    this.count('rollback')
    checker.rolledBack = true
    // Who knows what was lost must be able to say so: what the protocol assumes.
    this.#sparedUntilMs = world.nowMs + 40_000
    network.heal()
    store.isDown = true
    store.restart(lostMs, this.#knownSeq())
    world.after(world.between(500, 3000), () => {
      store.isDown = false
    })
  }

  /**
   * Up to where the log is not lost. What it has confirmed must be known to somebody who is left, which is what the protocol
   * assumes: not to the dead alone, and of a death, a farewell or a map at least one must have read.
   */
  #knownSeq(): number {
    const { store, members } = this.#sim
    const seen = Math.max(...members.map(({ engine }) => engine.view.version))
    const kept = store.entries.filter(({ seq, bytes }) => {
      const message = seq > seen ? decodeMessage(bytes) : undefined
      if (!message) return false
      return (
        !members.some(({ id }) => id === message.by) ||
        message.items.some(({ kind }) => kind === 'map' || kind === 'remove')
      )
    })
    return Math.max(store.keptSeq, kept.at(-1)?.seq ?? 0)
  }

  // ---- at bad moments

  #appended(entry: StoredEntry): void {
    if (!this.active) return
    this.#plots.appended(entry)
    if (!this.#world.chance(this.#mix.trigger * 0.4)) return
    const proposer = this.#sim.members.find(({ host }) => host === entry.by)
    if (!proposer) return
    const { world } = this.#sim
    if (world.chance(0.6)) this.isolate(proposer, world.between(1000, 10_000))
    else if (world.chance(0.5)) this.pause(proposer, world.between(1000, 8000))
    else this.kill(proposer)
  }

  /** After a turn of a member: it may be the worst moment. */
  observe(member: SimMember): void {
    if (!this.active) return
    this.#plots.observe(member)
    const { trigger } = this.#mix
    if (trigger === 0) return
    const { world } = this.#sim
    for (const { owner } of member.engine.partitions) {
      if (!owner) continue
      if (owner.stopped && world.chance(trigger * 0.05)) this.#strike(member, 'at handover')
      for (const peer of owner.log.peers.values())
        if (peer.learner && world.chance(trigger * 0.02)) this.#strike(member, 'at transfer')
    }
    if (world.chance(trigger * 0.0005)) this.#strike(member, 'mid-turn')
  }

  #strike(member: SimMember, when: string): void {
    this.count(when)
    const { world, network } = this.#sim
    const x = world.random.next()
    if (x < 0.3) {
      for (const link of [...network.links])
        if (link.ends.some(({ process }) => process === member) && world.chance(0.6))
          link.breakFrom(world.pick(link.ends), world.chance(0.4))
    } else if (x < 0.55) this.pause(member, world.between(500, 9000))
    else if (x < 0.8) this.isolate(member, world.between(1000, 9000))
    else world.after(0, () => this.kill(member))
  }

  /** Everything works from now on. */
  heal(): void {
    this.active = false
    const { members, network, store, world } = this.#sim
    network.heal()
    store.isDown = false
    store.lateProbability = 0
    store.deafProbability = 0
    for (const member of members) {
      if (!member.paused) continue
      // It may wake up late, but it does.
      world.log(`${member.host} is still paused`)
    }
  }
}
