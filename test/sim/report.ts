/** What a campaign has come to: the sums of all its runs, as text and as one line of JSON. */

import type { Outcome } from './campaign.ts'

/** One line of JSON at the end of a campaign. */
export interface CampaignFigures {
  readonly seed: number
  readonly runs: number
  readonly failures: number
  readonly failedSeeds: readonly number[]
  readonly virtualHours: number
  readonly seconds: number
  /** Of the processors, on all threads together: what the machine is busy with besides does not show in it. */
  readonly cpuSeconds: number
  /** Virtual seconds in one second, on all threads together. */
  readonly ratio: number
  readonly calls: number
  /** Answers held against the committed log. */
  readonly callsChecked: number
  /** Calls, answered or not, whose order within the history of a key has been found. */
  readonly callsOrdered: number
  /** Of the traces of all runs in the order of their seeds. */
  readonly hash: string
  readonly kinds: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<string, number>>
}

export class Report {
  readonly #firstSeed: number
  readonly #startedMs = performance.now()
  readonly #counts: Record<string, number> = {}
  readonly #kinds: Record<string, number> = {}
  readonly #failedSeeds: number[] = []
  #runs = 0
  #virtualMs = 0
  #events = 0
  #hash = 0

  constructor(firstSeed: number) {
    this.#firstSeed = firstSeed
  }

  get failures(): number {
    return this.#failedSeeds.length
  }

  /** Outcomes come in the order of their seeds. */
  add(outcome: Outcome): void {
    this.#runs++
    this.#virtualMs += outcome.virtualMs
    this.#events += outcome.events
    this.#hash = (Math.imul(this.#hash, 0x01000193) ^ outcome.hash) >>> 0
    this.#kinds[outcome.kind] = (this.#kinds[outcome.kind] ?? 0) + 1
    if (outcome.failure !== undefined) this.#failedSeeds.push(outcome.seed)
    for (const [name, count] of Object.entries(outcome.counts))
      this.#counts[name] = (this.#counts[name] ?? 0) + count
  }

  get figures(): CampaignFigures {
    const seconds = (performance.now() - this.#startedMs) / 1000
    const { user, system } = process.cpuUsage()
    const cpuSeconds = (user + system) / 1_000_000
    return {
      seed: this.#firstSeed,
      runs: this.#runs,
      failures: this.#failedSeeds.length,
      failedSeeds: this.#failedSeeds,
      virtualHours: rounded(this.#virtualMs / 3_600_000, 2),
      seconds: rounded(seconds, 1),
      cpuSeconds: rounded(cpuSeconds, 1),
      ratio: rounded(this.#virtualMs / 1000 / seconds, 1),
      calls: this.#counts.calls ?? 0,
      callsChecked: (this.#counts.answered ?? 0) - (this.#counts['call not checked'] ?? 0),
      callsOrdered: this.#counts.judged ?? 0,
      hash: this.#hash.toString(16).padStart(8, '0'),
      kinds: this.#kinds,
      counts: this.#counts,
    }
  }

  /** While it goes on: one line. */
  get progress(): string {
    const { runs, failures, virtualHours, seconds, ratio, callsChecked } = this.figures
    return `${Math.round(seconds / 60)} min: ${number(runs)} runs, ${failures} failed, ${virtualHours} virtual hours, ${ratio} × real time, ${number(callsChecked)} answers checked`
  }

  /** At the end: what came of it, then all counts. */
  get summary(): string {
    const { figures } = this
    const { runs, failures, virtualHours, seconds, cpuSeconds, ratio, callsChecked } = figures
    const each = Object.entries(figures.kinds)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ')
    return [
      `${number(runs)} runs (${each}), ${failures} failed, ${virtualHours} virtual hours in ${seconds} s (${ratio} × real time; ${cpuSeconds} s of processors)`,
      `${number(figures.calls)} calls, ${number(callsChecked)} answers checked, ${number(figures.callsOrdered)} calls put in order, ${number(this.#events)} events, hash of all traces ${figures.hash}`,
      JSON.stringify(figures.counts),
    ].join('\n')
  }
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

function number(value: number): string {
  return value.toLocaleString('en')
}
