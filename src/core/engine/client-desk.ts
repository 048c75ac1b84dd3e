/**
 * What clients ask of a member besides calls: the view, maps by name, subscriptions.
 */

import type { ByteReader } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { MapConfig } from '../membership/config.ts'
import { readMapConfig, writeMapConfig } from '../membership/field.ts'
import { lossOf, replicasText } from '../membership/loss.ts'
import type { View } from '../membership/view.ts'
import { CallOrder } from '../partition/call-order.ts'
import type { Now, Outlet } from '../partition/context.ts'
import type { Partition } from '../partition/partition.ts'
import { sendRedirect } from '../partition/reply-queue.ts'
import type { Watcher } from '../partition/watcher.ts'
import {
  type CallView,
  type ClientView,
  MAP_NAME,
  readOpenMap,
  readWatch,
  writeMapOpened,
  writeProgress,
  writeView,
  writeWatchEnd,
} from '../wire/message.ts'
import { decodeValue } from '../wire/value-decode.ts'
import type { ConfigLog } from './config-log.ts'
import type { Settings } from './settings.ts'

/** Clients that wait for a map to be created, at most. */
const WAITING_MAX = 10_000
/** Subscriptions in one message of progress; in all a client has at most `watchersMax` a partition. */
const PROGRESS_MAX = 8192

interface WaitingForMap {
  readonly client: Outlet
  readonly request: number
  readonly name: string
  readonly config: MapConfig | undefined
}

export class ClientDesk {
  readonly #settings: Settings
  readonly #log: ConfigLog
  readonly #partitions: readonly Partition[]
  readonly #clients = new Set<Outlet>()
  #waiting: WaitingForMap[] = []
  /** By partition, calls that were refused before this member knew of any. */
  readonly #early = new Map<number, CallOrder>()
  /** The `keysOnly` subscriptions of each client. */
  readonly #keyWatchers = new Map<Outlet, Map<Watcher, number>>()
  /** Who has asked in this turn how far it has been told. */
  #asked: { readonly client: Outlet; readonly request: number }[] = []
  #view: ClientView | undefined
  #viewPushed: ClientView | undefined

  constructor(settings: Settings, log: ConfigLog, partitions: readonly Partition[]) {
    this.#settings = settings
    this.#log = log
    this.#partitions = partitions
  }

  get size(): number {
    return this.#clients.size
  }

  arrived(client: Outlet): void {
    this.#clients.add(client)
    this.sendView(client)
  }

