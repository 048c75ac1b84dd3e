/**
 * One run: a cluster of production engines on virtual clocks, links and log, clients that use it, faults that trouble it,
 * and checkers that look at every turn and at the whole history.
 */

import { ByteWriter } from '../../src/core/base/bytes.ts'
import { randomId, seededRandom } from '../../src/core/base/random.ts'
import type { Settings } from '../../src/core/engine/settings.ts'
import { decodeMessage } from '../../src/core/membership/item.ts'
import { AnnouncementKind, writeAnnouncement } from '../../src/core/wire/message.ts'
import { AnswerChecker } from './answer-checker.ts'
import { Checker } from './checker.ts'
import { type ClientStats, SimClient } from './client.ts'
import { CommittedState } from './committed-state.ts'
import { moved } from './compaction-probe.ts'
import { ConfigurationChecker } from './configuration-checker.ts'
import { ControlStore, hashSecret } from './control-store.ts'
import { drawMix, type FaultMix, Faults } from './fault.ts'
import type { CallRecord } from './history.ts'
import { HousekeepingChecker } from './housekeeping-checker.ts'
import { Ledger } from './ledger.ts'
import { type CommittedVisit, watchStore } from './ledger-probe.ts'
import { LocalProbe } from './local-probe.ts'
import { SimMember } from './member.ts'
import { Network } from './network.ts'
import { type DrawnSettings, drawClients, drawSettings, drawTightness, type Tightness } from './plan.ts'
import { StalenessChecker } from './staleness-checker.ts'
import { stateText } from './state-text.ts'
import { World } from './world.ts'

export interface RunOptions {
  readonly seed: number
  readonly rollback?: boolean | undefined
  readonly loss?: boolean | undefined
  /** Clients make every other read of one key so that any replica may answer it. */
  readonly anyReads?: boolean | undefined
  readonly traced?: boolean | undefined
  readonly mix?: Partial<FaultMix> | undefined
  /** Replaces what the seed draws. */
  readonly settings?: Partial<Settings> | undefined
  readonly tightness?: Tightness | undefined
  readonly members?: number | undefined
  /** How long faults go on, in virtual milliseconds. */
  readonly faultMs?: number | undefined
}

export interface RunResult {
  readonly seed: number
  readonly failure: string | undefined
  readonly hash: number
  readonly virtualMs: number
  readonly events: number
  readonly counts: Readonly<Record<string, number>>
  readonly trace: readonly string[] | undefined
}

/** A store that restarts at the very end freezes changes until the roll call is over, which the dead hold up. */
const SETTLE_MAX_MS = 65_000
const HEAL_MAX_MS = 60_000
const CLIENTS = 3
const ROOM_BYTES = 64 * 1024 * 1024
/** Turns from one look at the entries of backups to the next. */
const BACKUPS_EVERY = 16
const FOUNDED_MS = 20_000

export class Simulation {
  readonly world: World
  readonly network: Network
  readonly store: ControlStore
  readonly ledger = new Ledger()
  readonly checker: Checker
  readonly faults: Faults
  readonly partitionCount: number
  readonly hosts: string[] = []
  members: SimMember[] = []
  readonly clients: SimClient[] = []
  readonly history: CallRecord[] = []
  /** Set when the clients have begun. */
  #beside: LocalProbe | undefined
  readonly stats: ClientStats = {
    calls: 0,
    answered: 0,
    unknown: 0,
    refused: 0,
    expiredSessions: 0,
    retries: 0,
    confirmed: 0,
    anyReads: 0,
    backupReads: 0,
    sleeps: 0,
    sentAfterSleep: 0,
    storeFull: 0,
    overloaded: 0,
    tooLarge: 0,
  }
  readonly housekeeping: HousekeepingChecker
  readonly configuration: ConfigurationChecker
  readonly state = new CommittedState(this.ledger)
  #looks = 0
  readonly #movedBefore = moved()
  #memoryBytesMax = 0
  answers!: AnswerChecker
  readonly mix: FaultMix
  readonly #settings: DrawnSettings
  readonly #tightness: Tightness
  readonly #workMs: number
  readonly #faultMs: number
  readonly #anyReads: boolean
  #unique = 1
  incarnations = 0
  healedMs = 0

