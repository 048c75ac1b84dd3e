/**
 * A short chaos run for every change: some faults of each kind against real processes, all histories checked. The long run
 * is `npm run chaos`. And the checkers themselves: that they see what must not be.
 */

import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/core/base/random.ts'
import { build } from '../support/cli.ts'
import { checkRound, Violation } from './check.ts'
import { ChaosCluster } from './cluster.ts'
import type { Copy, Told } from './copy.ts'
import type { CallKind, CallRecord } from './history.ts'
import { Rounds } from './round.ts'
import { chosenFaults } from './run.ts'
import { variants } from './variant.ts'

describe('real processes under faults', () => {
  const folder = mkdtempSync(join(tmpdir(), 'actorgrid-chaos-'))

  beforeAll(() => build(), 300_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** Each string is a round: its faults, by name. */
  async function survive(variantName: string, seed: number, rounds: readonly string[]): Promise<void> {
    const variant = variants.find(({ name }) => name === variantName)!
    const reason = variant.unavailable?.()
    if (reason !== undefined) return console.warn(`left out: ${variantName}: ${reason}`)
    const cluster = await ChaosCluster.start(`${variantName}-${seed}`, variant, join(folder, variantName))
    try {
      const suffering = await Rounds.on(cluster, seededRandom(seed))
      for (const names of rounds) {
        const { calls, undecided } = await suffering.run(chosenFaults(names))
        expect(calls).toBeGreaterThan(100)
        expect(undecided).toBe(0)
      }
    } finally {
      await cluster.close()
    }
  }

  test('members are killed, stopped and replaced, and NATS goes and comes back', async () => {
    await survive('plain', 1, ['kill,pause-short', 'leave,kill-host', 'nats-kill', 'pause-long,nats-lost'])
  }, 240_000)

  test('one of three nats-servers is killed, the one that leads', async () => {
    await survive('three-nats', 2, ['nats-leader', 'kill'])
  }, 240_000)
})

describe('the checkers', () => {
  const keys = [{ id: 'registers/k', key: 'k', partition: 0, isCounter: false }]
  let clock = 0

  function call(kind: CallKind, argument: number, result?: number, answered = true): CallRecord {
    const callMs = ++clock
    const endMs = answered ? ++clock : Number.POSITIVE_INFINITY
    const place = { keyBytes: '', partition: 0, era: -1, epoch: 0, seq: 0 }
    return {
      client: 'a',
      key: 'registers/k',
      kind,
      argument,
      expected: undefined,
      callMs,
      endMs,
      result,
      ...place,
    }
  }

  function check(
    calls: readonly CallRecord[],
    after: number | undefined,
    told: readonly (number | undefined)[],
  ): void {
    const events = told.map((value, i): Told => ({ value, version: `0.${i}` }))
    const copy = {
      name: 'the watch',
      map: 'registers',
      isFiltered: false,
      reset: new Set(),
      told: new Map([['k', events]]),
    }
    checkRound({
      keys,
      calls: new Map([['registers/k', calls]]),
      before: new Map(),
      after: new Map([['registers/k', after]]),
      copies: [copy as unknown as Copy],
      lost: new Map(),
    })
  }

  test('take what can be explained', () => {
    check([call('put', 5), call('invoke', 3, 8), call('get', 0, 8)], 8, [5, 8])
    check([call('put', 5), call('put', 6, undefined, false), call('get', 0, 5)], 5, [5])
    check([call('put', 5), call('put', 6, undefined, false), call('get', 0, 6)], 6, [5, 6])
    check([call('put', 5), call('remove', 0, 1), call('get', 0, undefined)], undefined, [5, undefined])
  })

  test('see an acknowledged write that is lost', () => {
    expect(() => check([call('put', 5), call('put', 6), call('get', 0, 5)], 5, [5])).toThrow(Violation)
  })

  test('see a call that took effect twice, also where nobody knows whether it did at all', () => {
    expect(() => check([call('put', 5), call('invoke', 3, 8), call('get', 0, 11)], 11, [5, 8, 11])).toThrow(
      Violation,
    )
    const unknown = [call('put', 5), call('invoke', 3, undefined, false), call('get', 0, 11)]
    expect(() => check(unknown, 11, [5, 8, 11])).toThrow(Violation)
  })

  test('see a watch that leaves a change out, and one that tells it twice', () => {
    const writes = [call('put', 5), call('put', 6), call('get', 0, 6)]
    expect(() => check(writes, 6, [6])).toThrow(/never told/)
    expect(() => check(writes, 6, [5, 6, 5, 6])).toThrow(/nobody wrote/)
    expect(() => check(writes, 6, [6, 5])).toThrow(Violation)
  })
})
