/**
 * A connected client: the way to maps, and to what is known of the cluster.
 */

import { ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import type { Key } from '../core/wire/key.ts'
import { type ClientView, MAP_NAME } from '../core/wire/message.ts'
import { encodeValue } from '../core/wire/value.ts'
import { Channel } from './channel.ts'
import type { ClientMetrics } from './client-metrics.ts'
import { eventsBetween, type GridEvent, type RosterMember } from './grid-event.ts'
import { GridMap } from './grid-map.ts'
import { NearCaches } from './near-caches.ts'
import { checkMapOptions, type MapOptions, withoutUndefined } from './options.ts'
import type { Peer } from './peer.ts'
import { Router, type RouterHandler, type RouterOptions } from './router.ts'

/** Events kept for an iterator that is not read; then the oldest go. */
const EVENTS_MAX = 1024

/** A partition as clients know it. */
export interface Partition {
  readonly partition: number
  readonly epoch: number
  /** `undefined`: nobody owns it now. */
  readonly owner: RosterMember | undefined
}

export class Grid implements AsyncDisposable {
  readonly cluster: string
  readonly name: string
  readonly #router: Router
  readonly #nearCaches: NearCaches
  readonly #listeners = new Set<(event: GridEvent) => void>()
  readonly #channels = new Set<Channel<GridEvent>>()
  #resolveView: (() => void) | undefined
  #viewed: Promise<void>

  /** Grids come from `connect`. @internal */
  constructor(cluster: string, name: string, options: RouterOptions) {
    this.cluster = cluster
    this.name = name
    this.#viewed = new Promise((resolve) => {
      this.#resolveView = resolve
    })
    const handler: RouterHandler = {
      onView: (view, before) => this.#onView(view, before),
      onConnection: (event, peer, reason) => this.#onConnection(event, peer, reason),
    }
    this.#router = new Router(options, handler)
    this.#nearCaches = new NearCaches(this.#router, options)
  }

  /** Resolves when the grid can be used; used by `connect`. @internal */
  async open(deadlineMs: number): Promise<void> {
    const router = this.#router
    await router.roster.reach(deadlineMs)
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_, reject) => {
      const text = 'a member is connected, but the cluster has no partitions yet'
      const restMs = Math.max(1, deadlineMs - performance.now())
      timer = setTimeout(() => reject(new GridError('NOT_READY', text)), restMs)
    })
    try {
      await Promise.race([this.#viewed, timeout])
    } finally {
      clearTimeout(timer)
    }
  }

  /** What this client counts, from its start. */
  get metrics(): Readonly<ClientMetrics> {
    return this.#router.metrics
  }

  /** Calls that have not been answered. */
  get pendingCalls(): number {
    return this.#router.calls.pending
  }

  /**
   * A map by its name: 1–128 letters, digits, `_`, `.`, `:` or `-`. Nothing is sent before its first call, which
   * creates the map where there is none. Give `config` to choose expiry and eviction; where the map exists with others,
   * calls fail with `MAP_CONFLICT`, which names the difference. `nearCache` is this client's own affair. `K` and `V` are what the program stores; nobody checks
   * them.
   *
   * @throws GridError `BAD_OPTION`
   */
  map<K extends Key = string, V = unknown>(name: string, config?: MapOptions): GridMap<K, V> {
    if (typeof name !== 'string' || !MAP_NAME.test(name))
      throw new GridError('BAD_OPTION', `map name ${JSON.stringify(name)} must match ${MAP_NAME.source}`)
    if (config !== undefined) checkMapOptions(config)
    const { nearCache, ...shared } = withoutUndefined(config ?? {})
    const w = new ByteWriter(64)
    // A near cache alone says nothing of how the map is configured.
    if (config !== undefined && (nearCache === undefined || Object.keys(shared).length > 0))
      encodeValue(w, shared, this.#router.limits)
    const gate = this.#router.catalog.gate(name, w.take())
    const near = nearCache && this.#nearCaches.open(gate, nearCache)
    return new GridMap<K, V>(name, this.#router, gate, near, this.#nearCaches.place(name))
  }

  /** The members of the newest view. */
  members(): RosterMember[] {
    return this.#router.view?.members.map(({ id, name, address }) => ({ id, name, address })) ?? []
  }

  /** The partitions and their owners, as far as this client knows. */
  partitions(): Partition[] {
    return this.#router.lanes.map(({ partition, epoch, owner }) => ({
      partition,
      epoch,
      owner: owner === undefined ? undefined : { id: owner.id, name: owner.name, address: owner.address },
    }))
  }

  /** The partition that entries of this key are in, in every map. @throws GridError `BAD_KEY` */
  partitionOf(key: Key): number {
    return this.#router.calls.partitionOfKey(key)
  }

  /** What happens to the cluster from now on. An iterator that is not read keeps the newest 1,024 events. */
  events(): AsyncIterableIterator<GridEvent, undefined> {
    const channel = new Channel<GridEvent>()
    let missed = 0
    const listener = (event: GridEvent): void => {
      if (channel.size >= EVENTS_MAX) {
        channel.shift()
        missed++
      }
      channel.push(event)
    }
    const close = (): void => {
      this.#listeners.delete(listener)
      this.#channels.delete(channel)
      channel.end()
    }
    if (this.#router.closed) channel.end()
    this.#listeners.add(listener)
    this.#channels.add(channel)
    const iterator: AsyncIterableIterator<GridEvent, undefined> = {
      [Symbol.asyncIterator]: () => iterator,
      next: async () => {
        if (missed === 0) return channel.take()
        const count = missed
        missed = 0
        return { value: { type: 'missed', count }, done: false }
      },
      return: async () => {
        close()
        channel.clear()
        return { value: undefined, done: true }
      },
    }
    return iterator
  }

  /** Ends watches and calls (`CLOSED`) and the connections. */
  async close(): Promise<void> {
    await this.#router.close()
    for (const channel of this.#channels) channel.end()
    this.#channels.clear()
    this.#listeners.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #onView(view: ClientView, before: ClientView | undefined): void {
    this.#resolveView?.()
    this.#resolveView = undefined
    if (before === undefined) return
    for (const event of eventsBetween(before, view)) this.#tell(event)
  }

  #onConnection(event: 'lost' | 'restored', peer: Peer, reason: GridError | undefined): void {
    const { address } = peer
    if (event === 'restored') this.#tell({ type: 'connectionRestored', address })
    else this.#tell({ type: 'connectionLost', address, reason: reason?.message ?? 'closed by the member' })
  }

  #tell(event: GridEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
