/**
 * Lanes that wait before they try again, under one timer for all of them.
 *
 * The pause of a lane doubles from 1 ms to 200 ms, with a quarter of chance on either side, until one of its calls is
 * answered. The timer keeps the process alive: while it runs, somebody waits for an answer.
 */

import type { Lane } from './lane.ts'

const BACKOFF_MAX_MS = 200

export class RetryClock {
  readonly #nowMs: () => number
  readonly #due: (lane: Lane) => void
  readonly #lanes = new Set<Lane>()
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = 0

  constructor(nowMs: () => number, due: (lane: Lane) => void) {
    this.#nowMs = nowMs
    this.#due = due
  }

  /** Comes back to the lane after a pause longer than the last one, unless that is arranged already. */
  backOff(lane: Lane): void {
    if (lane.retryAtMs !== 0) return
    lane.backoffMs = Math.min(BACKOFF_MAX_MS, Math.max(1, lane.backoffMs * 2))
    this.after(lane, lane.backoffMs * (0.75 + Math.random() / 2))
  }

  /** Comes back to the lane after `pauseMs`. */
  after(lane: Lane, pauseMs: number): void {
    lane.retryAtMs = this.#nowMs() + pauseMs
    this.#lanes.add(lane)
    this.#arm(lane.retryAtMs)
  }

  /** Nothing stands in the lane's way any more. */
  release(lane: Lane): void {
    if (lane.retryAtMs === 0) return
    lane.retryAtMs = 0
    this.#lanes.delete(lane)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#lanes.clear()
  }

  #arm(atMs: number): void {
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return
    clearTimeout(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = setTimeout(() => this.#fire(), Math.max(1, atMs - this.#nowMs()))
  }

  #fire(): void {
    this.#timer = undefined
    const nowMs = this.#nowMs()
    const due = [...this.#lanes].filter((lane) => lane.retryAtMs <= nowMs)
    for (const lane of due) this.release(lane)
    for (const lane of due) this.#due(lane)
    let nextMs = Number.POSITIVE_INFINITY
    for (const lane of this.#lanes) if (lane.retryAtMs < nextMs) nextMs = lane.retryAtMs
    if (Number.isFinite(nextMs)) this.#arm(nextMs)
  }
}
