/**
 * A real cluster under faults: nats-servers and members started by the compiled command line, each on its host. It offers
 * what faults do to processes, follows the configuration log as members do, and knows from it when the cluster has healed.
 */

import { existsSync, mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Control } from '../../src/control/control.ts'
import { observeNats } from '../../src/control/nats.ts'
import { decodeView } from '../../src/core/membership/checkpoint.ts'
import type { PartitionConfig } from '../../src/core/membership/config.ts'
import { targetOf, wishes } from '../../src/core/membership/placement.ts'
import { emptyView, foldEntries, type View } from '../../src/core/membership/view.ts'
import { hashSecret } from '../../src/member/secret.ts'
import { SmallDisk } from './disk.ts'
import type { Host, Hosts } from './host.ts'
import { ChaosNats, ChaosNatsServer } from './nats.ts'
import { ChaosProcess } from './process.ts'
import { Progress } from './progress.ts'
import type { Variant } from './variant.ts'
import { guard, release } from './watchdog.ts'

export const ROOT = rootFolder()
const MAIN = join(ROOT, 'dist', 'cli', 'main.js')
const PROCESSORS = join(ROOT, 'test', 'chaos', 'processors.mjs')
export const PARTITIONS = 31
/** How long a healed cluster may take until every partition has all its replicas again. */
const SETTLED_WITHIN_MS = 60_000
/** After a fault is over, or the log was away or frozen, it takes owners a while to put to the log who fell silent meanwhile. */
const QUIET_MS = 2500
const READY_WITHIN_MS = 60_000
const STARTS_MAX = 5

export interface ChaosMember {
  readonly name: string
  readonly host: Host
  /** The incarnation. */
  readonly id: string
  readonly address: string
  /** The member itself; `parent` is the small process that certifies its death. */
  readonly pid: number
  readonly parent: ChaosProcess
}

/** A moment at which partitions lost their owner, or whatever else took writes away from them. */
export interface Hit {
  readonly atMs: number
  readonly partitions: readonly number[]
}

export class ChaosCluster {
  readonly name: string
  readonly variant: Variant
  readonly nats: ChaosNats
  readonly hosts: Hosts
  /** Where logs and stores are. */
  readonly folder: string
  /** The small one, where the variant has one. */
  readonly disk: SmallDisk | undefined
  /** Members that run, or that are stopped and will run again. */
  readonly members = new Map<string, ChaosMember>()
  readonly paused = new Set<string>()
  /** Since the round's beginning, oldest first. */
  hits: Hit[] = []
  /** Partitions that a fault took all replicas of, and when: the only ones that may be declared lost. */
  readonly lost = new Map<number, number>()
  view: View = emptyView
  /** Configs after which a partition began anew, empty, since the round's beginning. */
  losses: PartitionConfig[] = []
  readonly #lossesSeen = new Set<string>()
  /** When each incarnation was killed. */
  readonly #killedMs = new Map<string, number>()
  /** Resolves after more acknowledgements of the load; set by whoever makes the load. */
  acks: (count: number) => Promise<void> = () => Promise.resolve()
  readonly #progress = new Progress()
  readonly #ends: (() => Promise<unknown>)[] = []
  #control: Control | undefined
  #folding: View = emptyView
  /** The log has been read to its end, on a connection that is there. */
  #isFresh = false
  /** When something last ended after which more may follow. */
  #disturbedMs = Number.NEGATIVE_INFINITY
  #isEmpty = true
  #names = 0

  private constructor(
    name: string,
    variant: Variant,
    hosts: Hosts,
    nats: ChaosNats,
    folder: string,
    disk: SmallDisk | undefined,
  ) {
    this.name = name
    this.variant = variant
    this.nats = nats
    this.folder = folder
    this.disk = disk
    this.hosts = hosts
  }

  static async start(name: string, variant: Variant, folder: string): Promise<ChaosCluster> {
    mkdirSync(folder, { recursive: true })
    const hosts = await variant.hosts()
    const servers: ChaosNatsServer[] = []
    const { diskBytes } = variant
    const disk = diskBytes === undefined ? undefined : SmallDisk.mount(join(folder, 'n1'), diskBytes)
    for (let i = 1; i <= variant.servers; i++)
      servers.push(await ChaosNatsServer.on(await hosts.add(`n${i}`), `n${i}`, folder))
    const cluster = new ChaosCluster(name, variant, hosts, new ChaosNats(servers), folder, disk)
    try {
      await cluster.nats.start()
      await cluster.nats.ready(READY_WITHIN_MS)
      await Promise.all(Array.from({ length: variant.members }, () => cluster.add()))
      await cluster.#follow()
      await cluster.settled()
      return cluster
    } catch (error) {
      await cluster.close(true)
      throw error
    }
  }

