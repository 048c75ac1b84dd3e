/**
 * The ways to load a side. All sides are called with the same keys in the same order, so that no cache favours one.
 *
 * `rate` keeps a number of calls under way (closed loop) and counts; no clock is read for a single call, which would
 * cost the faster side more. `oneByOne` times each call. `openLoop` sends at a fixed rate whether or not answers come,
 * and counts latency from when a call *should* have been sent: a stall delays all that were due in it (no coordinated omission).
 */

import { KEYS } from './value.ts'

/** Carries out one operation on the key and value of number `id`. */
export type Call = (id: number) => Promise<unknown>

/** Every key once, scattered. */
const ORDER = Uint32Array.from({ length: KEYS }, (_, i) => (i * 7919) % KEYS)
const idAt = (i: number): number => ORDER[i % KEYS]!

/** How often `rate` looks at the clock, in calls: what answers without a turn of the event loop starves timers. */
const CLOCK_EVERY = 256

/** Calls a second with `inFlight` of them under way for about `durationMs`. */
export async function rate(call: Call, inFlight: number, durationMs: number): Promise<number> {
  let next = 0
  let isOver = false
  const startMs = performance.now()
  const timer = setTimeout(() => {
    isOver = true
  }, durationMs)
  const worker = async (): Promise<void> => {
    while (!isOver) {
      if (next % CLOCK_EVERY === 0 && performance.now() - startMs >= durationMs) isOver = true
      await call(idAt(next++))
    }
  }
  try {
    await Promise.all(Array.from({ length: inFlight }, worker))
  } finally {
    clearTimeout(timer)
  }
  return (next / (performance.now() - startMs)) * 1000
}

/** Times of calls made one after the other for about `durationMs`, in milliseconds. */
export async function oneByOne(call: Call, durationMs: number): Promise<Float64Array> {
  const times: number[] = []
  const endMs = performance.now() + durationMs
  for (let beforeMs = performance.now(); beforeMs < endMs; ) {
    await call(idAt(times.length))
    const afterMs = performance.now()
    times.push(afterMs - beforeMs)
    beforeMs = afterMs
  }
  return Float64Array.from(times)
}

/** Times from the intended start of each call to its end, in milliseconds; `perSecond` are sent for `durationMs`. */
export function openLoop(call: Call, perSecond: number, durationMs: number): Promise<Float64Array> {
  const total = Math.max(1, Math.floor((perSecond * durationMs) / 1000))
  const times = new Float64Array(total)
  const stepMs = 1000 / perSecond
  const startMs = performance.now()
  let sent = 0
  let ended = 0
  return new Promise((resolve, reject) => {
    const send = (i: number): void => {
      call(idAt(i)).then(() => {
        times[i] = performance.now() - (startMs + i * stepMs)
        ended++
        if (ended === total) resolve(times)
      }, reject)
    }
    // Not a timer: its steps of a millisecond would send in bursts.
    const turn = (): void => {
      const due = Math.min(total, Math.floor((performance.now() - startMs) / stepMs) + 1)
      while (sent < due) send(sent++)
      if (sent < total) setImmediate(turn)
    }
    turn()
  })
}
