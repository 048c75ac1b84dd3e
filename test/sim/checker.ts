/**
 * What must hold after every turn of every member, and at the end of a run.
 */

import type { Owner } from '../../src/core/partition/owner.ts'
import type { Partition } from '../../src/core/partition/partition.ts'
import type { Replica } from '../../src/core/partition/replica.ts'
import { hashBytes } from '../../src/core/ring/hash.ts'
import type { ControlStore } from './control-store.ts'
import { type CallRecord, emptyKey } from './history.ts'
import type { Ledger } from './ledger.ts'
import { checkLinearizable } from './linearizability.ts'
import type { SimMember } from './member.ts'
import { matches, type WatchClient } from './watch-client.ts'
import { explained } from './witness.ts'
import type { World } from './world.ts'

/** How often a history is searched although the committed log explains it. */
const SEARCH_ALL_THE_SAME = 0.05

/** What has been seen of a partition as one member has it. */
interface Seen {
  epoch: number
  owner: Owner | undefined
  replica: Replica | undefined
  /** Up to here the log of that replica has been compared. */
  comparedSeq: number
}

export class Checker {
  readonly #world: World
  readonly #store: ControlStore
  readonly #ledger: Ledger
  readonly #members: () => readonly SimMember[]
  readonly #maps = new Map<number, number>()
  readonly #seen = new WeakMap<SimMember, Seen[]>()
  /** Members and partitions whose memory was full: they may be named until they are taken out. */
  readonly emptied = new Set<string>()
  /** The log may name replicas that hold nothing: it has been rolled back. */
  rolledBack = false
  /** Keys and eras looked at; those searched; those of which nothing is known in the end. */
  histories = 0
  searches = 0
  undecided = 0
  /** Calls whose answers, or lack of one, have been explained. */
  judged = 0

  constructor(world: World, store: ControlStore, ledger: Ledger, members: () => readonly SimMember[]) {
    this.#world = world
    this.#store = store
    this.#ledger = ledger
    this.#members = members
  }

  /** After a turn of `member`. */
  observe(member: SimMember): void {
    const all = this.#seenBy(member)
    for (const partition of member.engine.partitions) {
      if (!partition.config) continue
      all[partition.id] ??= { epoch: 0, owner: undefined, replica: undefined, comparedSeq: 0 }
      const seen = all[partition.id]!
      if (partition.conflicted && !this.rolledBack)
        this.#world.fail(`two configurations of one epoch in partition ${partition.id} at ${member.host}`)
      this.#epochRises(member, partition, seen)
      this.#holds(member, partition)
      this.#committed(member, partition, seen)
      if (partition.owner) this.#servesAlone(member, partition, partition.owner)
    }
  }

