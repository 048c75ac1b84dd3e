/** The open loop of the long parts: that calls leave when they are due, and what a call that waits is charged with. */

import { expect, test } from 'vitest'
import { Flow } from '../../bench/flow.ts'
import { percentilesOf } from '../../bench/statistics.ts'

/** Resolves when a call has been made `count` times. */
function counted(count: number): { readonly call: () => Promise<void>; readonly made: Promise<void> } {
  let made = (): void => {}
  let calls = 0
  const reached = new Promise<void>((resolve) => {
    made = resolve
  })
  return {
    async call() {
      if (++calls === count) made()
    },
    made: reached,
  }
}

const always = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const

test('both calls are made as often, numbered from 0, whatever is answered', async () => {
  const numbers: number[][] = [[], []]
  const { call, made } = counted(60)
  const flow = new Flow(
    numbers.map((list) => (number: number) => {
      list.push(number)
      return call()
    }),
    3000,
  )
  await made
  await flow.stop()
  expect(flow.perSecond).toBe(3000)
  expect(numbers[0]).toEqual(numbers[0]!.map((_, i) => i))
  expect(numbers[1]).toEqual(numbers[0])
  expect(numbers[0]!.length % 3).toBe(0)
  expect(flow.between(...always).map((times) => times.length)).toEqual(numbers.map((list) => list.length))
})

test('a stall is charged to every call that was due in it', async () => {
  const stallMs = 50
  let isStalled = false
  const { call, made } = counted(200)
  const flow = new Flow(
    [
      async (number) => {
        if (number === 20 && !isStalled) {
          isStalled = true
          for (const endMs = performance.now() + stallMs; performance.now() < endMs; ) {}
        }
        await call()
      },
    ],
    1000,
  )
  await made
  await flow.stop()
  const [times] = flow.between(...always)
  // A call a millisecond: the one that stalls, and those that were due while it did, half of them for more than half of it.
  expect(times!.filter((ms) => ms >= stallMs / 2).length).toBeGreaterThanOrEqual(stallMs / 2 - 2)
  expect(percentilesOf([times!]).p999).toBeGreaterThanOrEqual(stallMs)
})

test('only what was due in a span is counted in it', async () => {
  const { call, made } = counted(50)
  const fromMs = performance.now()
  const flow = new Flow([call], 1000)
  await made
  await flow.stop()
  const all = flow.between(...always)[0]!.length
  expect(flow.between(fromMs, performance.now() + 1000)[0]!.length).toBe(all)
  expect(flow.between(performance.now() + 1000, Number.POSITIVE_INFINITY)[0]!.length).toBe(0)
  expect(flow.between(Number.NEGATIVE_INFINITY, fromMs)[0]!.length).toBe(0)
})

test('a call that fails is told when the loop is stopped', async () => {
  const { call, made } = counted(10)
  const flow = new Flow(
    [
      async (number) => {
        await call()
        if (number === 5) throw new Error('lost')
      },
    ],
    1000,
  )
  await made
  await expect(flow.stop()).rejects.toThrow('a call failed under load')
})

test('a loop that is stopped waits for what is still to be answered', async () => {
  const { call, made } = counted(100)
  let sent = 0
  const flow = new Flow(
    [
      async () => {
        sent++
        await call()
        await new Promise((resolve) => setTimeout(resolve, 20))
      },
    ],
    10_000,
  )
  await flow.begun
  expect(sent).toBe(0)
  await made
  await flow.stop()
  const [times] = flow.between(...always)
  expect(times!.length).toBe(sent)
  expect(times!.every((ms) => ms >= 19)).toBe(true)
})
