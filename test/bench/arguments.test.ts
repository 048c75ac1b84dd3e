/** The command line of the benchmarks. */

import { expect, test } from 'vitest'
import { helpText, parseArguments } from '../../bench/arguments.ts'
import { GOALS } from '../../bench/goal.ts'

test('parts are named once, several times or with commas', () => {
  const parts = ['scan', 'redis', 'store']
  expect(parseArguments([], parts)).toEqual({
    json: false,
    quick: false,
    scale: 1,
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

test('long parts have their full size, a given part of it, or little where rounds are short', () => {
  const scaleOf = (...args: string[]): number => parseArguments(args, []).scale
  expect([scaleOf(), scaleOf('--quick'), scaleOf('--quick', '--scale', '0.5')]).toEqual([1, 0.01, 0.5])
  for (const wrong of ['0', '2', 'much'])
    expect(() => scaleOf('--scale', wrong)).toThrow(`--scale is ${wrong}`)
})

test('the help page names every part', () => {
  const text = helpText([
    { name: 'scan', about: 'records a second' },
    { name: 'large', about: 'many entries', isLong: true },
  ])
  expect(text).toMatch(
    /Parts:\n {2}scan {3}records a second\n\nParts that take long.*\n {2}large {2}many entries/,
  )
})

test('no comparison has two goals, and no goal asks less than its promise', () => {
  const names = GOALS.map(({ bench, inFlight, rival }) => `${bench} ${inFlight} ${rival}`)
  expect(new Set(names).size).toBe(names.length)
  for (const { bench, goal, atLeast } of GOALS) {
    const lowerIsBetter = / ms\b|bytes/.test(bench)
    expect(lowerIsBetter ? atLeast >= goal : atLeast <= goal, bench).toBe(true)
  }
})
