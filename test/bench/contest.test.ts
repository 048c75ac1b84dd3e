/** Who is measured when, and what rows come of it. */

import { describe, expect, test } from 'vitest'
import { hold, orderOf, type Result, resultOf } from '../../bench/contest.ts'
import type { Machine } from '../../bench/machine.ts'
import { isKept, type Row, rowsOf } from '../../bench/row.ts'
import type { Side } from '../../bench/side.ts'
import { missingText, short, tableOf } from '../../bench/table.ts'

const machine: Machine = { cpu: 'a processor', cores: 2, memoryGiB: 24, os: 'Linux x64', node: 'v20' }

const result = (name: string, ...rounds: number[]): Result =>
  resultOf(
    name,
    `${name} 1.0`,
    rounds.map((value) => ({ value })),
  )

const noFailure = (side: Side, error: unknown): void => {
  throw new Error(`${side.name} failed`, { cause: error })
}

describe('rounds', () => {
  test('each begins with another side and has all of them once', () => {
    expect([0, 1, 2, 3].map((round) => orderOf(3, round))).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
      [0, 1, 2],
    ])
  })

  test('take turns, and the first does not count', async () => {
    const turns: string[] = []
    const side = (name: string): Side => ({
      name,
      version: '',
      measure: async () => ({ value: turns.push(name) }),
    })
    const [a, b] = await hold(
      [side('a'), side('b')],
      { kind: 'oneByOne' },
      { rounds: 2, durationMs: 0 },
      noFailure,
    )
    expect(turns.join('')).toBe('abbaab')
    expect([a?.rounds, b?.rounds]).toEqual([
      [4, 5],
      [3, 6],
    ])
  })
})

describe('a side that fails', () => {
  const good: Side = { name: 'good', version: '', measure: async () => ({ value: 1 }) }
  const bad: Side = { name: 'bad', version: '', measure: () => Promise.reject(new Error('gone')) }
  const load = { kind: 'oneByOne' } as const
  const settings = { rounds: 3, durationMs: 0 }

  test('is left out and told once where it is a rival', async () => {
    const failures: string[] = []
    const results = await hold([good, bad, good], load, settings, ({ name }, error) => {
      failures.push(`${name}: ${String(error)}`)
    })
    expect(failures).toEqual(['bad: Error: gone'])
    expect(results.map(({ name, rounds }) => [name, rounds.length])).toEqual([
      ['good', 3],
      ['good', 3],
    ])
  })

  test('fails the contest where it is ours', async () => {
    await expect(hold([bad, good], load, settings, noFailure)).rejects.toThrow('gone')
  })
})

describe('rows', () => {
  const topic = { bench: 'get ops/s', inFlight: 512, better: 'higher', machine } as const
  const rivals = [result('ioredis', 100, 90, 110), result('node-redis', 70, 60, 80)]
  const groups = [{ name: 'best Redis client', members: ['ioredis', 'node-redis'] }]
  const rows = rowsOf(topic, result('actorgrid', 320, 300, 310), rivals, groups)

  test('have medians, the ratio and the spread of the rounds', () => {
    expect(rows[0]).toMatchObject({
      ...{ ours: 310, oursSpread: [300, 320], rival: 'ioredis', rivalValue: 100, rivalSpread: [90, 110] },
      ...{
        ratio: 3.1,
        ratioSpread: [2.818, 3.333],
        rounds: 3,
        rivalVersion: 'ioredis 1.0',
        goal: null,
        machine,
      },
    })
  })

  test('of a group are about the best, and bear its goal', () => {
    expect(rows).toHaveLength(3)
    expect(rows[2]).toMatchObject({ rival: 'best Redis client: ioredis', ratio: 3.1, goal: 4, atLeast: 3 })
  })

  test('where lower is better, the best is the lowest, and a promise is kept from below', () => {
    const lower = { bench: 'get p50 ms', inFlight: 1, better: 'lower', machine } as const
    const all = rowsOf(lower, result('actorgrid', 5), [result('ioredis', 4), result('node-redis', 3)], groups)
    expect(all[2]?.rival).toBe('best Redis client: node-redis')
    expect(all[0]).toMatchObject({ ratio: 1.25, atLeast: 1.25 })
    expect(isKept(all[0]!)).toBe(true)
    expect(isKept({ ...all[0]!, ratio: 1.26 })).toBe(false)
  })
})

describe('the table', () => {
  const topic = { bench: 'get ops/s', inFlight: 512, better: 'higher', machine } as const
  const groups = [{ name: 'best Redis client', members: ['ioredis'] }]
  const rowFor = (ours: number): Row =>
    rowsOf(topic, result('actorgrid', ours), [result('ioredis', 100_000)], groups)[1]!

  test('says what is kept and, as loudly, what is missed', () => {
    expect(tableOf([rowFor(300_000)])).toContain('≥ 3 kept')
    expect(tableOf([rowFor(200_000)])).toContain('≥ 3 MISSED')
  })

  test('has the same columns in each line', () => {
    const [head, line] = tableOf([rowFor(300_000)]).split('\n')
    expect(line?.indexOf('300 k')).toBe(head?.indexOf('ours'))
    expect(line?.indexOf('100 k')).toBe(head?.indexOf('rival (rounds)'))
  })

  test('says under which load a row came about', () => {
    const lower = {
      bench: 'get open loop p99 ms',
      inFlight: null,
      perSecond: 25_000,
      better: 'lower',
      machine,
    } as const
    const [row] = rowsOf(lower, result('actorgrid', 1), [result('ioredis', 2)], [])
    expect(row?.perSecond).toBe(25_000)
    expect(tableOf([row!])).toContain('get open loop p99 ms, 25 k/s offered')
    expect(tableOf([rowFor(300_000)])).toContain('get ops/s, 512 in flight')
  })

  test('names what is missing', () => {
    const text = missingText({ bench: 'get', rival: 'Ignite', missing: 'java cannot be run' })
    expect(text).toBe('get: Ignite is missing: java cannot be run')
  })

  test('shortens numbers to three digits', () => {
    expect([0.03456, 1.25, 9994, 9999, 123_456, 999_499, 999_900, 1_234_567].map(short)).toEqual([
      '0.0346',
      '1.25',
      '9990',
      '10 k',
      '123 k',
      '999 k',
      '1 M',
      '1.23 M',
    ])
  })
})
