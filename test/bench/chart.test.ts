/** The chart that is drawn from rows. */

import { expect, test } from 'vitest'
import { chartOf, timesAsGood } from '../../bench/chart-svg.ts'
import type { Row } from '../../bench/row.ts'

const row: Row = {
  ...{ bench: 'get ops/s', inFlight: 512, ours: 300, rival: 'ioredis', rivalValue: 100, ratio: 3 },
  ...{ better: 'higher', goal: 4, atLeast: 3, rounds: 1, rivalVersion: '', perSecond: null },
  ...{ oursSpread: [300, 300], rivalSpread: [100, 100], ratioSpread: [3, 3], oursMs: null, rivalMs: null },
  machine: { cpu: 'a processor', cores: 2, memoryGiB: 24, os: 'Linux x64', node: 'v20' },
}
const lower: Row = { ...row, bench: 'get p50 ms', better: 'lower', ratio: 0.5, goal: 1, atLeast: 1.25 }

const widthsOf = (svg: string, name: string): number[] =>
  [...svg.matchAll(new RegExp(`class="${name}" x="430" y="\\d+" width="([\\d.]+)"`, 'g'))].map(([, width]) =>
    Number(width),
  )

test('lower is as good as the rival divided by ours', () => {
  expect([timesAsGood(3, 'higher'), timesAsGood(0.5, 'lower'), timesAsGood(2, 'lower')]).toEqual([3, 2, 0.5])
})

test('bars are in proportion, whichever way is better', () => {
  const [three, two] = widthsOf(chartOf([row, lower], 'title', ''), 'kept')
  expect(three! / two!).toBeCloseTo(1.5, 2)
})

test('a missed promise has another colour, and marks for promise and goal', () => {
  const svg = chartOf([{ ...row, ratio: 1 }], 'title', '')
  expect(widthsOf(svg, 'kept')).toEqual([])
  expect(widthsOf(svg, 'missed')).toHaveLength(1)
  // One in the plot, one in the legend.
  expect(svg.match(/<line class="promise"/g)).toHaveLength(2)
  expect(svg.match(/<line class="goal"/g)).toHaveLength(2)
})

test('rows without a goal are left out, and text is escaped', () => {
  const svg = chartOf(
    [row, { ...row, bench: 'other', goal: null, atLeast: null }],
    'a < b & "c"',
    'the machine',
  )
  expect(svg).not.toContain('other')
  expect(svg).toContain('a &lt; b &amp; &quot;c&quot;')
  expect(svg).toContain('the machine')
})

test('a bar beyond the scale is cut and says what it stands for', () => {
  const svg = chartOf([{ ...row, ratio: 70 }, row], 'title', '')
  expect(svg).toContain('70 × →')
  const [cut, three] = widthsOf(svg, 'kept')
  expect(cut! / three!).toBeCloseTo(16 / 3, 1)
})
