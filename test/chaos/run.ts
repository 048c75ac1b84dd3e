/**
 * A chaos run: some clusters side by side, because most of a fault is waiting. Each lives for a number of rounds, is of one
 * variant after the other, and suffers the faults that fit it, drawn from a bag so that all come about as often as they weigh.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { shuffled } from './chance.ts'
import { ChaosCluster } from './cluster.ts'
import { type Fault, faults } from './fault.ts'
import { Rounds } from './round.ts'
import { Totals } from './totals.ts'
import { type Variant, variants } from './variant.ts'

/** A cluster that has lived for so long makes room for one of another kind. */
const ROUNDS_PER_CLUSTER = 15
const FAULTS_PER_ROUND_MAX = 3
/** Clusters one after the other that do not even start: something is wrong that no fault has done. */
const STILLBORN_MAX = 3

export interface RunOptions {
  readonly seed: number
  readonly minutes: number
  readonly faultsMax: number
  /** Side by side. */
  readonly clusters: number
  readonly chosen: readonly Fault[]
  /** Measures so many failovers with and without a certificate, and nothing else. */
  readonly failover: number | undefined
  readonly folder: string
  /** Keeps the logs of every cluster, not only where something was violated. */
  readonly keep: boolean
  readonly say: (line: string) => void
}

/** @throws Error for a name that no fault has */
export function chosenFaults(names: string | undefined): readonly Fault[] {
  if (names === undefined) return faults
  return names.split(',').map((name) => {
    const fault = faults.find((one) => one.name === name)
    if (fault === undefined) throw new Error(`no fault is called ${name}; --list shows them all`)
    return fault
  })
}

export class Run {
  readonly totals: Totals
  readonly #options: RunOptions
  readonly #chosen: readonly Fault[]
  readonly #variants: readonly Variant[]
  /** Faults that are still to come in a measurement of failovers. */
  readonly #plan: Fault[] | undefined
  readonly #endMs: number
  #stopping = false
  #clusters = 0

  constructor(options: RunOptions) {
    const { seed, minutes, chosen, failover } = options
    this.#options = options
    this.totals = new Totals(seed)
    for (const { name, unavailable } of [...variants, ...chosen]) {
      const reason = unavailable?.()
      if (reason !== undefined) this.totals.left.push(`${name}: ${reason}`)
    }
    this.#chosen = chosen.filter(({ unavailable }) => unavailable?.() === undefined)
    this.#variants = variants.filter(
      (one) => one.unavailable?.() === undefined && this.#chosen.some((fault) => fault.fits?.(one) ?? true),
    )
    if (failover !== undefined) {
      const [kill, killHost] = chosenFaults('kill,kill-host') as [Fault, Fault]
      this.#plan = [...Array<Fault>(failover).fill(kill), ...Array<Fault>(failover).fill(killHost)]
      this.#variants = variants.slice(0, 1)
    }
    this.#endMs = performance.now() + minutes * 60_000
  }

  /** Begins no further round. */
  stop(): void {
    this.#stopping = true
  }

  async go(): Promise<Totals> {
    const { seed, clusters, say } = this.#options
    say(`seed ${seed}, ${clusters} clusters side by side`)
    for (const left of this.totals.left) say(`left out: ${left}`)
    const lanes = Array.from({ length: clusters }, (_, lane) =>
      this.#lane(seededRandom(seed + lane * 1_000_003), lane),
    )
    await Promise.all(lanes)
    return this.totals
  }

  get #isOver(): boolean {
    const { faultsMax } = this.#options
    const isDone = this.#plan?.length === 0 || this.totals.faultCount >= faultsMax
    return this.#stopping || isDone || performance.now() > this.#endMs
  }

  /** One cluster after the other. */
  async #lane(random: Random, lane: number): Promise<void> {
    if (this.#variants.length === 0) return
    let stillborn = 0
    for (let i = lane; !this.#isOver && stillborn < STILLBORN_MAX; i++) {
      const rounds = await this.#cluster(this.#variants[i % this.#variants.length]!, random)
      stillborn = rounds > 0 ? 0 : stillborn + 1
    }
  }

  /** Resolves with the number of rounds that were begun. */
  async #cluster(variant: Variant, random: Random): Promise<number> {
    const name = `${variant.name}-${++this.#clusters}`
    const folder = join(this.#options.folder, name)
    let cluster: ChaosCluster | undefined
    let isKept = false
    let round = 0
    let suffered: readonly Fault[] = []
    let rounds: Rounds | undefined
    try {
      cluster = await ChaosCluster.start(name, variant, folder)
      const fitting = this.#chosen.filter((fault) => fault.fits?.(variant) ?? true)
      rounds = await Rounds.on(cluster, random)
      const bag = new Bag(fitting, random)
      while (round < ROUNDS_PER_CLUSTER && !this.#isOver) {
        round++
        suffered = this.#plan?.splice(0, 1) ?? bag.draw(1 + randomInt(random, FAULTS_PER_ROUND_MAX))
        await this.#round(rounds, name, round, suffered)
      }
    } catch (error) {
      isKept = true
      this.#violated(name, round, suffered, error, folder, rounds)
    } finally {
      await cluster?.close(isKept || this.#options.keep)
    }
    return round
  }

  async #round(rounds: Rounds, name: string, round: number, suffered: readonly Fault[]): Promise<void> {
    const startedMs = performance.now()
    const result = await rounds.run(suffered)
    this.totals.add(result)
    const worst = result.faults.map((fault) => {
      const time = (Math.max(0, ...fault.outagesMs) / 1000).toFixed(2)
      return `${fault.name} ${time} s`
    })
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    this.#options.say(
      `${name} round ${round}: ${worst.join(', ')}; ${result.calls} calls, ${result.failedCalls} failed; ` +
        `${seconds} s (${this.totals.faultCount} faults)`,
    )
  }

  #violated(
    cluster: string,
    round: number,
    suffered: readonly Fault[],
    error: unknown,
    folder: string,
    rounds: Rounds | undefined,
  ): void {
    const { seed, say } = this.#options
    const text =
      error instanceof Error ? (error.name === 'Error' ? error.message : String(error)) : String(error)
    const names = suffered.map(({ name }) => name)
    this.totals.violations.push({ seed, cluster, round, faults: names, text, folder })
    say(
      `VIOLATION: seed ${seed}, cluster ${cluster}, round ${round} (${names.join(', ')}); logs: ${folder}\n${text}`,
    )
    if (rounds === undefined) return
    const { calls, failures } = rounds.history
    writeFileSync(join(folder, 'history.json'), JSON.stringify({ text, calls: [...calls], failures }))
  }
}

/** Draws without putting back, until it is empty. */
class Bag {
  readonly #all: readonly Fault[]
  readonly #random: Random
  #rest: Fault[] = []

  constructor(faults: readonly Fault[], random: Random) {
    this.#all = faults.flatMap((fault) => Array<Fault>(fault.weight ?? 1).fill(fault))
    this.#random = random
  }

  draw(count: number): Fault[] {
    if (this.#rest.length === 0) this.#rest = shuffled(this.#random, this.#all)
    return this.#rest.splice(0, count)
  }
}
