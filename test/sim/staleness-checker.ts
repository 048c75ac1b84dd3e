/**
 * Reads that any replica may answer (`read: 'any'`): none misses what had been acknowledged longer before it was made than it
 * allows, on the virtual clock of the world, whatever the members' own clocks say; and no client sees a key go back, behind
 * its own writes or behind what it has been shown.
 *
 * What a read saw is the version that stands at the place that it names, which the answer checker holds to be so.
 */

import type { CommittedState } from './committed-state.ts'
import type { Request } from './workload.ts'
import type { World } from './world.ts'

/** Members' clocks may be slow by so much. */
const RATE = 1.03

/** A version of a key, by its record. */
interface Place {
  readonly era: number
  readonly seq: number
}

interface Told extends Place {
  readonly atMs: number
}

/** What is known when a read is made. */
export interface AnyRead {
  readonly callMs: number
  readonly maxStaleMs: number
  /** The newest version of the key that its client knew of. */
  readonly shown: Place
}

const NOTHING: Place = { era: 0, seq: 0 }

export class StalenessChecker {
  readonly #world: World
  readonly #state: CommittedState
  /** By map and key, in the order in which clients were told. */
  readonly #told = new Map<string, Told[]>()
  /** By client, map and key. */
  readonly #shown = new Map<string, Place>()

  constructor(world: World, state: CommittedState) {
    this.#world = world
    this.#state = state
  }

  /** A read is about to be made. */
  made(client: string, request: Request, maxStaleMs: number): AnyRead {
    const shown = this.#shown.get(`${client} ${nameOf(request)}`) ?? NOTHING
    return { callMs: this.#world.nowMs, maxStaleMs, shown }
  }

  /** A client has been told of a version of the key: by the answer to its write, or by one that names it. */
  told(client: string, request: Request, version: Place): void {
    const name = nameOf(request)
    const list = this.#told.get(name) ?? []
    this.#told.set(name, list)
    list.push({ ...version, atMs: this.#world.nowMs })
    this.#show(`${client} ${name}`, version)
  }

  #show(name: string, version: Place): void {
    if (isBefore(this.#shown.get(name) ?? NOTHING, version)) this.#shown.set(name, version)
  }

  /** A read that any replica may answer has been answered from there. Says whether it could be checked. */
  answered(client: string, request: Request, read: AnyRead, at: Place): boolean {
    const { partition, map, keyHex } = request
    if (!this.#state.reaches(partition, at.era, at.seq)) return false
    const name = nameOf(request)
    const { seq } = this.#state.at(partition, at.era, map, keyHex, at.seq)
    const saw = { era: at.era, seq }
    const what = `${request.kind} ${request.name} of map ${map} by ${client} at ${partition}/${at.era}/${at.seq} saw ${seq}`
    if (isBefore(saw, read.shown))
      this.#world.fail(`any read: ${what} after ${read.shown.era}/${read.shown.seq}`)
    const sinceMs = read.callMs - RATE * read.maxStaleMs
    const missed = this.#told.get(name)?.find((told) => told.atMs < sinceMs && isBefore(saw, told))
    if (missed) {
      const ageMs = Math.round(read.callMs - missed.atMs)
      this.#world.fail(
        `any read: ${what}, not ${missed.era}/${missed.seq} of ${ageMs} ms before (${read.maxStaleMs})`,
      )
    }
    this.#show(`${client} ${name}`, saw)
    return true
  }
}

function nameOf({ map, keyHex }: Request): string {
  return `${map} ${keyHex}`
}

function isBefore(a: Place, b: Place): boolean {
  return a.era !== b.era ? a.era < b.era : a.seq < b.seq
}
