/** Who is struck off the roster for silence, and who is not; and whose silence an owner counts. */

import { expect, test } from 'vitest'
import type { ConfigLog } from '../../../src/core/engine/config-log.ts'
import type { Effects, Settings } from '../../../src/core/engine/settings.ts'
import { Steward } from '../../../src/core/engine/steward.ts'

const TICK_MS = 50
const ANNOUNCE_MS = 1000
const SILENT_MS = 15_000

/** Member `a` among `b` and `c`; who announces itself, and whether anybody can hear it, is the test's. */
class Listening {
  readonly #announced = new Map<string, { heardMonoMs: number }>()
  readonly #steward: Steward
  readonly struckOff: string[] = []
  monoMs = 0

  constructor() {
    const settings = {
      self: { id: 'a' },
      silentRemoveMs: SILENT_MS,
      rebalanceDelayMs: 1e9,
    } as unknown as Settings
    const log = {
      ready: true,
      founded: true,
      announced: this.#announced,
      view: { members: new Map(['a', 'b', 'c'].map((id) => [id, { id }])), dead: new Set(), boot: {} },
      ask: (_: string, { member }: { member: string }) => this.struckOff.push(member),
    } as unknown as ConfigLog
    this.#steward = new Steward(settings, {} as Effects, log, [])
  }

  /** Lets time pass in which these are heard. */
  pass(timeMs: number, heard: readonly string[]): void {
    for (const endMs = this.monoMs + timeMs; this.monoMs < endMs; this.monoMs += TICK_MS) {
      if (this.monoMs % ANNOUNCE_MS === 0)
        for (const id of heard) this.#announced.set(id, { heardMonoMs: this.monoMs })
      this.#steward.tick({ monoMs: this.monoMs, wallMs: this.monoMs } as never)
    }
  }
}

test('a member that is not heard for silentRemoveMs is struck off', () => {
  const listening = new Listening()
  listening.pass(30_000, ['a', 'b', 'c'])
  listening.pass(SILENT_MS - 2 * ANNOUNCE_MS, ['a', 'b'])
  expect(listening.struckOff).toEqual([])
  listening.pass(3 * ANNOUNCE_MS, ['a', 'b'])
  expect(new Set(listening.struckOff)).toEqual(new Set(['c']))
})

test('nobody is struck off for the time in which nothing could be heard, this member itself neither', () => {
  const listening = new Listening()
  listening.pass(30_000, ['a', 'b', 'c'])
  listening.pass(60_000, [])
  listening.pass(ANNOUNCE_MS, ['a'])
  listening.pass(60_000, ['a', 'b', 'c'])
  expect(listening.struckOff).toEqual([])
  listening.pass(60_000, [])
  listening.pass(SILENT_MS + 3 * ANNOUNCE_MS, ['a', 'b'])
  expect(new Set(listening.struckOff)).toEqual(new Set(['c']))
})

/** Member `a` owns a partition and looks, as owners do, how long `b` has been silent. */
class Waiting {
  readonly peer = { id: 'b', learner: false, heardMonoMs: 0 }
  silentMs = 0
  #monoMs = 0
  readonly #steward: Steward

  constructor() {
    const config = { partition: 0, epoch: 1, id: 'c', owner: 'a', inSync: ['a', 'b'] }
    const owner = {
      log: { peers: new Map([['b', this.peer]]), dropLeases: () => {} },
      round: (now: { monoMs: number }) => {
        this.silentMs = now.monoMs - this.peer.heardMonoMs
      },
    }
    const view = {
      gen: 1,
      configs: [config],
      members: new Map(['a', 'b'].map((id) => [id, { id }])),
      dead: new Set(),
    }
    const log = { ready: true, founded: true, announced: new Map(), view: { ...view, boot: {} } }
    const settings = { self: { id: 'a' }, silentRemoveMs: 1e9, rebalanceDelayMs: 1e9 }
    const partitions = [{ id: 0, config, owner }]
    this.#steward = new Steward(settings as never, {} as Effects, log as never, partitions as never)
    this.ticks(1, TICK_MS)
    this.peer.heardMonoMs = this.#monoMs
  }

  ticks(count: number, gapMs: number): void {
    for (let i = 0; i < count; i++) {
      this.#monoMs += gapMs
      this.#steward.tick({ monoMs: this.#monoMs, wallMs: this.#monoMs } as never)
    }
  }
}

test('silence counts in full as long as this member is on time', () => {
  const waiting = new Waiting()
  waiting.ticks(20, TICK_MS)
  expect(waiting.silentMs).toBe(1000)
  waiting.ticks(10, 2 * TICK_MS)
  expect(waiting.silentMs).toBe(2000)
})

test('of a tick that is late only the first part counts, for what came meanwhile is not read yet', () => {
  const waiting = new Waiting()
  waiting.ticks(4, 450)
  expect(waiting.silentMs).toBe(400)
  waiting.ticks(1, 600)
  expect(waiting.silentMs).toBe(0)
  waiting.ticks(8, 150)
  expect(waiting.silentMs).toBe(800)
})

test('a tick that is late does not make anybody heard who was not', () => {
  const waiting = new Waiting()
  waiting.peer.heardMonoMs = Number.NEGATIVE_INFINITY
  waiting.ticks(1, 450)
  expect(waiting.silentMs).toBe(Number.POSITIVE_INFINITY)
})
