/** What the long parts compute beside their measurements: sizes that fit, orders that scatter, stalls. */

import { expect, test } from 'vitest'
import { inBatches } from '../../bench/filling.ts'
import { shareThatFits } from '../../bench/memory.ts'
import { type EngineMethods, StallMeter } from '../../bench/servers/stall.ts'
import { scattered } from '../../bench/value.ts'

const GIB = 2 ** 30
const STALL_MS = 100

test('what needs more memory than there is takes what is there but for a spare', () => {
  expect(shareThatFits(2 * GIB, 8 * GIB)).toBe(1)
  expect(shareThatFits(14 * GIB, 8 * GIB)).toBe(0.5)
  expect(() => shareThatFits(GIB, GIB / 2)).toThrow('only 512 MiB')
})

test('every entry comes once in as many steps', () => {
  for (const count of [10_000, 30_000, 178_957, 1_000_000])
    expect(new Set(Array.from({ length: count }, (_, i) => scattered(i, count))).size).toBe(count)
})

test('each number is in one batch, of which two are under way at a time', async () => {
  const called: number[] = []
  let underWay = 0
  let most = 0
  await inBatches(3500, async (from, to) => {
    for (let i = from; i < to; i++) called.push(i)
    most = Math.max(most, ++underWay)
    await Promise.resolve()
    underWay--
  })
  expect(called).toEqual(called.map((_, i) => i))
  expect([called.length, most]).toEqual([3500, 2])
})

test('a stall is seen in full, and what is done aside is not', async () => {
  const meter = new StallMeter()
  const work = (ms: number): void => {
    for (const { user } = process.cpuUsage(); process.cpuUsage().user - user < ms * 1000; ) {}
  }
  const aLoopLater = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))
  await aLoopLater()
  meter.reset()
  meter.aside(() => work(STALL_MS))
  await aLoopLater()
  expect(meter.stalls.ownMs).toBeLessThan(STALL_MS)
  work(STALL_MS)
  await aLoopLater()
  const { ownMs, wallMs, above5Ms } = meter.stalls
  // Time in user mode is counted in ticks on some systems.
  expect(ownMs).toBeGreaterThanOrEqual(STALL_MS - 10)
  expect(wallMs).toBeGreaterThanOrEqual(STALL_MS - 10)
  expect(above5Ms).toBeGreaterThanOrEqual(1)
  meter.reset()
  await aLoopLater()
  expect(meter.stalls.ownMs).toBeLessThan(STALL_MS - 10)
})

test('turns of an engine are timed, each kind by itself, and nothing about them changes', () => {
  const engine = {
    clientFrame: (_link: unknown, _bytes: unknown, start: number, end: number) => start + end,
    work: () => {
      for (const startMs = performance.now(); performance.now() - startMs < 20; ) {}
      return true
    },
    tick: () => {},
  }
  const untouched = { ...engine }
  const meter = new StallMeter(engine as unknown as EngineMethods)
  expect([engine.clientFrame('link', 'bytes', 3, 4), engine.work()]).toEqual([7, true])
  expect(engine.work).not.toBe(untouched.work)
  const { clientFrame, work, tick } = meter.stalls.turnsMs
  expect(work).toBeGreaterThanOrEqual(20)
  expect(clientFrame).toBeGreaterThan(0)
  expect(tick).toBe(0)
  meter.reset()
  expect(meter.stalls.turnsMs.work).toBe(0)
})