  // ---- what can be done to it

  /**
   * Starts a member; resolves when it takes part. One that finds no NATS ends, and is started again, as whoever runs members
   * does.
   */
  async add(): Promise<ChaosMember> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#add()
      } catch (error) {
        if (attempt === STARTS_MAX) throw error
      }
    }
  }

  async #add(): Promise<ChaosMember> {
    const name = `m${++this.#names}`
    const host = await this.hosts.add(name)
    const options = {
      nats: ((await host.natsVia?.(this.nats.urls)) ?? this.nats.urls).join(','),
      cluster: this.name,
      name,
      host: name,
      listen: host.listen ?? `${host.address}:0`,
      ...(host.advertise === undefined ? {} : { advertise: host.advertise }),
      'expect-members': this.variant.members,
      'partition-count': PARTITIONS,
      backups: this.variant.backups,
      modules: PROCESSORS,
      // The founders' NATS is new; who comes later must find out whether the log was lost.
      ...(this.#isEmpty ? { 'found-after-ms': 0 } : {}),
      ...this.variant.options,
    }
    const flags = Object.entries(options).flatMap(([option, value]) => [`--${option}`, String(value)])
    const command = [process.execPath, MAIN, 'start', '--json', ...flags]
    const parent = await ChaosProcess.start(
      host,
      command,
      join(this.disk?.folder ?? this.folder, `${name}.log`),
      'stdout',
    )
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${name} is not ready in time`)), READY_WITHIN_MS)
    })
    try {
      const ready = JSON.parse(await Promise.race([parent.line(/^\{/), late])) as {
        id: string
        pid: number
        address: string
      }
      guard(ready.pid)
      void parent.ended.then(() => release(ready.pid))
      const member = { name, host, parent, ...ready }
      this.members.set(name, member)
      this.#isEmpty = false
      return member
    } catch (error) {
      await parent.kill()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends the member's process at once; its parent lives and proves that. */
  kill(member: ChaosMember): void {
    this.#gone(member)
    process.kill(member.pid, 'SIGKILL')
  }

  /** Ends the member and its parent at once: nobody is left to prove anything. */
  killHost(member: ChaosMember): void {
    this.#gone(member)
    // Stopped first, so that it cannot see its child end.
    member.parent.signal('SIGSTOP')
    process.kill(member.pid, 'SIGKILL')
    member.parent.signal('SIGKILL')
  }

  /** Ends the parent only: the member notices that nobody could certify its death any more, and leaves. */
  async killParent(member: ChaosMember): Promise<void> {
    this.members.delete(member.name)
    await member.parent.kill()
  }

  /** Stops the member's process, and with `whole` its parent too, as a machine that stands still. */
  pause(member: ChaosMember, whole = false): void {
    this.hit(member)
    this.paused.add(member.name)
    if (whole) member.parent.signal('SIGSTOP')
    process.kill(member.pid, 'SIGSTOP')
  }

  resume(member: ChaosMember): void {
    process.kill(member.pid, 'SIGCONT')
    member.parent.signal('SIGCONT')
    this.paused.delete(member.name)
  }

  /** Asks a member to leave; resolves when its processes have ended well. */
  async leave(member: ChaosMember): Promise<void> {
    this.hit(member)
    this.members.delete(member.name)
    member.parent.signal('SIGTERM')
    const { code, signal } = await member.parent.ended
    await this.hosts.remove(member.host)
    if (code !== 0) throw new Error(`${member.name} ended with ${signal ?? code} instead of leaving`)
  }

  /** Notes that partitions may stand still from now on: those that the member owns, or all. */
  hit(member?: ChaosMember): void {
    const owned = this.view.configs.filter(({ owner }) => member === undefined || owner === member.id)
    this.hits.push({ atMs: performance.now(), partitions: owned.map(({ partition }) => partition) })
  }

  #gone(member: ChaosMember): void {
    this.hit(member)
    this.#killedMs.set(member.id, performance.now())
    this.members.delete(member.name)
    void member.parent.ended.then(() => this.hosts.remove(member.host))
  }

  // ---- what is known of it

  /** Partitions all of whose replicas are among these members. */
  heldOnlyBy(members: readonly ChaosMember[]): number[] {
    const ids = members.map(({ id }) => id)
    const held = this.view.configs.filter(({ inSync }) => inSync.every((id) => ids.includes(id)))
    return held.map(({ partition }) => partition)
  }

  /** Resolves when every partition has as many in-sync replicas as the cluster wants, and the roster is right. */
  async settled(): Promise<void> {
    const why = (): string => this.#unsettled() ?? ''
    for (;;) {
      await this.#progress.until('the cluster settles', () => why() === '', SETTLED_WITHIN_MS, why)
      const restMs = this.#disturbedMs + QUIET_MS - performance.now()
      if (restMs <= 0) return
      await sleep(restMs)
    }
  }

  /** What the log shows is believed some time from now at the earliest. */
  disturbed(): void {
    this.#disturbedMs = performance.now()
  }

  /** Resolves when it is settled and nothing is on its way to another place. */
  async atRest(): Promise<void> {
    await this.settled()
    await this.seen('the cluster is at rest', (view) => {
      const moves = [...view.members.keys()].some((id) => wishes(view, id).length > 0)
      return this.#unsettled() === undefined && targetOf(view) === undefined && !moves
    })
  }

  /** Resolves when the log says so. */
  seen(what: string, holds: (view: View) => boolean): Promise<void> {
    return this.#progress.until(what, () => holds(this.view), SETTLED_WITHIN_MS)
  }

  #unsettled(): string | undefined {
    const { configs, members, backups, boot } = this.view
    const living = new Set([...this.members.values()].map(({ id }) => id))
    if (!this.#isFresh) return 'the log cannot be read'
    if (configs.length === 0) return 'the log is empty'
    if (boot.frozen) return 'the log is frozen'
    for (const { name, id } of this.members.values())
      if (!members.has(id)) return `${name} is not in the roster`
    for (const { id, name } of members.values()) if (!living.has(id)) return `${name} is still in the roster`
    const wanted = Math.min(backups + 1, living.size)
    const poor = configs.find(({ inSync }) => inSync.length < wanted || !inSync.every((id) => living.has(id)))
    return poor && this.#describe(poor)
  }

  #describe({ partition, owner, inSync, epoch, reason }: PartitionConfig): string {
    const { version, target, members } = this.view
    const names = new Map([...this.members.values()].map(({ id, name }) => [id, name]))
    const named = (ids: readonly string[]): string =>
      ids.map((id) => names.get(id) ?? `gone ${id}`).join(', ')
    const row = target?.table[partition] ?? []
    return (
      `partition ${partition} has ${inSync.length} replicas in sync (${named(inSync)}; owner ${named([owner])}, ` +
      `n ${epoch % 2 ** 32}, ${reason}), wanted are ${named(row)} of ${named([...members.keys()])}, at ${version}`
    )
  }

  async #follow(): Promise<void> {
    this.#control = observeNats({ servers: this.nats.urls, cluster: this.name })
    await this.#control.open({
      onOpen: (_, checkpoint) => {
        this.#folding = checkpoint ? decodeView(checkpoint.bytes) : emptyView
      },
      onEntries: (entries, caughtUp) => {
        for (const entry of entries) {
          const before = this.#folding
          this.#folding = foldEntries(before, [entry], hashSecret)
          this.#noteLosses(before, this.#folding)
        }
        if (!caughtUp) return
        if (!this.#isFresh || this.view.boot.frozen) this.disturbed()
        this.view = this.#folding
        this.#isFresh = true
        this.#progress.happened()
      },
      onDown: () => {
        this.#isFresh = false
      },
      onAnnouncement: () => {},
    })
  }

  /**
   * Notes eras that rose, each once, however often the log is read. That is right where every replica that the log named in
   * sync just before was killed: two deaths, or one right after a pause had left its owner alone.
   */
  #noteLosses(before: View, view: View): void {
    if (before.configs === view.configs) return
    for (const config of before.configs) {
      const next = view.configs[config.partition]
      if (next === undefined || next.era <= config.era || this.#lossesSeen.has(next.id)) continue
      this.#lossesSeen.add(next.id)
      const deaths = config.inSync.map((id) => this.#killedMs.get(id))
      if (deaths.includes(undefined)) this.losses.push(config)
      else if (!this.lost.has(config.partition))
        this.lost.set(config.partition, Math.max(...deaths.map(Number)))
    }
  }

  // ---- its end

  /** Something that must end before the servers do. */
  atEnd(end: () => Promise<unknown>): void {
    this.#ends.push(end)
  }

  /** Ends everything. With `keep` its folder stays, without the stores. */
  async close(keep = false): Promise<void> {
    for (const end of this.#ends.splice(0)) await end()
    for (const { pid, parent } of this.members.values()) {
      parent.signal('SIGSTOP')
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended by itself.
      }
      await parent.kill()
    }
    this.members.clear()
    await this.nats.kill()
    await this.#control?.close()
    await this.hosts.close()
    await this.disk?.remove(keep)
    if (!keep) await rm(this.folder, { recursive: true, force: true })
  }
}

/** The project's folder, from the sources and from what is compiled of them. */
function rootFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder))
    if (existsSync(join(folder, 'package.json'))) return folder
}
