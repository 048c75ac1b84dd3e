/**
 * The numbers of maps. A map is opened by its name when it is first used; until a member has answered, its calls wait
 * here in the order in which they were made.
 */

import { assert } from '../core/base/assert.ts'
import type { GridError } from '../core/base/errors.ts'
import { type OpenMap, writeOpenMap } from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'
import type { PendingCall } from './pending-call.ts'

/** Calls that wait for one map to be opened; one more is refused. */
const WAITING_MAX = 16_384
/** Asked again after this time, perhaps of another member. */
const ANSWER_MS = 2000
const RETRY_MS = 50

/** Failures that pass: the map is asked for again while anybody waits for it. */
const PASSING: ReadonlySet<string> = new Set([
  'NOT_READY',
  'OVERLOADED',
  'NO_LEASE',
  'NOT_OWNER',
  'CONTROL_UNAVAILABLE',
  'UNREACHABLE',
])

export interface MapWaiter {
  opened(): void
  failed(error: GridError): void
}

export class MapGate {
  readonly name: string
  readonly config: Uint8Array
  /** The map's number; 0 until it is open. */
  id = 0
  /** The request under way, or 0, and when to ask again. */
  request = 0
  askAtMs = 0
  link: Link | undefined
  refusal: GridError | undefined
  calls: PendingCall[] = []
  waiters: MapWaiter[] = []

  constructor(name: string, config: Uint8Array) {
    this.name = name
    this.config = config
  }

  get hasRoom(): boolean {
    return this.calls.length < WAITING_MAX
  }

  get wanted(): boolean {
    return this.calls.length + this.waiters.length > 0
  }
}

export interface CatalogHandler {
  anyLink(): Link | undefined
  nowMs(): number
  /** The call's map is open: it goes its way. */
  release(call: PendingCall): void
  giveUp(call: PendingCall, error: GridError): void
}

export class MapCatalog {
  readonly #gates = new Map<string, MapGate>()
  readonly #requests = new Map<number, MapGate>()
  readonly #handler: CatalogHandler
  #lastRequest = 0

  constructor(handler: CatalogHandler) {
    this.#handler = handler
  }

  /** The gate of a map; the same for the same name and configuration. */
  gate(name: string, config: Uint8Array): MapGate {
    const id = `${name}\0${Buffer.from(config).toString('latin1')}`
    let gate = this.#gates.get(id)
    if (gate === undefined) {
      gate = new MapGate(name, config)
      this.#gates.set(id, gate)
    }
    return gate
  }

  /** Keeps a call until its map is open; the gate must have room. */
  hold(gate: MapGate, call: PendingCall): void {
    assert(gate.hasRoom, 'a gate is asked for room before a call is made')
    gate.calls.push(call)
    this.#ask(gate)
  }

  /** Tells `waiter` once the map is open, or cannot be. */
  await(gate: MapGate, waiter: MapWaiter): void {
    if (gate.id !== 0) waiter.opened()
    else {
      gate.waiters.push(waiter)
      this.#ask(gate)
    }
  }

  /** The waiter does not wait any more. */
  leave(gate: MapGate, waiter: MapWaiter): void {
    const at = gate.waiters.indexOf(waiter)
    if (at >= 0) gate.waiters.splice(at, 1)
  }

  /** Whether somebody waits who is no call; `tick` must go on for it. */
  get hasWaiters(): boolean {
    for (const gate of this.#gates.values()) if (gate.waiters.length > 0) return true
    return false
  }

  opened(request: number, outcome: number | GridError): void {
    const gate = this.#requests.get(request)
    if (gate === undefined) return
    this.#forget(gate)
    if (typeof outcome === 'number') {
      gate.id = outcome
      for (const call of gate.calls.splice(0)) {
        if (call.done) continue
        call.setMap(gate.id)
        this.#handler.release(call)
      }
      for (const waiter of gate.waiters.splice(0)) waiter.opened()
      return
    }
    gate.refusal = outcome
    if (PASSING.has(outcome.code)) gate.askAtMs = this.#handler.nowMs() + RETRY_MS
    else this.#fail(gate, outcome)
  }

  lost(link: Link): void {
    for (const gate of [...this.#requests.values()]) {
      if (gate.link !== link) continue
      this.#forget(gate)
      this.#ask(gate)
    }
  }

  /** Asks again where it is time, and gives up calls whose deadline has passed. */
  tick(nowMs: number, late: (call: PendingCall, gate: MapGate) => void): void {
    for (const gate of this.#gates.values()) {
      if (!gate.wanted) continue
      for (const call of gate.calls) if (!call.done && call.deadlineMs <= nowMs) late(call, gate)
      gate.calls = gate.calls.filter((call) => !call.done)
      if (gate.request !== 0 && nowMs >= gate.askAtMs) this.#forget(gate)
      if (gate.wanted && nowMs >= gate.askAtMs) this.#ask(gate)
    }
  }

  /** Asks for every map that somebody waits for: a member is connected again. */
  askAll(): void {
    for (const gate of this.#gates.values()) if (gate.wanted) this.#ask(gate)
  }

  close(error: GridError): void {
    for (const gate of this.#gates.values()) this.#fail(gate, error)
  }

  /** Gives up every call that waits, but no watch. */
  endCalls(error: GridError): void {
    for (const gate of this.#gates.values())
      for (const call of gate.calls.splice(0)) if (!call.done) this.#handler.giveUp(call, error)
  }

  #fail(gate: MapGate, error: GridError): void {
    for (const call of gate.calls.splice(0)) if (!call.done) this.#handler.giveUp(call, error)
    for (const waiter of gate.waiters.splice(0)) waiter.failed(error)
  }

  #ask(gate: MapGate): void {
    if (gate.request !== 0) return
    const link = this.#handler.anyLink()
    if (link === undefined || link.closed) return
    const request = ++this.#lastRequest
    gate.request = request
    gate.link = link
    gate.askAtMs = this.#handler.nowMs() + ANSWER_MS
    this.#requests.set(request, gate)
    const message: OpenMap = { request, name: gate.name, config: gate.config }
    writeOpenMap(link.out, message)
    link.wake()
  }

  #forget(gate: MapGate): void {
    this.#requests.delete(gate.request)
    gate.request = 0
    gate.link = undefined
    gate.askAtMs = 0
  }
}
