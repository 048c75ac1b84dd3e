/** What a chaos run has counted and measured, and how it is printed. */

import { type Quantiles, quantiles } from './outage.ts'
import type { FaultRecord, RoundResult } from './round.ts'

export interface FaultTotals {
  readonly name: string
  count: number
  failedCalls: number
  /** Of each partition hit. */
  readonly outagesMs: number[]
  /** Of each fault, the worst of its partitions. */
  readonly worstMs: number[]
}

export interface ViolationRecord {
  readonly seed: number
  readonly cluster: string
  readonly round: number
  readonly faults: readonly string[]
  readonly text: string
  readonly folder: string
}

export class Totals {
  readonly seed: number
  readonly startedMs = performance.now()
  rounds = 0
  calls = 0
  histories = 0
  undecided = 0
  failedCalls = 0
  resets = 0
  readonly faults: FaultTotals[] = []
  readonly violations: ViolationRecord[] = []
  readonly left: string[] = []

  constructor(seed: number) {
    this.seed = seed
  }

  get faultCount(): number {
    return this.faults.reduce((sum, { count }) => sum + count, 0)
  }

  add(result: RoundResult): void {
    this.rounds++
    this.calls += result.calls
    this.histories += result.keys
    this.undecided += result.undecided
    this.failedCalls += result.failedCalls
    this.resets += result.resets
    for (const fault of result.faults) this.#fault(fault)
  }

  #fault({ name, outagesMs, failedCalls }: FaultRecord): void {
    let row = this.faults.find((one) => one.name === name)
    if (row === undefined) {
      row = { name, count: 0, failedCalls: 0, outagesMs: [], worstMs: [] }
      this.faults.push(row)
    }
    row.count++
    row.failedCalls += failedCalls
    row.outagesMs.push(...outagesMs)
    if (outagesMs.length > 0) row.worstMs.push(Math.max(...outagesMs))
  }

  toJSON(): object {
    const faults = this.faults.map(({ name, count, failedCalls, outagesMs, worstMs }) => ({
      ...{ name, count, failedCalls },
      outageMs: quantiles(outagesMs),
      worstOutageMs: quantiles(worstMs),
    }))
    const { seed, rounds, calls, histories, undecided, failedCalls, resets, violations, left } = this
    const minutes = (performance.now() - this.startedMs) / 60_000
    return {
      ...{
        seed,
        minutes,
        rounds,
        faultCount: this.faultCount,
        calls,
        histories,
        undecided,
        failedCalls,
        resets,
      },
      ...{ faults, violations, left },
    }
  }
}

export function printTotals(totals: Totals): void {
  const out = (line: string): boolean => process.stdout.write(`${line}\n`)
  const minutes = ((performance.now() - totals.startedMs) / 60_000).toFixed(1)
  out(
    `\n${totals.faultCount} faults in ${totals.rounds} rounds and ${minutes} minutes (seed ${totals.seed}): ` +
      `${totals.calls} calls in ${totals.histories} histories of a key checked, ${totals.undecided} undecided, ` +
      `${totals.failedCalls} failed calls, ${totals.resets} partitions of watches told anew, ` +
      `${totals.violations.length} violations`,
  )
  out(
    'longest time without an accepted write, in seconds: of each partition hit; of each fault the worst partition',
  )
  out(row(['fault', 'faults', 'failed', 'p50', 'p99', 'max', 'worst p50', 'worst p99']))
  for (const { name, count, failedCalls, outagesMs, worstMs } of totals.faults) {
    const each = quantiles(outagesMs)
    const worst = quantiles(worstMs)
    const of = ({ count: known }: Quantiles, ms: number): string =>
      known === 0 ? '–' : (ms / 1000).toFixed(2)
    const times = [of(each, each.p50), of(each, each.p99), of(each, each.max)]
    out(row([name, count, failedCalls, ...times, of(worst, worst.p50), of(worst, worst.p99)]))
  }
  for (const left of totals.left) out(`left out: ${left}`)
  for (const { cluster, round, faults, text } of totals.violations)
    out(`VIOLATION in round ${round} of cluster ${cluster} (${faults.join(', ')}): ${text.split('\n')[0]}`)
}

function row([name, ...cells]: readonly (string | number)[]): string {
  return `${String(name).padEnd(22)}${cells.map((cell) => String(cell).padStart(10)).join('')}`
}
