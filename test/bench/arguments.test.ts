/** The command line of the benchmarks. */

import { expect, test } from 'vitest'
import { helpText, parseArguments } from '../../bench/arguments.ts'
import { GOALS } from '../../bench/goal.ts'

test('parts are named once, several times or with commas', () => {
  const parts = ['scan', 'redis', 'store']
  expect(parseArguments([], parts)).toEqual({
    json: false,
    quick: false,
    large: false,
    help: false,
    only: [],
  })
  const { only, json } = parseArguments(['--only', 'scan,redis', '--only', 'store', '--json'], parts)
  expect({ only, json }).toEqual({ only: parts, json: true })
  expect(() => parseArguments(['--only', 'scam'], parts)).toThrow(
    "no part is called 'scam'; there are scan, redis",
  )
  expect(() => parseArguments(['--fast'], parts)).toThrow('--fast')
})

test('the help page names every part', () => {
  expect(helpText([{ name: 'scan', about: 'records a second' }])).toContain('scan  records a second')
})

test('no comparison has two goals, and no goal asks less than its promise', () => {
  const names = GOALS.map(({ bench, inFlight, rival }) => `${bench} ${inFlight} ${rival}`)
  expect(new Set(names).size).toBe(names.length)
  for (const { bench, goal, atLeast } of GOALS) {
    const lowerIsBetter = / ms$|bytes/.test(bench)
    expect(lowerIsBetter ? atLeast >= goal : atLeast <= goal, bench).toBe(true)
  }
})
