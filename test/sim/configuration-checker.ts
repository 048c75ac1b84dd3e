/**
 * What must hold of the configuration: whoever has read the log up to some place sees what everybody sees there, a mere move
 * takes no living replica, as far as its owner can know, from a partition that has none to spare, data is declared lost only
 * when nobody who holds it lives (but those who left as the last ones), and the target table is the one function of roster
 * and table before that it is said to be.
 *
 * And of an owner's log: it reaches back to what any of its replicas still lacks.
 */

import { ConfigLog } from '../../src/core/engine/config-log.ts'
import type { PartitionConfig } from '../../src/core/membership/config.ts'
import { activeMembers, isDead } from '../../src/core/membership/roster.ts'
import type { Target, View } from '../../src/core/membership/view.ts'
import type { Owner } from '../../src/core/partition/owner.ts'
import type { ControlStore } from './control-store.ts'
import type { SimMember } from './member.ts'
import type { World } from './world.ts'

export class ConfigurationChecker {
  readonly #world: World
  readonly #store: ControlStore
  readonly #members: () => readonly SimMember[]
  /** By version; of a log that lost its end, from there on. */
  readonly #views = new Map<number, View>()
  readonly #seen = new WeakMap<SimMember, View>()
  #view: View | undefined
  /** Moves that are judged: each is put to the log again and again. */
  readonly #moves = new WeakSet<PartitionConfig>()
  readonly #targets = new Map<string, string>()
  /** Members that left when nobody was there who meant to stay: what they held ended with them. */
  readonly #ended = new Set<string>()
  /** Boots under which the log has lost its end: two logs have had their versions. */
  readonly #torn = new Set<string>()
  readonly counts: Record<string, number> = {
    'views compared': 0,
    moves: 0,
    targets: 0,
    losses: 0,
    'last to leave': 0,
  }

  constructor(world: World, store: ControlStore, members: () => readonly SimMember[]) {
    this.#world = world
    this.#store = store
    this.#members = members
    present = this
  }

  /** After a turn of `member`. */
  observe(member: SimMember): void {
    if (this.#store.lastSeq !== (this.#view?.version ?? 0)) this.#follow()
    const { view } = member.engine
    if (this.#seen.get(member) === view) return
    this.#seen.set(member, view)
    const wanted = this.#views.get(view.version)
    if (!wanted || this.#torn.has(view.boot.id) || this.#torn.has(wanted.boot.id)) return
    this.counts['views compared']!++
    const [a, b] = [textOf(view), textOf(wanted)]
    const at = a.findIndex((line, i) => line !== b[i])
    if (at >= 0)
      this.#world.fail(
        `views differ: ${member.host} sees at ${view.version} ${a[at]}\n  where the log says ${b[at]}`,
      )
  }

  observeOwner(member: SimMember, owner: Owner): void {
    this.#proposed(owner, member.engine.view)
    const { tailFirst, head } = owner.replica.store
    for (const { id, ack, base } of owner.log.peers.values()) {
      const has = Math.max(ack, base)
      if (has === 0 || has >= head || has + 1 >= tailFirst) continue
      this.#world.fail(
        `the log of ${member.host} in partition ${owner.partition} begins at ${tailFirst}, and ${id} has it up to ${has}`,
      )
    }
  }

  #follow(): void {
    const before = this.#view
    const { view } = this.#store
    this.#view = view
    if (before && view.version < before.version) {
      this.#torn.add(view.boot.id).add(before.boot.id)
      for (const version of this.#views.keys()) if (version > view.version) this.#views.delete(version)
      this.#ended.clear()
    }
    this.#views.set(view.version, view)
    if (before && view.version === before.version + 1) this.#changed(before, view)
  }

  #changed(before: View, view: View): void {
    this.#left(before, view)
    if (before.configs !== view.configs)
      view.configs.forEach((config, p) => {
        const old = before.configs[p]
        if (old && config.era > old.era) this.#lost(old, config)
      })
  }

  /**
   * Somebody is struck off as one that has left. Who was struck off for silence before, and is named by nothing, is not
   * waited for: it may never come back.
   */
  #left(before: View, view: View): void {
    const there = [...before.members.values(), ...before.silent.values()]
    for (const { id, state } of there) {
      if (state !== 'leaving' || view.members.has(id) || !isDead(view, id)) continue
      if (there.some((other) => other.id !== id && other.state !== 'leaving')) continue
      this.#ended.add(id)
      this.counts['last to leave']!++
    }
  }

  #lost(old: PartitionConfig, config: PartitionConfig): void {
    this.counts.losses!++
    const living = this.#members().find(({ id, engine }) => {
      const partition = engine.partitions[config.partition]
      const holds = partition?.owner ?? (partition?.role === 'backup' && partition.backup)
      return holds && !this.#ended.has(id) && partition?.config?.era === old.era && old.inSync.includes(id)
    })
    if (living)
      this.#world.fail(`partition ${config.partition} is declared lost, but ${living.host} holds it`)
  }

  /**
   * A move is judged when it is proposed, and by what its owner has read: where the store is slow the log may say otherwise
   * for long, and nobody can know that. One that takes out who is gone already takes no living replica.
   */
  #proposed(owner: Owner, view: View): void {
    const { unresolved, config } = owner
    if (unresolved?.reason !== 'moved' || this.#moves.has(unresolved)) return
    this.#moves.add(unresolved)
    this.counts.moves!++
    const livingOf = ({ inSync }: PartitionConfig): number =>
      inSync.filter((id) => view.members.has(id)).length
    const living = livingOf(unresolved)
    const wanted = Math.min(view.backups + 1, activeMembers(view).length)
    if (living < wanted && living < livingOf(config))
      this.#world.fail(
        `a move leaves partition ${owner.partition} with ${living} living replicas of ${wanted}`,
      )
  }

  /** Of one roster and one table before, everybody makes the same table. */
  wanted(view: View, target: Target): void {
    this.counts.targets!++
    const from = `${target.roster} ${JSON.stringify(view.target?.table ?? view.configs)}`
    const table = JSON.stringify(target.table)
    const other = this.#targets.get(from) ?? table
    this.#targets.set(from, table)
    if (other !== table) this.#world.fail(`two targets for roster ${target.roster}: ${table} and ${other}`)
  }
}

const ask = ConfigLog.prototype.ask

/** The run of this thread. */
let present: ConfigurationChecker | undefined

ConfigLog.prototype.ask = function (this: ConfigLog, key, item, now): void {
  if (item.kind === 'target') present?.wanted(this.view, item)
  ask.call(this, key, item, now)
}

/** All that later items are judged by, one line for each part. */
function textOf(view: View): string[] {
  const { boot } = view
  return [
    `cluster ${view.clusterId} ${view.gen} ${view.partitionCount} ${view.backups} ${view.minInSync}`,
    `configs ${view.configs.map(({ id, epoch, era }) => `${id} ${epoch} ${era}`).join()}`,
    `members ${[...view.members.values()].map(({ id, state, address }) => `${id} ${state} ${address}`).join()}`,
    `silent ${[...view.silent.keys()].join()}`,
    `dead ${[...view.dead].join()}`,
    `named ${[...view.named].sort().join()}`,
    `maps ${view.maps.map(({ name, config }) => `${name} ${JSON.stringify(config)}`).join()}`,
    `target ${view.target?.roster} ${JSON.stringify(view.target?.table)}`,
    `boot ${boot.id} ${boot.evidence} ${boot.frozen} ${[...boot.roster].sort().join()} ${[...boot.reported].sort().join()}`,
    `ignored ${JSON.stringify(view.ignored)}`,
  ]
}
