/** The loads of the benchmarks, over calls that need no network. */

import { describe, expect, test } from 'vitest'
import { openLoop, rate } from '../../bench/load.ts'
import { KEYS } from '../../bench/value.ts'

describe('rate', () => {
  test('never has more calls under way than asked for', async () => {
    let inFlight = 0
    let most = 0
    const call = async (): Promise<void> => {
      most = Math.max(most, ++inFlight)
      await new Promise((resolve) => setImmediate(resolve))
      inFlight--
    }
    expect(await rate(call, 8, 20)).toBeGreaterThan(0)
    expect(most).toBe(8)
  })

  test('ends where calls never wait for the event loop', async () => {
    const seen = new Set<number>()
    await rate(async (id) => void seen.add(id), 4, 20)
    expect(seen.size).toBeGreaterThan(0)
    expect(Math.max(...seen)).toBeLessThan(KEYS)
  })

  test('fails with the call', async () => {
    await expect(rate(() => Promise.reject(new Error('refused')), 2, 1000)).rejects.toThrow('refused')
  })
})

describe('open loop', () => {
  test('a stall delays all that were due in it: latency counts from when a call should have been sent', async () => {
    const stallMs = 40
    let calls = 0
    const call = async (): Promise<void> => {
      if (++calls !== 10) return
      for (const endMs = performance.now() + stallMs; performance.now() < endMs; );
    }
    const times = await openLoop(call, 1000, 100)
    expect(times).toHaveLength(100)
    // 39 more calls were due while the tenth kept the process: the sum of their delays, at least half to be had.
    const delayed = times.filter((ms) => ms > stallMs / 4).length
    expect(delayed).toBeGreaterThanOrEqual(20)
  })

  test('fails with the call', async () => {
    await expect(openLoop(() => Promise.reject(new Error('refused')), 1000, 10)).rejects.toThrow('refused')
  })
})
