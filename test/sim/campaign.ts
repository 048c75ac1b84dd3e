/**
 * Many seeds on several threads: each thread asks for the next seed when it is done with one.
 *
 * What a seed does depends on the seed alone, and outcomes are handed on in the order of the seeds, so the number of threads
 * shows nowhere but in the time it takes. A run that does not come to its end, or ends its thread, is a failure like any
 * other and the campaign goes on.
 */

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { kindOf, type RunKind } from './kind.ts'
import type { RunResult } from './simulation.ts'

/** What is the same for every seed of a campaign. */
export interface CampaignTask {
  readonly kind: RunKind | 'all'
  /** A planted bug, or the empty text. */
  readonly plant: string
  readonly traced: boolean
  /** Runs each seed a second time and compares. */
  readonly twice: boolean
}

export interface CampaignOptions extends CampaignTask {
  readonly firstSeed: number
  readonly runs: number
  readonly minutes: number
  readonly workers: number
  /** After so many failures no further seed is begun. */
  readonly failsMax: number
  readonly onOutcome: (outcome: Outcome) => void
}

export interface Outcome extends RunResult {
  readonly kind: RunKind
}

/** A run takes some ten milliseconds of each virtual minute; one that takes this long goes round in circles. */
const RUN_MAX_MS = 600_000
/** Most of what a run makes is garbage before the next turn: with more room for it, hardly any is ever copied. */
const YOUNG_MB = 64

export class Campaign {
  readonly #options: CampaignOptions
  readonly #untilMs: number
  readonly #ready = new Map<number, Outcome>()
  #nextSeed: number
  #nextOutcome: number
  #failures = 0
  #stopped = false

  constructor(options: CampaignOptions) {
    this.#options = options
    this.#nextSeed = options.firstSeed
    this.#nextOutcome = options.firstSeed
    this.#untilMs = performance.now() + options.minutes * 60_000
  }

  /** No further seed is begun; those under way come to their end. */
  stop(): void {
    this.#stopped = true
  }

  async run(): Promise<void> {
    const { workers, runs } = this.#options
    const threads = Array.from({ length: Math.min(workers, runs) }, () => this.#thread())
    await Promise.all(threads)
  }

  /** One place for a thread, which is taken by another one when it breaks. */
  async #thread(): Promise<void> {
    for (let seed = this.#take(); seed !== undefined; seed = this.#take()) await this.#serve(seed)
  }

  #take(): number | undefined {
    const { firstSeed, runs, failsMax } = this.#options
    const over = this.#stopped || this.#failures >= failsMax || performance.now() >= this.#untilMs
    return over || this.#nextSeed >= firstSeed + runs ? undefined : this.#nextSeed++
  }

  /** Starts a thread with a seed; resolves when it has ended, for want of seeds or by a failure. */
  #serve(first: number): Promise<void> {
    const { kind, plant, traced, twice } = this.#options
    const task: CampaignTask = { kind, plant, traced, twice }
    const file = new URL(`./campaign-worker${extname(import.meta.url)}`, import.meta.url)
    const worker = new Worker(file, {
      workerData: task,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    let seed: number | undefined
    let timer: NodeJS.Timeout | undefined
    const give = (next: number | undefined): void => {
      clearTimeout(timer)
      seed = next
      worker.postMessage(next)
      if (next !== undefined)
        timer = setTimeout(() => broke(`no end after ${RUN_MAX_MS / 1000} s`), RUN_MAX_MS)
    }
    const broke = (failure: string): void => {
      if (seed !== undefined) this.#done(this.#broken(seed, failure))
      seed = undefined
      void worker.terminate()
    }
    worker.on('message', (outcome: Outcome) => {
      this.#done(outcome)
      give(this.#take())
    })
    worker.on('error', (error) => broke(error.stack ?? error.message))
    give(first)
    return new Promise((resolve) => {
      worker.on('exit', (code) => {
        clearTimeout(timer)
        if (seed !== undefined) broke(`its thread ended with ${code}`)
        resolve()
      })
    })
  }

  #broken(seed: number, failure: string): Outcome {
    const kind = this.#options.kind === 'all' ? kindOf(seed) : this.#options.kind
    return { seed, kind, failure, hash: 0, virtualMs: 0, events: 0, counts: {}, trace: undefined }
  }

  #done(outcome: Outcome): void {
    if (outcome.failure !== undefined) this.#failures++
    this.#ready.set(outcome.seed, outcome)
    for (let next = this.#ready.get(this.#nextOutcome); next; next = this.#ready.get(this.#nextOutcome)) {
      this.#ready.delete(this.#nextOutcome++)
      this.#options.onOutcome(next)
    }
  }
}