  #seenBy(member: SimMember): Seen[] {
    const known = this.#seen.get(member)
    if (known) return known
    const seen: Seen[] = []
    this.#seen.set(member, seen)
    return seen
  }

  /** A map keeps its number, and none has another's. */
  opened(name: number, id: number): void {
    const known = this.#maps.get(name)
    const other = [...this.#maps].find(([one, number]) => number === id && one !== name)
    if (known !== undefined && known !== id) this.#world.fail(`map ${name} is number ${id}, and was ${known}`)
    if (other) this.#world.fail(`maps ${name} and ${other[0]} are both number ${id}`)
    this.#maps.set(name, id)
  }

  #epochRises(member: SimMember, { id, reference }: Partition, seen: Seen): void {
    const { epoch } = reference
    if (epoch < seen.epoch)
      this.#world.fail(`epoch of partition ${id} at ${member.host} falls from ${seen.epoch} to ${epoch}`)
    seen.epoch = epoch
  }

  /** Who is named in sync holds the data. */
  #holds(member: SimMember, partition: Partition): void {
    const { config, owner, backup, id } = partition
    if (this.rolledBack || owner || backup || !config!.inSync.includes(member.id)) return
    if (this.emptied.has(`${member.id} ${id}`)) return
    this.#world.fail(`${member.host} is in sync in partition ${id} in name only (epoch ${config!.epoch})`)
  }

  /** What is committed agrees with what was. */
  #committed(member: SimMember, partition: Partition, seen: Seen): void {
    const { id, config, owner, backup, replica, role } = partition
    if (!replica || (role !== 'owner' && role !== 'backup')) return
    const { era } = config!
    const { store } = replica
    if (owner && owner !== seen.owner) {
      seen.owner = owner
      const last = this.#ledger.lastBefore(id, era, config!.epoch)
      if (owner.firstSeq - 1 < last)
        this.#world.fail(
          `LOST: ${member.host} owns partition ${id} from seq ${owner.firstSeq} on, ${last} was committed`,
        )
    }
    const commit = owner ? owner.commit : backup!.commit
    if (replica !== seen.replica) {
      seen.replica = replica
      seen.comparedSeq = 0
    }
    const from = Math.max(seen.comparedSeq + 1, store.tailFirst)
    if (from > commit) return
    store.walkTail(from, commit, (record) => {
      if (!this.#ledger.commit(id, era, config!.epoch, record))
        this.#world.fail(`${member.host} (${role}) commits another record as ${id}/${era}/${record.seq}`)
      return true
    })
    seen.comparedSeq = commit
  }

  #serves(member: SimMember, owner: Owner): boolean {
    const { monoMs, wallMs } = member.clocks()
    const { leaseMs } = owner.context.timing
    return (
      member.alive &&
      !member.paused &&
      !owner.stopped &&
      owner.commit >= owner.firstSeq &&
      owner.log.leased(monoMs, wallMs, leaseMs)
    )
  }

  #servesAlone(member: SimMember, partition: Partition, owner: Owner): void {
    if (!this.#serves(member, owner)) return
    for (const other of this.#members()) {
      if (other === member) continue
      const rival = other.engine.partitions[partition.id]?.owner
      if (rival && this.#serves(other, rival))
        this.#world.fail(
          `two owners serve partition ${partition.id}: ${member.host} at ${owner.reference.epoch}, ${other.host} at ${rival.reference.epoch}`,
        )
    }
  }

  // ---- at the end

  /** The replicas of a partition that are in sync; the owner first. Undefined while the log is ahead of them. */
  replicas(id: number): { member: SimMember; partition: Partition }[] | undefined {
    const config = this.#store.view.configs[id]
    if (!config) return undefined
    const found = []
    for (const name of [config.owner, ...config.inSync.filter((m) => m !== config.owner)]) {
      const member = this.#members().find((m) => m.id === name)
      const partition = member?.engine.partitions[id]
      if (!member || partition?.config?.id !== config.id) return undefined
      if (!partition.owner && !partition.backup) return undefined
      found.push({ member, partition })
    }
    return found[0]?.partition.owner ? found : undefined
  }

  /** All replicas of all partitions hold the same, and nobody waits for anything. */
  replicasEqual(partitionCount: number): void {
    for (let id = 0; id < partitionCount; id++) {
      const replicas = this.replicas(id)
      if (!replicas) this.#world.fail(`partition ${id} is not settled at the end`)
      const owner = replicas[0]!.partition.owner!
      if (owner.replies.size > 0 || owner.confirmations.size > 0)
        this.#world.fail(`${owner.replies.size} replies of partition ${id} wait for ever`)
      if (owner.commit !== owner.head)
        this.#world.fail(`partition ${id} ends with ${owner.head - owner.commit} uncommitted`)
      const wanted = digest(replicas[0]!.partition.replica!)
      for (const { member, partition } of replicas) {
        partition.replica!.store.audit()
        if (partition.backup && partition.backup.commit !== owner.commit)
          this.#world.fail(
            `${member.host} has partition ${id} at ${partition.backup.commit}, not ${owner.commit}`,
          )
        const found = digest(partition.replica!)
        if (found !== wanted)
          this.#world.fail(
            `${member.host} holds other entries of partition ${id} than its owner:\n${found}\n${wanted}`,
          )
      }
    }
  }

  /** Whether a watcher holds what is there; it may be told of the newest records only by and by. */
  watcherEquals(watch: WatchClient): boolean {
    const entries = this.#watched(watch)
    return (
      entries?.size === watch.held.size &&
      [...entries].every(([key, value]) => watch.held.get(key)?.value === value)
    )
  }

  watchersEqual(watch: WatchClient): void {
    if (this.watcherEquals(watch)) return
    const count = this.#watched(watch)?.size
    this.#world.fail(
      `a watcher of partition ${watch.partition} map ${watch.map}${watch.filtered ? ' (filtered)' : ''} ends with ${watch.held.size} entries, there are ${count} (at ${watch.position})`,
    )
  }

  #watched(watch: WatchClient): Map<string, string> | undefined {
    const store = this.replicas(watch.partition)?.[0]?.partition.replica?.store
    if (!store) return undefined
    const entries = new Map<string, string>()
    store.page(watch.map, 0, 1_000_000, (record) => {
      const value = record.bytes.toString('hex', record.valueStart, record.valueEnd)
      const key = record.bytes.toString('hex', record.keyStart, record.keyEnd)
      if (!watch.filtered || matches(value)) entries.set(key, value)
    })
    return entries
  }

  linearizable(history: readonly CallRecord[], map: number): void {
    const byKey = new Map<string, CallRecord[]>()
    for (const call of history) {
      const calls = byKey.get(call.key)
      if (calls) calls.push(call)
      else byKey.set(call.key, [call])
    }
    for (const [key, calls] of byKey) {
      this.#linearizableKey(key, calls, map)
      this.judged += calls.length
    }
  }

  /**
   * Each era of a key stands alone: it begins with nothing. A call without an answer may belong to any, and one answered in
   * a later era may have taken effect in this one too, and been lost with it.
   */
  #linearizableKey(key: string, calls: readonly CallRecord[], map: number): void {
    const eras = new Set(calls.map((call) => call.era).filter((era) => era >= 0))
    for (const era of eras) {
      const those = calls
        .filter((call) => call.era === era || (isWrite(call) && (call.era < 0 || call.era > era)))
        .map((call) => (call.era > era ? { ...call, endMs: Number.POSITIVE_INFINITY } : call))
      const { partition, keyBytes } = those[0]!
      this.histories++
      const short = explained(those, this.#ledger.written(partition, era, map, keyBytes))
      if (short && !this.#world.chance(SEARCH_ALL_THE_SAME)) continue
      this.searches++
      const verdict = checkLinearizable(those, emptyKey)
      if (verdict === 'unknown' && !short) this.undecided++
      if (verdict === 'not linearizable')
        this.#world.fail(`key ${key} is not linearizable (${those.length} calls)\n${show(shortest(those))}`)
    }
  }
}

