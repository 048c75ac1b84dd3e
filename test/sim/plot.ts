/**
 * Plots against one partition: a few steps that only together show a mistake, begun at the moment that they need (a learner
 * is being added, a beacon is answered, the end of a log has reached one backup and not the other).
 *
 * Chance alone finds such a sequence in one run of thousands. Each plot is safe for a cluster that keeps its promises.
 */

import type { PartitionConfig } from '../../src/core/membership/config.ts'
import { decodeMessage } from '../../src/core/membership/item.ts'
import type { Owner } from '../../src/core/partition/owner.ts'
import type { Partition } from '../../src/core/partition/partition.ts'
import type { Peer } from '../../src/core/replication/owner-log.ts'
import type { Transfer } from '../../src/core/replication/transfer.ts'
import { STORE_HOST, type StoredEntry } from './control-store.ts'
import type { FaultMix, Faults } from './fault.ts'
import type { SimMember } from './member.ts'
import type { Simulation } from './simulation.ts'

/** How often each begins, where it could and nothing else is said. */
const rates = {
  atAdding: 0.4,
  deposedOwner: 0.0002,
  /** Only where the log may lose its end. */
  forgottenShrink: 0.0003,
  lateAcks: 0.05,
  lateTransfer: 0.05,
  lostAnswer: 0.004,
  splitAddition: 0.1,
  splitTail: 0.004,
  sleepingOwner: 0.0002,
  staleGrant: 0.005,
  stalledBackup: 0.05,
  unfinishedTransfer: 0.1,
}

export type PlotKind = keyof typeof rates

/** The next step of a plot, taken in the turn after which `ripe` says so. */
interface Step {
  readonly untilMs: number
  readonly ripe: () => boolean
  readonly run: () => void
}

export class Plots {
  readonly #sim: Simulation
  readonly #mix: FaultMix
  readonly #faults: Faults
  #steps: Step[] = []
  /** What has had its chance. */
  readonly #seen = new WeakSet<Transfer | PartitionConfig | Peer>()

  constructor(sim: Simulation, mix: FaultMix, faults: Faults) {
    this.#sim = sim
    this.#mix = mix
    this.#faults = faults
  }

  /** Whether a plot begins now. */
  #begins(kind: PlotKind): boolean {
    if (this.#faults.spared) return false
    const begins = this.#sim.world.chance(this.#mix.plot * (this.#mix.plots[kind] ?? 1) * rates[kind])
    if (begins) this.#faults.count(kind)
    return begins
  }

  #isNew(what: Transfer | PartitionConfig | Peer): boolean {
    if (this.#seen.has(what)) return false
    this.#seen.add(what)
    return true
  }

