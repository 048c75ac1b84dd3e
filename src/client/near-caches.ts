/**
 * The near caches of a client: at most one for each map, shared by all who ask for it.
 *
 * A write drops what it writes from the cache of its map, however the map was asked for: a client that reads its own
 * write sees it. Nothing is subscribed to before the first read.
 */

import { GridError } from '../core/base/errors.ts'
import { Operation } from '../core/wire/message.ts'
import type { MapGate } from './map-catalog.ts'
import { NEAR_CACHE_DEFAULTS, NearCache, type NearCacheBounds, type NearClocks } from './near-cache.ts'
import { NearFeeds } from './near-feed.ts'
import { writeNothing } from './operation.ts'
import {
  checkCallOptions,
  GET_OPTIONS,
  type GetOptions,
  type NearCacheOptions,
  withoutUndefined,
} from './options.ts'
import type { Decoder } from './pending-call.ts'
import type { Router } from './router.ts'

/** A near cache, what tells it of changes, and the way to the owners. */
export class Near {
  readonly cache: NearCache
  readonly #router: Router
  readonly #gate: MapGate
  readonly #feeds: NearFeeds

  constructor(router: Router, gate: MapGate, bounds: NearCacheBounds, clocks: NearClocks) {
    this.cache = new NearCache(bounds, clocks, router.limits)
    this.#router = router
    this.#gate = gate
    this.#feeds = new NearFeeds(router, gate, this.cache, clocks.nowMs)
  }

  /** A read that may be served from here. What cannot goes to the owner, and is kept if nothing happens meanwhile. */
  get(key: unknown, options: GetOptions | undefined): Promise<unknown> {
    if (options !== undefined)
      try {
        checkCallOptions(options, GET_OPTIONS)
      } catch (error) {
        return Promise.reject(error)
      }
    const { cache } = this
    if (options === undefined || (options.consistency !== 'confirmed' && !options.signal?.aborted)) {
      const hit = cache.hit(key)
      if (hit !== undefined) return hit
    }
    this.#feeds.start()
    const reservation = cache.reserve(key)
    const keep: Decoder = (reply, call, limits) => cache.fill(reservation, reply, call, limits)
    const { calls } = this.#router
    const value = calls.call(this.#gate, Operation.get, key, writeNothing, 0, 0, keep, options)
    const release = (): void => cache.release(reservation)
    value.then(release, release)
    return value
  }
}

/** Where the near cache of a map stands, once somebody has asked for one. */
export interface NearPlace {
  near: Near | undefined
}

export class NearCaches {
  readonly #router: Router
  readonly #clocks: NearClocks
  readonly #places = new Map<string, NearPlace>()

  constructor(router: Router, clocks: NearClocks) {
    this.#router = router
    this.#clocks = clocks
  }

  place(map: string): NearPlace {
    let place = this.#places.get(map)
    if (place === undefined) {
      place = { near: undefined }
      this.#places.set(map, place)
    }
    return place
  }

  /** @throws GridError `BAD_OPTION` where there is one with other bounds */
  open(gate: MapGate, given: NearCacheOptions): Near {
    const place = this.place(gate.name)
    const bounds: NearCacheBounds = { ...NEAR_CACHE_DEFAULTS, ...withoutUndefined(given) }
    place.near ??= new Near(this.#router, gate, bounds, this.#clocks)
    const known = place.near.cache.bounds
    for (const name of ['maxEntries', 'maxBytes', 'maxStaleMs'] as const)
      if (known[name] !== bounds[name]) {
        const text = `the near cache of map ${gate.name} has ${name} ${known[name]}, not ${bounds[name]}`
        throw new GridError('BAD_OPTION', text)
      }
    return place.near
  }
}