  constructor(options: RunOptions) {
    const world = new World(options.seed, options.traced === true)
    this.world = world
    this.#anyReads = options.anyReads === true
    this.network = new Network(world)
    this.store = new ControlStore(world)
    this.checker = new Checker(world, this.store, this.ledger, () => this.members)
    this.housekeeping = new HousekeepingChecker(world)
    this.configuration = new ConfigurationChecker(world, this.store, () => this.members)
    const members = options.members ?? 3 + world.int(3)
    this.partitionCount = 2 + world.int(3)
    this.#tightness = options.tightness ?? drawTightness(world)
    this.#settings = {
      ...drawSettings(world, this.#tightness, members, this.partitionCount),
      ...options.settings,
    }
    this.#memoryBytesMax = this.#settings.memoryBytesMax
    this.#workMs = world.pick([0.05, 5, 60])
    this.#faultMs = options.faultMs ?? world.pick([8_000, 15_000, 40_000])
    this.mix = { ...drawMix(world, options.rollback === true, options.loss === true), ...options.mix }
    this.network.slowProbability = world.pick([0.002, 0.02, 0.05])
    this.store.lateProbability = world.pick([0, 0.1, 0.4])
    this.store.deafProbability = world.pick([0, 0.1, 0.5])
    this.faults = new Faults(this, this.mix)
    for (let i = 0; i < members; i++) this.hosts.push(`n${i}`)
    for (const host of this.hosts) this.start(host)
    this.#startClients()
  }

  // ---- members

  start(host: string): void {
    const { world } = this
    if (this.members.some((member) => member.host === host)) return
    const id = randomId(world.random)
    const secret = randomId(world.random)
    const random = seededRandom(world.int(2 ** 31))
    this.incarnations++
    world.log(`${host} starts as ${id}`)
    const self = {
      id,
      name: host,
      address: `${host}:7400`,
      zone: '',
      host,
      version: '1',
      state: 'active' as const,
      secretHash: hashSecret(secret),
    }
    const member = new SimMember({
      network: this.network,
      store: this.store,
      host,
      settings: {
        random,
        newId: () => randomId(random),
        ...this.#settings,
        memoryBytesMax: this.#memoryBytesMax,
        self,
      },
      secret,
      rate: world.between(0.98, 1.02),
      wallOffsetMs: world.between(-2000, 2000),
      workMs: this.#workMs,
      observe: (observed) => {
        this.checker.observe(observed)
        this.#look(observed)
        this.faults.observe(observed)
      },
      ended: (ended, reason) => this.#ended(ended, reason),
      emptied: ({ id: emptied }, partition) => this.checker.emptied.add(`${emptied} ${partition}`),
    })
    this.members.push(member)
  }

  #look(member: SimMember): void {
    for (const partition of member.engine.partitions) {
      watchStore(partition, this.#leaving)
      if (partition.owner) {
        this.housekeeping.observe(member, partition.owner)
        this.configuration.observeOwner(member, partition.owner)
      }
    }
    this.configuration.observe(member)
    if (this.#looks++ % BACKUPS_EVERY === 0) this.#lookAtBackups(member)
  }

  /** A backup has as many entries as the log says. (What a learner was taught is whole only with the log behind it.) */
  #lookAtBackups(member: SimMember): void {
    for (const { id, role, backup, config, replica } of member.engine.partitions) {
      if (
        role !== 'backup' ||
        !backup ||
        backup.commit !== replica?.store.head ||
        !this.state.reaches(id, config!.era, backup.commit)
      )
        continue
      for (const map of replica.store.mapIds()) {
        const wanted = this.state.entries(id, config!.era, map, backup.commit).size
        const found = replica.store.count(map)
        if (found !== wanted)
          this.world.fail(
            `${member.host} has ${found} entries of map ${map} in partition ${id} at ${backup.commit}, the log ${wanted}`,
          )
      }
    }
  }

