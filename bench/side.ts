/**
 * A side of a contest: something that can be loaded, with a name and a version. Most sides are a call of a client;
 * a program that makes its own load (redis-benchmark) is one too.
 */

import { type Call, oneByOne, openLoop, rate } from './load.ts'
import { percentilesOf } from './statistics.ts'

export type Load =
  | { readonly kind: 'rate'; readonly inFlight: number }
  | { readonly kind: 'oneByOne' }
  | { readonly kind: 'openLoop'; readonly perSecond: number }

export interface Measured {
  /** What rounds are compared by: operations a second, the p50 (one by one) or the p99 (open loop) in milliseconds. */
  readonly value: number
  /** Where calls were timed: each of them, in milliseconds. */
  readonly timesMs?: Float64Array
}

export interface Side {
  readonly name: string
  readonly version: string
  measure(load: Load, durationMs: number): Promise<Measured>
}

/** What all map benchmarks ask of a client. Both take and give decoded objects. */
export interface MapClient {
  readonly name: string
  readonly version: string
  readonly get: Call
  readonly put: Call
}

/** A side that is a client's call, which counts as `operations`. */
export function sideOf(name: string, version: string, call: Call, operations = 1): Side {
  return {
    name,
    version,
    async measure(load, durationMs) {
      if (load.kind === 'rate') return { value: (await rate(call, load.inFlight, durationMs)) * operations }
      const timesMs = await (load.kind === 'oneByOne'
        ? oneByOne(call, durationMs)
        : openLoop(call, load.perSecond, durationMs))
      const { p50, p99 } = percentilesOf([timesMs])
      return { value: load.kind === 'oneByOne' ? p50 : p99, timesMs }
    },
  }
}

export function sidesOf(clients: readonly MapClient[], operation: 'get' | 'put'): Side[] {
  return clients.map((client) => sideOf(client.name, client.version, client[operation]))
}