  /** After a turn of a member, before what it has sent leaves. */
  observe(member: SimMember): void {
    if (this.#mix.plot === 0) return
    this.#takeSteps()
    const { monoMs } = member.clocks()
    for (const partition of member.engine.partitions) {
      const { owner, backup } = partition
      if (owner) this.#atOwner(member, owner)
      else if (backup?.promisedMonoMs === monoMs && this.#begins('staleGrant')) this.#staleGrant(partition)
    }
  }

  #atOwner(member: SimMember, owner: Owner): void {
    const { adding, required, peers } = owner.log
    const backups = required.filter(({ learner }) => !learner).map(({ id }) => this.#hostOf(id))
    const { unresolved } = owner
    if (adding !== undefined && unresolved && this.#isNew(unresolved) && this.#begins('atAdding'))
      this.#atAdding(member, adding)
    if (required.length > 1 && owner.head > owner.commit && this.#begins('splitTail'))
      this.#splitTail(
        member,
        owner.partition,
        required.map(({ id }) => id),
      )
    if (backups.length > 0 && owner.head > owner.commit && this.#begins('lostAnswer'))
      this.#lostAnswer(member, backups)
    if (backups.length > 0 && this.#begins('sleepingOwner')) this.#sleepingOwner(member)
    if (backups.length > 0 && this.#begins('deposedOwner')) this.#deposedOwner(member, owner.partition)
    if (this.#mix.rollback > 0 && backups.length > 0 && !owner.unresolved && this.#begins('forgottenShrink'))
      this.#forgottenShrink(member, owner, backups)
    for (const peer of peers.values()) {
      const { transfer } = peer
      const behind = peer.learner && peer.ack === peer.base && owner.head > peer.base
      if (!transfer && behind && this.#isNew(peer) && this.#begins('atAdding'))
        this.#atAdding(member, peer.id)
      if (!transfer) continue
      if (backups.length > 0 && this.#begins('stalledBackup'))
        this.#stallBackup(member, this.#sim.world.pick(backups))
      // Until something is written the backups may yet come level.
      const fresh = transfer.base === owner.head
      if ((fresh && owner.commit < owner.head) || !this.#isNew(transfer)) continue
      if (this.#begins('lateAcks')) this.#lateAcks(member, owner, peer)
      else if (this.#begins('lateTransfer')) this.#lateTransfer(member, peer)
      else if (fresh && backups.length > 0 && this.#begins('unfinishedTransfer'))
        this.#unfinishedTransfer(member, owner, peer, backups)
    }
  }

  /** After an entry of the configuration log has landed, before anybody has read it. */
  appended({ bytes }: StoredEntry): void {
    if (this.#mix.plot === 0) return
    for (const item of decodeMessage(bytes)?.items ?? []) {
      if (item.kind !== 'config') continue
      const { next } = item
      if (next.reason === 'level' && this.#begins('splitAddition')) this.#splitAddition(next)
    }
  }

  // ---- steps

  #when(withinMs: number, ripe: () => boolean, run: () => void): void {
    this.#steps.push({ untilMs: this.#sim.world.nowMs + withinMs, ripe, run })
  }

  #takeSteps(): void {
    if (this.#steps.length === 0) return
    const { nowMs } = this.#sim.world
    const steps = this.#steps.filter(({ untilMs }) => untilMs >= nowMs)
    this.#steps = []
    for (const step of steps) {
      if (step.ripe()) {
        if (!this.#faults.spared) step.run()
      } else this.#steps.push(step)
    }
  }

  #hostOf(id: string): string {
    return this.#sim.members.find((member) => member.id === id)?.host ?? ''
  }

  #memberAt(host: string): SimMember | undefined {
    return this.#sim.members.find((member) => member.host === host)
  }

  /** Cuts two hosts off from each other. */
  #part(a: string, b: string, durationMs: number): void {
    this.#sim.network.cut(
      [
        [a, b],
        [b, a],
      ],
      durationMs,
    )
  }

  /** A member gives up its link to a host; `late`: what it has sent there may still arrive. */
  #giveUpLink(member: SimMember, host: string, late: boolean): void {
    for (const link of this.#sim.network.links) {
      const [from, to] = link.ends
      if (from.process === member && to.process.host === host) link.breakFrom(from, late)
    }
  }

  // ---- a learner

  /** A learner is being added: it hears nothing more from its owner, which dies when it has been added. */
  #atAdding(owner: SimMember, learner: string): void {
    const { world, network } = this.#sim
    network.cut([[owner.host, this.#hostOf(learner)]], world.between(2000, 6000))
    this.#killSoon(owner, world.nowMs + world.between(3000, 5000))
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

  /** A backup hears nothing while another member is taught, so that nothing is committed meanwhile. */
  #stallBackup(owner: SimMember, backup: string): void {
    const { world, network } = this.#sim
    network.cut([[owner.host, backup]], world.between(500, 3000))
  }

  /** A learner has been added, and of all in sync only it can see so: it is left alone with the log. */
  #splitAddition({ owner, inSync }: PartitionConfig): void {
    const { world } = this.#sim
    const learner = this.#hostOf(inSync.at(-1)!)
    for (const id of new Set([owner, ...inSync.slice(0, -1)])) {
      const durationMs = world.between(5000, 8000)
      this.#part(this.#hostOf(id), learner, durationMs)
      this.#part(this.#hostOf(id), STORE_HOST, durationMs)
    }
  }

  /**
   * Nothing is committed while a learner is taught, and much is written; it hears nothing of what came after its transfer;
   * when it is in sync, the owner dies and the backups are late.
   */
  #unfinishedTransfer(member: SimMember, owner: Owner, peer: Peer, backups: readonly string[]): void {
    const { world, network } = this.#sim
    const learner = this.#hostOf(peer.id)
    network.cut(
      backups.map((host) => [member.host, host]),
      2500,
    )
    network.cut([[learner, member.host]], world.between(200, 500))
    const taught = (): boolean => owner.log.peers.get(peer.id) === peer && peer.transfer === undefined
    this.#when(1500, taught, () => {
      network.cut([[member.host, learner]], 6000)
      const added = (): boolean => owner.config.inSync.includes(peer.id)
      this.#when(2500, added, () => {
        this.#faults.count('unfinishedTransfer succeeds')
        for (const host of backups) {
          const backup = this.#memberAt(host)
          if (backup) this.#faults.pause(backup, 2500)
        }
        world.after(1, () => {
          if (this.#faults.active) this.#faults.kill(member, true)
        })
      })
    })
  }

  /** A learner's answers are late; meanwhile the owner must teach it anew, and then does not reach it. */
  #lateAcks(member: SimMember, owner: Owner, peer: Peer): void {
    const { world, network } = this.#sim
    const learner = this.#hostOf(peer.id)
    const late = world.between(60, 200)
    network.cut([[learner, member.host]], late)
    world.after(late - 1, () => this.#giveUpLink(member, learner, false))
    const taughtAnew = (): boolean => {
      const now = owner.log.peers.get(peer.id)
      return now !== undefined && now !== peer && now.transfer !== undefined
    }
    this.#when(1000, taughtAnew, () => {
      this.#faults.count('lateAcks succeeds')
      network.cut([[member.host, learner]], 4000)
    })
  }

  /** The beginning of a transfer is still under way on a link that is given up, when the learner is taught anew. */
  #lateTransfer(member: SimMember, peer: Peer): void {
    const { world } = this.#sim
    const learner = this.#hostOf(peer.id)
    this.#part(member.host, learner, world.between(300, 2500))
    world.after(world.between(2, 50), () => this.#giveUpLink(member, learner, true))
  }

  // ---- an owner

  /** The backups' promises reach an owner late; by then nothing from it reaches them any more. */
  #staleGrant({ config }: Partition): void {
    const { world, network } = this.#sim
    const { owner, inSync } = config!
    const host = this.#hostOf(owner)
    const hosts = inSync.filter((id) => id !== owner).map((id) => this.#hostOf(id))
    network.cut(
      hosts.map((backup) => [backup, host]),
      world.between(2000, 3200),
    )
    const rest = [...hosts, STORE_HOST].map((other): [string, string] => [host, other])
    network.cut([...rest, [STORE_HOST, host]], world.between(5000, 7000))
  }

  /** An owner sleeps until it has been replaced, and a client that has heard of nothing asks it as it wakes up. */
  #sleepingOwner(owner: SimMember): void {
    const { world, hosts, clients } = this.#sim
    const durationMs = world.between(6000, 9000)
    this.#faults.pause(owner, durationMs)
    const client = world.pick(clients)
    for (const host of [...hosts, STORE_HOST]) {
      if (host === owner.host) continue
      this.#part(client.host, host, durationMs + 300)
      this.#part(owner.host, host, durationMs + 300)
    }
    // What the others want is not to wait for it as well.
    for (const other of clients) if (other !== client) this.#part(other.host, owner.host, durationMs + 300)
  }

  /** An owner is cut off, with nothing under way, and replaced; then a client that reaches all of them asks it still. */
  #deposedOwner(owner: SimMember, partition: number): void {
    const { world, hosts, clients } = this.#sim
    const durationMs = world.between(7000, 9000)
    for (const host of [...hosts, STORE_HOST])
      if (host !== owner.host) this.#part(owner.host, host, durationMs)
    const misled = world.pick(clients)
    for (const client of clients) this.#part(client.host, owner.host, client === misled ? 4000 : durationMs)
    world.after(4000, () => {
      misled.misled = { partition, host: owner.host }
    })
    world.after(durationMs, () => {
      misled.misled = undefined
    })
  }

  /** An owner dies when its backups hold what it has written, and nobody has been answered. */
  #lostAnswer(owner: SimMember, backups: readonly string[]): void {
    const { world, network } = this.#sim
    network.cut(
      backups.map((host) => [host, owner.host]),
      3000,
    )
    world.after(world.between(4, 20), () => {
      if (this.#faults.active) this.#faults.kill(owner, true)
    })
  }

  /**
   * An owner goes on without its backups, and alone has read that it may; then the log forgets it, and the owner sleeps while
   * the others read on.
   */
  #forgottenShrink(member: SimMember, owner: Owner, backups: readonly string[]): void {
    const { world, hosts } = this.#sim
    const sinceMs = world.nowMs
    for (const host of hosts) if (host !== member.host) this.#part(host, STORE_HOST, 5000)
    for (const host of backups) this.#part(member.host, host, 5000)
    const alone = (): boolean => owner.config.inSync.length === 1
    this.#when(3000, alone, () =>
      world.after(world.between(200, 1000), () => {
        if (!this.#faults.active || !member.alive) return
        this.#faults.count('forgottenShrink succeeds')
        this.#faults.rollback(world.nowMs - sinceMs)
        this.#faults.pause(member, world.between(8000, 10_000))
      }),
    )
  }

  /**
   * The end of an owner's log reaches some of its replicas and not another, which becomes the owner while they sleep: they wake
   * up with records that nobody else knows.
   */
  #splitTail(owner: SimMember, partition: number, required: readonly string[]): void {
    const { world, network, members } = this.#sim
    const without = world.pick(required)
    network.cut([[owner.host, this.#hostOf(without)]], world.between(500, 2000))
    world.after(world.between(20, 200), () => {
      if (!this.#faults.active) return
      const heir = members.find(({ id }) => id === without)
      const done = (): boolean => !heir?.alive || heir.engine.partitions[partition]?.owner !== undefined
      for (const member of members)
        if (required.includes(member.id) && member !== heir) this.#sleepUntil(member, done, 2500)
      this.#faults.kill(owner, true)
    })
  }

  /** Pauses a member in short pieces, until something has happened or for so long. */
  #sleepUntil(member: SimMember, done: () => boolean, maxMs: number): void {
    const { world } = this.#sim
    const endMs = world.nowMs + maxMs
    const sleep = (): void => {
      if (!this.#faults.active || !member.alive || done() || world.nowMs > endMs) return
      member.pause(100)
      world.after(95, sleep)
    }
    this.#faults.count('pause')
    sleep()
  }
}