  left(client: Outlet): void {
    this.#clients.delete(client)
    this.#waiting = this.#waiting.filter((waiting) => waiting.client !== client)
    for (const order of this.#early.values()) order.forget(client)
    for (const partition of this.#partitions) partition.onClientGone(client)
    this.#keyWatchers.delete(client)
  }

  // ---- calls before the founding is known here

  /**
   * The client has heard of the founding from another member. Calls behind this one may be under way, and arrive when
   * this member has heard of it, too: they may not be carried out before it.
   */
  refuseEarly(client: Outlet, { partition, call, ackUpTo }: CallView): void {
    const { partitionCount, limits } = this.#settings
    if (partition < partitionCount) {
      const order = this.#early.get(partition) ?? new CallOrder(limits.callsPerPartitionMax)
      this.#early.set(partition, order)
      order.refused(client, call, ackUpTo)
    }
    sendRedirect(client, partition, call, { era: 0, epoch: 0, seq: 0 }, '', false)
  }

  /** What a partition that there is now has to know of them. */
  takeEarly(partition: number): CallOrder | undefined {
    const order = this.#early.get(partition)
    this.#early.delete(partition)
    return order
  }

  // ---- the view

  sendView(client: Outlet): void {
    if (!this.#view) return
    writeView(client.out, this.#view)
    client.wake()
  }

  /** The cluster has changed: maps that were waited for are there, and clients are told at the next tick. */
  viewed(): void {
    const { view } = this.#log
    this.#view = clientView(view)
    this.#waiting = this.#waiting.filter((waiting) => !this.#answer(waiting, view))
  }

  tick(now: Now): void {
    if (this.#view !== this.#viewPushed) {
      this.#viewPushed = this.#view
      for (const client of this.#clients) this.sendView(client)
    }
    for (const { name, config } of this.#waiting) this.#askFor(name, config, now)
  }

  // ---- maps

  openMap(client: Outlet, r: ByteReader, now: Now): void {
    const { request, name, config: bytes } = readOpenMap(r)
    try {
      if (!MAP_NAME.test(name)) {
        throw new GridError('BAD_OPTION', `map name ${JSON.stringify(name)} must match ${MAP_NAME.source}`)
      }
      const waiting = { client, request, name, config: this.#config(bytes) }
      if (this.#answer(waiting, this.#log.view)) return
      const { mapsMax } = this.#settings.limits
      // Not a thing that passes: maps are never removed.
      if (this.#log.view.maps.length >= mapsMax)
        throw new GridError('TOO_LARGE', `no room for map ${name}: the cluster has ${mapsMax} (mapsMax)`)
      if (this.#waiting.length >= WAITING_MAX)
        throw new GridError('OVERLOADED', `${WAITING_MAX} clients wait for maps to be created`)
      this.#waiting.push(waiting)
      this.#askFor(name, waiting.config, now)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      writeMapOpened(client.out, request, error)
      client.wake()
    }
  }

  #config(bytes: Uint8Array): MapConfig | undefined {
    if (bytes.length === 0) return undefined
    try {
      return readMapConfig(decodeValue(bytes, 0, bytes.length, this.#settings.limits))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new GridError('BAD_OPTION', `map configuration: ${reason}`)
    }
  }

  #askFor(name: string, config: MapConfig | undefined, now: Now): void {
    // Another map may have taken the number that was asked for.
    this.#log.ask(
      `map ${name} ${this.#log.view.maps.length}`,
      { kind: 'map', name, config: config ?? {} },
      now,
    )
  }

  #answer({ client, request, name, config }: WaitingForMap, view: View): boolean {
    const map = view.mapsByName.get(name)
    if (!map) return false
    const difference = config && configDifference(map.config, config)
    const conflict = difference && new GridError('MAP_CONFLICT', `map '${name}' exists with ${difference}`)
    if (!client.closed) {
      writeMapOpened(client.out, request, conflict || map.id)
      client.wake()
    }
    return true
  }

  // ---- loss

  /**
   * Why nobody can answer for a partition that this member does not own: all replicas are gone, and the cluster may not
   * begin it anew by itself. Said only by one that knows at least the epoch that the client does.
   */
  lossOf(partition: Partition, epoch: number): GridError | undefined {
    const { view, ready } = this.#log
    if (!ready || partition.owner || partition.conflicted) return undefined
    const loss = lossOf(view, partition.id)
    // What this partition has heard of may be newer than the log here; and this member itself may be the one missing.
    if (!loss || loss.config.id !== partition.config?.id || loss.config.epoch < epoch) return undefined
    if (loss.config.inSync.includes(this.#settings.self.id)) return undefined
    const what = `no in-sync replica of partition ${partition.id} is left: ${replicasText(loss.replicas)}`
    const help = "reconnect a silent one that still runs, or begin anew with 'actorgrid partitions reset'"
    return new GridError('PARTITION_LOST', `${what}; ${help}`)
  }

  // ---- subscriptions

  watch(client: Outlet, r: ByteReader): void {
    const request = readWatch(r)
    const partition = this.#partitions[request.partition]
    const owner = partition?.owner
    try {
      if (!partition || !owner || owner.stopped || request.epoch > owner.reference.epoch) {
        const loss = partition && this.lossOf(partition, request.epoch)
        if (loss) throw loss
        throw new GridError('NOT_OWNER', `this member does not own partition ${request.partition} now`)
      }
      if (!this.#log.view.maps[request.map - 1])
        throw new GridError('NOT_READY', `map ${request.map} is not yet known`)
      // The frame's memory is used again after this turn.
      const watcher = owner.watchers.add(client, { ...request, where: Uint8Array.from(request.where) })
      if (request.keysOnly) this.#keepWatcher(client, watcher, request.partition)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
      writeWatchEnd(client.out, request.watch, request.partition, error)
      client.wake()
    }
  }

  #keepWatcher(client: Outlet, watcher: Watcher, partition: number): void {
    const watchers = this.#keyWatchers.get(client) ?? new Map<Watcher, number>()
    this.#keyWatchers.set(client, watchers)
    watchers.set(watcher, partition)
    watcher.onClosed = () => watchers.delete(watcher)
  }

  credit(client: Outlet, r: ByteReader): void {
    const watch = r.u32()
    const owner = this.#partitions[r.u16()]?.owner
    owner?.watchers.credit(client, watch, r.u32())
  }

  unwatch(client: Outlet, r: ByteReader): void {
    const watch = r.u32()
    this.#partitions[r.u16()]?.owner?.watchers.remove(client, watch)
  }

  /** The client wants to know how far it has been told; answered at the end of the turn. */
  askProgress(client: Outlet, r: ByteReader): void {
    const request = r.u32()
    // In one turn the newest says it all.
    this.#asked = this.#asked.filter((asked) => asked.client !== client)
    this.#asked.push({ client, request })
  }

  /** Watchers have been told what there is: whoever asked hears which of them have been told all. */
  answerProgress(now: Now): void {
    if (this.#asked.length === 0) return
    for (const { client, request } of this.#asked) this.#answerProgress(client, request, now)
    this.#asked = []
  }

  #answerProgress(client: Outlet, request: number, now: Now): void {
    if (client.closed) return
    const told: { watch: number; partition: number }[] = []
    for (const [watcher, partition] of this.#keyWatchers.get(client) ?? [])
      if (watcher.isTold(now)) told.push({ watch: watcher.watch, partition })
    for (let from = 0; from === 0 || from < told.length; from += PROGRESS_MAX) {
      writeProgress(client.out, { request, told: told.slice(from, from + PROGRESS_MAX) })
      client.wake()
    }
  }
}

function clientView(view: View): ClientView {
  const members = [...view.members.values()].map(({ id, address, name }) => ({ id, address, name }))
  const indexes = new Map(members.map(({ id }, index) => [id, index]))
  return {
    version: view.version,
    boot: view.boot.id,
    clusterId: view.clusterId,
    members,
    epochs: view.configs.map(({ epoch }) => epoch),
    owners: view.configs.map(({ owner }) => indexes.get(owner) ?? -1),
    backups: view.configs.map(({ owner, inSync }) =>
      inSync.flatMap((id) => (id === owner ? [] : (indexes.get(id) ?? []))),
    ),
  }
}

/** What of an existing map's configuration differs from the one asked for, for people; empty if nothing. */
function configDifference(existing: MapConfig, wanted: MapConfig): string {
  const a = flat(writeMapConfig(existing))
  const b = flat(writeMapConfig(wanted))
  const names = [...new Set([...a.keys(), ...b.keys()])]
  return names
    .filter((name) => a.get(name) !== b.get(name))
    .map((name) => `${name} ${a.get(name) ?? 'unset'}, not ${b.get(name) ?? 'unset'}`)
    .join('; ')
}

function flat(value: unknown, prefix = '', into = new Map<string, string>()): Map<string, string> {
  for (const [name, member] of Object.entries(value as object)) {
    if (typeof member === 'object' && member !== null) flat(member, `${prefix}${name}.`, into)
    else if (member !== undefined) into.set(prefix + name, String(member))
  }
  return into
}
