/**
 * How long a process's event loop did not come round, seen from within.
 *
 * A timer of 1 ms asks at each of its turns how long the loop has been busy since the turn before: the time that was not
 * spent asleep in its poll (`wall`), and how much of it this thread had a processor (`own`, from /proc). The first holds
 * whatever others did to it, so it is the upper bound; the second is what the process's own work took. Both hold the
 * work of up to 1 ms before, so they are never too small, and by 1 ms at most too large. Collections are timed beside, for
 * a thread that waits for the collector's others is on no processor; and so are the turns of the engine, to tell a store
 * that takes long from a loop that had much to read.
 */

import { openSync, readSync } from 'node:fs'
import { PerformanceObserver, performance } from 'node:perf_hooks'
import type { Engine } from '../../src/core/engine/engine.ts'

/** The longest since the meter was last set to zero, in milliseconds. */
export interface Stalls {
  readonly ownMs: number
  readonly wallMs: number
  readonly collectionMs: number
  /** Stretches of own work above 5 ms. */
  readonly above5Ms: number
  /** The longest single turns of the engine, with what others did in them: whose a stall was. */
  readonly turnsMs: Turns
}

/** A client's frame, one portion of housekeeping (compaction, expiry), the engine's 50 ms beat. */
export interface Turns {
  readonly clientFrame: number
  readonly work: number
  readonly tick: number
}

const NO_TURNS: Turns = { clientFrame: 0, work: 0, tick: 0 }
export const NO_STALLS: Stalls = {
  ...{ ownMs: 0, wallMs: 0, collectionMs: 0, above5Ms: 0 },
  turnsMs: NO_TURNS,
}

const EVERY_MS = 1
const ABOVE_MS = 5

/** `Engine.prototype`. */
export type EngineMethods = Pick<Engine, keyof Turns>

interface Reading {
  readonly atMs: number
  readonly idleMs: number
  /** Undefined where the system does not tell. */
  readonly ranMs: number | undefined
}

export class StallMeter {
  readonly #schedule = openSchedule()
  readonly #buffer = Buffer.alloc(64)
  #last = this.#read()
  #ownMs = 0
  #wallMs = 0
  #collectionMs = 0
  #above5Ms = 0
  #turnsMs = { ...NO_TURNS }

  /** Turns are not known where there is no engine. */
  constructor(engine?: EngineMethods) {
    if (engine !== undefined) this.#watch(engine)
    setInterval(() => this.#turn(), EVERY_MS).unref()
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries())
        this.#collectionMs = Math.max(this.#collectionMs, duration)
    }).observe({ entryTypes: ['gc'] })
  }

  get stalls(): Stalls {
    const [ownMs, wallMs, collectionMs] = [this.#ownMs, this.#wallMs, this.#collectionMs]
    return { ownMs, wallMs, collectionMs, above5Ms: this.#above5Ms, turnsMs: { ...this.#turnsMs } }
  }

  /** What `work` does is not counted. */
  aside<T>(work: () => T): T {
    this.#turn()
    const result = work()
    this.#begin()
    return result
  }

  reset(): void {
    this.#begin()
    this.#ownMs = 0
    this.#wallMs = 0
    this.#collectionMs = 0
    this.#above5Ms = 0
    this.#turnsMs = { ...NO_TURNS }
  }

  /** Puts a clock around the methods. They have no door for it, and a benchmark is no reason to give them one. */
  #watch(engine: EngineMethods): void {
    for (const name of ['clientFrame', 'work', 'tick'] as const) {
      const method = engine[name] as (this: unknown, ...args: unknown[]) => unknown
      const meter = this
      Reflect.set(engine, name, function timed(this: unknown, ...args: unknown[]): unknown {
        const startMs = performance.now()
        const result = method.apply(this, args)
        const turns = meter.#turnsMs
        turns[name] = Math.max(turns[name], performance.now() - startMs)
        return result
      })
    }
  }

  /** Ends a stretch and begins the next. */
  #turn(): void {
    const { atMs, idleMs, ranMs } = this.#last
    const now = this.#read()
    const wallMs = now.atMs - atMs - (now.idleMs - idleMs)
    const ownMs = now.ranMs === undefined || ranMs === undefined ? wallMs : now.ranMs - ranMs
    this.#wallMs = Math.max(this.#wallMs, wallMs)
    this.#ownMs = Math.max(this.#ownMs, ownMs)
    if (ownMs > ABOVE_MS) this.#above5Ms++
    this.#last = now
  }

  #begin(): void {
    this.#last = this.#read()
  }

  #read(): Reading {
    const { idle } = performance.eventLoopUtilization()
    return { atMs: performance.now(), idleMs: idle, ranMs: this.#readRanMs() }
  }

  #readRanMs(): number | undefined {
    if (this.#schedule === undefined) return undefined
    const length = readSync(this.#schedule, this.#buffer, 0, this.#buffer.length, 0)
    return Number.parseInt(this.#buffer.toString('latin1', 0, length), 10) / 1e6
  }
}

/** Of the main thread. */
function openSchedule(): number | undefined {
  try {
    return openSync('/proc/self/schedstat', 'r')
  } catch {
    return undefined
  }
}
