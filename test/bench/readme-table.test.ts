/** What README.md says of the benchmarks, which is made from a committed run. */

import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readmeTable, withTable } from '../../bench/readme-table.ts'
import type { Row } from '../../bench/row.ts'

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

const machine = { cpu: 'a processor', cores: 2, memoryGiB: 4, os: 'Linux x64', node: 'v20.0.0' }
const row = (fields: Partial<Row>): Row => ({
  ...{ bench: 'get ops/s', inFlight: 512, perSecond: null, ours: 300, rival: 'x', rivalValue: 100, ratio: 3 },
  ...{
    better: 'higher',
    goal: 4,
    atLeast: 3,
    rounds: 1,
    oursMs: null,
    rivalMs: null,
    rivalVersion: '',
    machine,
  },
  ...{ oursSpread: [1, 1], rivalSpread: [1, 1], ratioSpread: [1, 1] },
  ...fields,
})

test('a line has the figures of its comparison, and a dash for what is not there', () => {
  const table = readmeTable([
    row({ rival: 'ioredis', goal: null, atLeast: null }),
    row({ rival: 'best Redis client: node-redis' }),
    row({ bench: 'put ops/s', rival: 'hazelcast-client', ours: 500, rivalValue: 200, ratio: 2.5 }),
  ]).split('\n')
  expect(table).toContain('| get, 512 in flight | 300 | node-redis: 100 | 3 | ≥ 3 (4) |')
  expect(table).toContain(
    '| get / put, 512 in flight | – / 500 | hazelcast-client: – / 200 | – / **2.5** | ≥ 3 (4) |',
  )
  expect(table).toContain('| longest stall at 10 M entries | – | fixed: 0 | – | ≥ – (–) |')
})

test('of several that a line is about the worst counts', () => {
  const stall = {
    inFlight: null,
    rival: 'fixed',
    better: 'lower',
    goal: 0.5,
    atLeast: 1,
    rivalValue: 10,
  } as const
  const table = readmeTable([
    row({ ...stall, bench: 'longest stall ms, loading', ours: 4, ratio: 0.4 }),
    row({ ...stall, bench: 'longest stall ms, under expiry', ours: 12, ratio: 1.2 }),
    row({ ...stall, bench: 'longest stall ms, under eviction', ours: 3, ratio: 0.3 }),
  ])
  expect(table).toContain('| longest stall at 10 M entries | 12 | fixed: 10 | **1.2** | ≤ 1 (0.5) |')
})

test('README.md has the table of the run that is committed', () => {
  expect(existsSync(new URL('../../bench/results.jsonl', import.meta.url))).toBe(true)
  const lines = read('bench/results.jsonl').split('\n')
  const parsed = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as object)
  const rows = parsed.filter((line): line is Row => 'ratio' in line)
  const readme = read('README.md')
  expect(withTable(readme, rows)).toBe(readme)
})
