/**
 * An open loop without an end of its own, for what happens while something else goes on: calls leave in steps of 1 ms, so
 * many a step, whether or not earlier ones have been answered, and count from the step in which they were due.
 *
 * Unlike `openLoop` it leaves the processor alone between two steps (a thread wakes it), for here clusters of several
 * members share the machine with it.
 */

import { Worker } from 'node:worker_threads'
import type { Call } from './load.ts'

const STEP_MS = 1

/** Says when a step is due, for it sleeps with the precision of the system, which timers of an event loop do not have. */
const METRONOME = `
  const { parentPort, workerData: stepMs } = require('node:worker_threads')
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  const startMs = performance.now()
  for (let step = 1; ; step++) {
    Atomics.wait(nothing, 0, 0, Math.max(0, startMs + step * stepMs - performance.now()))
    parentPort.postMessage(step)
  }`

export class Flow {
  readonly #calls: readonly { readonly call: Call; readonly times: number[] }[]
  readonly #perStep: number
  readonly #metronome: Worker
  /** Resolves when calls begin to leave. */
  readonly begun: Promise<void>
  #begun: () => void = () => {}
  /** When the metronome was first heard: before that it was being started. */
  #startMs = Number.NaN
  #steps = 0
  #sent = 0
  #open = 0
  #ended: (() => void) | undefined
  #failure: unknown

  /** Each of `calls` `perSecond` times a second; not less than once a step. */
  constructor(calls: readonly Call[], perSecond: number) {
    this.#calls = calls.map((call) => ({ call, times: [] }))
    this.#perStep = Math.max(1, Math.round((perSecond * STEP_MS) / 1000))
    this.begun = new Promise((resolve) => {
      this.#begun = resolve
    })
    this.#metronome = new Worker(METRONOME, { eval: true, workerData: STEP_MS })
    this.#metronome.on('message', () => this.#step())
  }

  /** What was really offered. */
  get perSecond(): number {
    return (this.#perStep * 1000) / STEP_MS
  }

  /** Sends what is due. The message of a step may be late; it is then late for all steps since. */
  #step(): void {
    if (Number.isNaN(this.#startMs)) {
      this.#startMs = performance.now()
      this.#begun()
    }
    const due = Math.floor((performance.now() - this.#startMs) / STEP_MS)
    for (; this.#steps < due; this.#steps++)
      for (let i = 0; i < this.#perStep; i++, this.#sent++)
        for (const { call, times } of this.#calls) this.#send(call, times, this.#sent)
  }

  #send(call: Call, times: number[], number: number): void {
    const dueMs = this.#startMs + (this.#steps + 1) * STEP_MS
    // Its place, so that the samples are in the order in which they were due.
    times.push(Number.NaN)
    this.#open++
    call(number)
      .then(
        () => {
          times[number] = performance.now() - dueMs
        },
        (error: unknown) => {
          this.#failure ??= error
        },
      )
      .finally(() => {
        this.#open--
        if (this.#open === 0) this.#ended?.()
      })
  }

  /** Sends no more, and resolves when all have been answered. @throws what the first call failed with that failed */
  async stop(): Promise<void> {
    await this.#metronome.terminate()
    if (this.#open > 0) await new Promise<void>((resolve) => (this.#ended = resolve))
    if (this.#failure !== undefined) throw new Error('a call failed under load', { cause: this.#failure })
  }

  /** Of those due between two moments of the monotonic clock, for each call; after `stop`. */
  between(fromMs: number, toMs: number): Float64Array[] {
    const at = (ms: number): number => Math.max(0, Math.floor((ms - this.#startMs) / STEP_MS)) * this.#perStep
    return this.#calls.map(({ times }) => Float64Array.from(times.slice(at(fromMs), at(toMs))))
  }
}