function isWrite({ kind }: CallRecord): boolean {
  return kind !== 'get' && kind !== 'getEntry'
}

/** The calls up to the first answer that cannot be explained, and of those the last. */
function shortest(calls: readonly CallRecord[]): readonly CallRecord[] {
  const ends = calls.map(({ endMs }) => endMs).filter((endMs) => endMs !== Number.POSITIVE_INFINITY)
  ends.sort((a, b) => a - b)
  for (const endMs of ends) {
    const before = calls
      .filter(({ callMs }) => callMs <= endMs)
      .map((call) => (call.endMs <= endMs ? call : { ...call, endMs: Number.POSITIVE_INFINITY }))
      .filter((call) => call.endMs <= endMs || isWrite(call))
    if (checkLinearizable(before, emptyKey) === 'not linearizable') return before.slice(-24)
  }
  return calls.slice(-24)
}

function show(calls: readonly CallRecord[]): string {
  return [...calls]
    .sort((a, b) => a.callMs - b.callMs)
    .map(
      (c) =>
        `  ${c.callMs.toFixed(1)}–${c.endMs.toFixed(1)} ${c.client} ${c.kind} ${c.argument}${c.expected === undefined ? '' : ` if ${c.expected}`} = ${c.result} at ${c.epoch}/${c.seq}`,
    )
    .join('\n')
}

/** Everything that lives in a replica, in one text. */
function digest(replica: Replica): string {
  const rows: string[] = []
  for (const map of replica.store.mapIds()) {
    replica.store.page(map, 0, 1_000_000, (record) => {
      const key = record.bytes.toString('latin1', record.keyStart, record.keyEnd)
      const value = hashBytes(record.bytes, record.valueStart, record.valueEnd)
      rows.push(`${map} ${key} ${record.seq} ${value} ${record.expiresAt}`)
    })
  }
  for (const session of replica.sessions.sessions()) rows.push(`session ${session.number} ${session.id}`)
  return rows.sort().join('\n')
}