  /** A block leaves a log: the ledger has its last look at what is in it. */
  #leaving: CommittedVisit = ({ id, config }, store, fromSeq) => {
    let block: Buffer | undefined
    store.walkTail(fromSeq, store.head, (record) => {
      block ??= record.bytes
      if (record.bytes !== block) return false
      if (!this.ledger.commit(id, config!.era, config!.epoch, record))
        this.world.fail(`another record is committed as ${id}/${config!.era}/${record.seq}`)
      return true
    })
  }

  kill(member: SimMember, certified: boolean): void {
    const { world } = this
    world.log(`${member.host} is killed${certified ? ', with a certificate' : ''}`)
    this.#remove(member)
    if (certified)
      for (let i = 0; i < 3; i++) world.after(world.between(5, 500) + 400 * i, () => this.#certify(member))
    this.#startLater(member.host)
  }

  #certify(member: SimMember): void {
    const { world } = this
    // The parent of a process says so until it is heard.
    if (this.store.isDown || (this.mix.loss && !this.#buried(member)))
      world.after(1000, () => this.#certify(member))
    if (this.store.isDown) return
    const w = new ByteWriter(128)
    writeAnnouncement(w, {
      kind: AnnouncementKind.death,
      id: member.id,
      address: '',
      info: Buffer.from(member.secret),
    })
    const bytes = w.take()
    for (const other of this.members)
      if (!world.chance(this.store.deafProbability))
        world.after(this.store.delay(), () =>
          other.exec(() => other.engine.announcement(bytes, other.clocks())),
        )
  }

  #buried({ id }: SimMember): boolean {
    const { members, silent, past } = this.store.view
    return !members.has(id) && !silent.has(id) && !past.get(id)
  }

  #ended(member: SimMember, reason: string): void {
    this.world.log(`${member.host} ends: ${reason}`)
    if (!member.leaving && !this.faults.counts.kill && !this.checker.rolledBack)
      this.world.fail(`${member.host} ended: ${reason}`)
    this.#remove(member)
    for (let i = 0; i < 3; i++)
      this.world.after(this.world.between(5, 500) + 400 * i, () => this.#certify(member))
    this.#startLater(member.host)
  }

  #remove(member: SimMember): void {
    member.die()
    this.members = this.members.filter((other) => other !== member)
  }

  #startLater(host: string): void {
    const { world } = this
    world.after((world.chance(0.5) ? 200 : 2000) + world.between(0, 4000), () => this.start(host))
  }

  // ---- clients

  #startClients(): void {
    const { world } = this
    const plan = drawClients(world, this.#tightness, this.partitionCount)
    this.answers = new AnswerChecker(
      world,
      this.ledger,
      this.state,
      plan.maps.map(({ config }) => config.ttlMs ?? 0),
    )
    const { answers, history } = this
    this.#beside = new LocalProbe({ world, members: () => this.members, answers, history })
    const staleness = new StalenessChecker(world, this.state)
    for (let i = 0; i < CLIENTS; i++) {
      const client = new SimClient({
        network: this.network,
        host: `c${i}`,
        id: randomId(world.random),
        ledger: this.ledger,
        addresses: this.hosts.map((host) => `${host}:7400`),
        partitionCount: this.partitionCount,
        ...plan,
        answers: this.answers,
        staleness,
        anyProbability: this.#anyReads ? 0.5 : 0,
        sessionIdleMs: this.#settings.timing.sessionIdleMs,
        history: this.history,
        stats: this.stats,
        unique: () => this.#unique++,
        readBeside: (request) => this.#beside!.read(request),
        opened: (name, id) => this.checker.opened(name, id),
      })
      this.clients.push(client)
    }
  }

  #watch(): void {
    const client = this.clients[0]!
    for (let p = 0; p < this.partitionCount; p++) {
      client.addWatch(1, p, client.maps[0]!, false)
      client.addWatch(2, p, client.maps[0]!, true)
      client.addWatch(3, p, client.maps[1]!, this.world.chance(0.5))
      client.addWatch(4, p, client.maps[2]!, this.world.chance(0.5))
    }
  }

  // ---- the run

  run(): void {
    const { world, faults, store, clients } = this
    this.#until(FOUNDED_MS, 'the cluster is not founded', () => clients.every(({ allOpened }) => allOpened))
    this.#watch()
    world.runUntil(world.nowMs + 2000)
    // The founding is kept: a log that is lost altogether is another matter.
    store.keptSeq = store.entries.find(({ bytes }) => foundingOf(bytes))?.seq ?? 0
    faults.active = true
    world.runUntil(world.nowMs + this.#faultMs)
    faults.heal()
    this.healedMs = world.nowMs
    // Somebody adds memory: else there may never be room for all replicas.
    this.#memoryBytesMax = ROOM_BYTES
    for (const { engine } of this.members) Object.assign(engine.pool, { maxBytes: ROOM_BYTES })
    world.log('healed')
    this.#until(HEAL_MAX_MS, 'the cluster does not recover', () => this.#recovered())
    for (const client of clients) client.stop()
    this.#until(15_000, 'calls stay open', () => clients.every(({ outstanding }) => outstanding === 0))
    this.#until(SETTLE_MAX_MS, 'the replicas do not settle', () => this.#settled())
    // What idleness removes is removed by now, and watchers have been told.
    world.runUntil(world.nowMs + 6000)
    this.#until(SETTLE_MAX_MS, 'the replicas do not settle again', () => this.#settled())
    this.checker.replicasEqual(this.partitionCount)
    const watches = [...clients[0]!.watches.values()]
    // Something may have expired just now.
    for (let i = 0; i < 40 && !watches.every((watch) => this.checker.watcherEquals(watch)); i++)
      world.runUntil(world.nowMs + 250)
    for (const watch of watches) this.checker.watchersEqual(watch)
    this.answers.finish()
    this.checker.linearizable(this.history, clients[0]!.maps[0]!)
  }

  #until(durationMs: number, what: string, condition: () => boolean): void {
    const { world } = this
    const endMs = world.nowMs + durationMs
    while (!condition()) {
      if (world.nowMs >= endMs) world.fail(`${what}: ${stateText(this.store, this.members)}`)
      world.runUntil(world.nowMs + 250)
    }
  }

  #recovered(): boolean {
    const { view } = this.store
    if (view.boot.frozen) return false
    const living = this.members.filter(({ leaving }) => !leaving)
    if (this.members.length < this.hosts.length || living.length < this.members.length) return false
    const wanted = Math.min(view.backups + 1, living.length)
    for (let p = 0; p < this.partitionCount; p++) {
      const replicas = this.checker.replicas(p)
      if (!replicas || replicas.length < wanted) return false
      const served = (times: (client: SimClient) => number | undefined): boolean =>
        this.clients.some((client) => (times(client) ?? 0) > this.healedMs)
      if (!this.#used(p)) continue
      if (!served(({ readMs }) => readMs[p]) || !served(({ writeMs }) => writeMs[p])) return false
    }
    return true
  }

  /** Whether any key of this run lives in a partition. */
  #used(partition: number): boolean {
    return this.clients.some(
      ({ readMs, writeMs, epochOf: _ }) =>
        readMs[partition] !== undefined || writeMs[partition] !== undefined,
    )
  }

  #settled(): boolean {
    for (let p = 0; p < this.partitionCount; p++) {
      const replicas = this.checker.replicas(p)
      const owner = replicas?.[0]?.partition.owner
      if (!replicas || !owner || owner.unresolved || owner.commit !== owner.head) return false
      for (const { partition } of replicas)
        if (partition.backup && partition.backup.commit !== owner.commit) return false
    }
    return true
  }

  get counts(): Record<string, number> {
    const watches = [...this.clients[0]!.watches.values()]
    return {
      ...this.stats,
      [`runs ${this.#tightness}`]: 1,
      'runs that compacted': moved() > this.#movedBefore ? 1 : 0,
      'records compacted': moved() - this.#movedBefore,
      'checkpoints written': this.store.saved.length,
      'checkpoints read': this.store.checkpointsRead,
      'frames held': this.members.reduce((sum, { framesHeld }) => sum + framesHeld, 0),
      incarnations: this.incarnations,
      configs: this.store.lastSeq,
      frames: this.network.stats.frames,
      watchEvents: watches.reduce((sum, { events }) => sum + events, 0),
      watchResets: watches.reduce((sum, { resets }) => sum + resets, 0),
      judged: this.checker.judged,
      'reads beside the owner': this.#beside?.answered ?? 0,
      'reads beside the owner, refused': this.#beside?.refused ?? 0,
      histories: this.checker.histories,
      searches: this.checker.searches,
      undecided: this.checker.undecided,
      eras: this.store.view.configs.reduce((sum, { era }) => sum + era, 0),
      ...this.answers.counts,
      ...this.housekeeping.counts,
      ...this.configuration.counts,
      ...this.faults.counts,
    }
  }
}

function foundingOf(bytes: Uint8Array): boolean {
  return decodeMessage(bytes)?.items.some(({ kind }) => kind === 'genesis') === true
}

/** Runs a seed. What a checker finds comes back as `failure`. */
export function simulate(options: RunOptions): RunResult {
  const sim = new Simulation(options)
  let failure: string | undefined
  try {
    sim.run()
  } catch (error) {
    failure =
      error instanceof Error
        ? error.name === 'Violation'
          ? error.message
          : (error.stack ?? '')
        : String(error)
    failure = `at ${(sim.world.nowMs / 1000).toFixed(3)} s: ${failure}`
  }
  const { world } = sim
  return {
    seed: options.seed,
    failure,
    hash: world.hash,
    virtualMs: world.nowMs,
    events: world.events,
    counts: sim.counts,
    trace: world.trace,
  }
}
