/**
 * Virtual time: events in the order of their moment, one source of chance, and a rolling hash of all that happens.
 *
 * Everything in a run hangs on the seed alone, so that a failure is replayed by its number.
 */

import { crc32 } from 'node:zlib'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { EventQueue } from './event-queue.ts'

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
  readonly #events = new EventQueue()

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
    this.#events.add(this.nowMs + Math.max(0, delayMs), run)
  }

  /** Lets time pass. */
  runUntil(endMs: number): void {
    const events = this.#events
    while (events.firstMs <= endMs) {
      this.nowMs = events.firstMs
      this.events++
      events.take()()
    }
    this.nowMs = endMs
  }
}
