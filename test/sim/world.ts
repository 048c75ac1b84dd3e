/**
 * Virtual time: events in the order of their moment, one source of chance, and a rolling hash of all that happens.
 *
 * Everything in a run hangs on the seed alone, so that a failure is replayed by its number.
 */

import { crc32 } from 'node:zlib'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** What a checker has found. The message ends a run and names its seed. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

export class World {
  readonly seed: number
  readonly random: Random
  /** Virtual milliseconds since the beginning. */
  nowMs = 0
  events = 0
  hash = 0
  /** Lines of what happened, where they are wanted. */
  readonly trace: string[] | undefined
  readonly #heap: Event[] = []
  #order = 0

  constructor(seed: number, traced: boolean) {
    this.seed = seed
    this.random = seededRandom(seed)
    this.trace = traced ? [] : undefined
  }

  chance(probability: number): boolean {
    return this.random.next() < probability
  }

  int(bound: number): number {
    return randomInt(this.random, bound)
  }

  between(low: number, high: number): number {
    return low + this.random.next() * (high - low)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!
  }

  fail(what: string): never {
    throw new Violation(what)
  }

  /** Something happened: it goes into the hash, and into the trace where there is one. */
  log(text: string): void {
    this.hash = crc32(text, this.hash)
    this.trace?.push(`${this.nowMs.toFixed(2)} ${text}`)
  }

  logBytes(bytes: Uint8Array): void {
    const nowUs = Math.round(this.nowMs * 1000) & 0xffff
    this.hash = Math.imul(crc32(bytes, this.hash) ^ nowUs, 0x01000193) >>> 0
  }

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap
    const event = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, run }
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
  }

  /** Lets time pass. */
  runUntil(endMs: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= endMs) {
      const event = this.#next()
      this.nowMs = event.atMs
      this.events++
      event.run()
    }
    this.nowMs = endMs
  }

  #next(): Event {
    const heap = this.#heap
    const first = heap[0]!
    const moved = heap.pop()!
    if (heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (before(moved, heap[child]!)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = moved
    return first
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
