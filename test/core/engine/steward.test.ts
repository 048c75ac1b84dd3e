/** Who is struck off the roster for silence, and who is not. */

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
