/**
 * Plots against one partition: a few steps that only together show a mistake, begun at the moment that they need (a learner
 * is being added, a beacon is answered, the end of a log has reached one backup and not the other).
 *
 * Chance alone finds such a sequence in one run of thousands. Each plot is safe for a cluster that keeps its promises.
 */

import { STORE_HOST } from './control-store.ts'
import type { FaultMix, Faults } from './fault.ts'
import type { SimMember } from './member.ts'
import type { Simulation } from './simulation.ts'

export type PlotKind = 'atAdding' | 'splitTail' | 'staleGrant' | 'stallBackup'

export class Plots {
  readonly #sim: Simulation
  readonly #mix: FaultMix
  readonly #faults: Faults

  constructor(sim: Simulation, mix: FaultMix, faults: Faults) {
    this.#sim = sim
    this.#mix = mix
    this.#faults = faults
  }

  /** Whether a plot begins now, where it does so once in `1 / rate` chances. */
  #begins(kind: PlotKind, rate: number): boolean {
    return this.#sim.world.chance(this.#mix.plot * (this.#mix.plots[kind] ?? 1) * rate)
  }

  /** After a turn of a member: it may be the worst moment. */
  observe(member: SimMember): void {
    if (this.#mix.trigger === 0 && this.#mix.plot === 0) return
    const { world } = this.#sim
    for (const { owner } of member.engine.partitions) {
      if (!owner) continue
      if (owner.stopped && world.chance(this.#mix.trigger * 0.05)) {
        this.#faults.count('at handover')
        this.#strike(member)
      }
      const { adding } = owner.log
      if (adding !== undefined && owner.unresolved && this.#begins('atAdding', 0.1))
        this.#atAdding(member, adding)
      if (owner.log.required.length > 1 && owner.head > owner.commit && this.#begins('splitTail', 0.004))
        this.#splitTail(
          member,
          owner.log.required.map(({ id }) => id),
        )
      if (owner.log.required.length > 0 && this.#begins('staleGrant', 0.002))
        this.#staleGrant(
          member,
          owner.log.required.map(({ id }) => id),
        )
      for (const peer of owner.log.peers.values()) {
        if (
          peer.learner &&
          !peer.transfer &&
          peer.ack === peer.base &&
          owner.head > peer.base &&
          this.#begins('atAdding', 0.5)
        )
          this.#atAdding(member, peer.id)
        if (peer.transfer && owner.log.required.length > 0 && this.#begins('stallBackup', 0.05))
          this.#stallBackup(member, world.pick(owner.log.required).id)
        if (!peer.learner || !world.chance(this.#mix.trigger * 0.02)) continue
        this.#faults.count('at transfer')
        this.#strike(member)
      }
    }
    if (world.chance(this.#mix.trigger * 0.0005)) {
      this.#faults.count('mid-turn')
      this.#strike(member)
    }
  }

  #hostOf(id: string): string {
    return this.#sim.members.find((member) => member.id === id)?.host ?? ''
  }

  /** A learner is being added: it hears nothing more from its owner, which dies when it has been added. */
  #atAdding(owner: SimMember, learner: string): void {
    const { world, network } = this.#sim
    this.#faults.count('at adding')
    network.cut([[owner.host, this.#hostOf(learner)]], world.between(2000, 6000))
    this.#killSoon(owner, world.nowMs + world.between(3000, 5000))
  }

  /** A backup hears nothing while another member is taught, so that nothing is committed meanwhile. */
  #stallBackup(owner: SimMember, backup: string): void {
    const { world, network } = this.#sim
    this.#faults.count('stalled backup')
    network.cut([[owner.host, this.#hostOf(backup)]], world.between(500, 3000))
  }

  /** The backups' promises reach an owner late; by then nothing from it reaches them any more. */
  #staleGrant(owner: SimMember, required: readonly string[]): void {
    const { world, network } = this.#sim
    this.#faults.count('stale grant')
    const hosts = required.map((id) => this.#hostOf(id))
    network.cut(
      hosts.map((host) => [host, owner.host]),
      world.between(2000, 3200),
    )
    const rest = [...hosts, STORE_HOST].map((host): [string, string] => [owner.host, host])
    network.cut([...rest, [STORE_HOST, owner.host]], world.between(5000, 7000))
  }

  /** Kills a member as soon as it can be spared. */
  #killSoon(member: SimMember, untilMs: number): void {
    const { world } = this.#sim
    world.after(world.between(100, 300), () => {
      if (!this.#faults.active || !member.alive || world.nowMs > untilMs) return
      this.#faults.kill(member)
      this.#killSoon(member, untilMs)
    })
  }

  /** The end of an owner's log reaches some of its replicas and not the others; those that have it sleep while it dies. */
  #splitTail(owner: SimMember, required: readonly string[]): void {
    const { world, network, members } = this.#sim
    this.#faults.count('split tail')
    const without = world.pick(required)
    network.cut([[owner.host, this.#hostOf(without)]], world.between(500, 2000))
    world.after(world.between(20, 200), () => {
      for (const member of members)
        if (required.includes(member.id) && member.id !== without)
          this.#faults.pause(member, world.between(600, 1500))
      this.#faults.kill(owner)
    })
  }

  #strike(member: SimMember): void {
    const { world, network } = this.#sim
    const x = world.random.next()
    if (x < 0.3) {
      for (const link of [...network.links])
        if (link.ends.some(({ process }) => process === member) && world.chance(0.6))
          link.breakFrom(world.pick(link.ends), world.chance(0.4))
    } else if (x < 0.55) this.#faults.pause(member, world.between(500, 9000))
    else if (x < 0.8) this.#faults.isolate(member, world.between(1000, 9000))
    else world.after(0, () => this.#faults.kill(member))
  }
}
