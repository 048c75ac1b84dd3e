/**
 * One round of a chaos run: load, faults one after the other, each healed and followed by the cluster's recovery; then the
 * load ends, every key is written and read once more, and all that clients were told is checked.
 */

import type { Random } from '../../src/core/base/random.ts'
import { between } from './chance.ts'
import { type Checked, checkRound, Violation } from './check.ts'
import type { ChaosCluster } from './cluster.ts'
import { Copy } from './copy.ts'
import type { Fault } from './fault.ts'
import { last } from './fault-process.ts'
import { type Failure, History } from './history.ts'
import { Load } from './load.ts'
import { outages } from './outage.ts'

/** What one fault did. */
export interface FaultRecord {
  readonly name: string
  readonly allows: Fault['allows']
  readonly codes: readonly string[]
  readonly fromMs: number
  untilMs: number
  /** Of the partitions that it hit: the longest time without an accepted write. */
  outagesMs: readonly number[]
  failedCalls: number
}

export interface RoundResult extends Checked {
  readonly faults: readonly FaultRecord[]
  readonly failedCalls: number
  readonly resets: number
}

const LOSS_CODES: ReadonlySet<string> = new Set(['PARTITION_LOST', 'SESSION_EXPIRED'])
/** How long a fault lasts at most where the load stands still under it. */
const FORCE_MS = 2000

export class Rounds {
  readonly #cluster: ChaosCluster
  readonly #load: Load
  readonly #copies: readonly Copy[]
  readonly #random: Random
  #before = new Map<string, number | undefined>()
  #records: FaultRecord[] = []

  private constructor(cluster: ChaosCluster, load: Load, copies: readonly Copy[], random: Random) {
    this.#cluster = cluster
    this.#load = load
    this.#copies = copies
    this.#random = random
  }

  static async on(cluster: ChaosCluster, random: Random): Promise<Rounds> {
    const load = await Load.on(cluster, Math.floor(random.next() * 2 ** 32))
    const { watcher } = load
    const copies = [
      new Copy(watcher, 'counters', false),
      new Copy(watcher, 'registers', false),
      new Copy(watcher, 'registers', true),
    ]
    await Promise.all(copies.map((copy) => copy.ready))
    return new Rounds(cluster, load, copies, random)
  }

  /** The history of the round that runs or ran last. */
  get history(): History {
    return this.#load.history
  }

  /** @throws Violation, Late, and whatever else must not happen */
  async run(faults: readonly Fault[]): Promise<RoundResult> {
    this.#begin()
    this.#load.start()
    for (const fault of faults) await this.#suffer(fault)
    await this.#load.stop()
    const after = await this.#load.sweep()
    for (const copy of this.#copies) await copy.equals(after)
    this.#checkFailures()
    this.#checkLosses()
    const { keys, history } = this.#load
    const lost = this.#cluster.lost
    const checked = checkRound({
      ...{ keys, calls: history.calls, before: this.#before, after, copies: this.#copies, lost },
    })
    this.#before = after
    return { ...checked, ...this.#measured() }
  }

  #begin(): void {
    this.#load.history = new History()
    this.#cluster.hits = []
    this.#cluster.losses = []
    this.#cluster.lost.clear()
    this.#records = []
    for (const copy of this.#copies) copy.begin()
  }

  async #suffer(fault: Fault): Promise<void> {
    const { name, allows, codes = [] } = fault
    const random = this.#random
    await this.#load.acks(between(random, 20, 600))
    this.#load.mayFail = allows === 'unknown'
    const open = { untilMs: Number.POSITIVE_INFINITY, outagesMs: [], failedCalls: 0 }
    const record: FaultRecord = { name, allows, codes, fromMs: performance.now(), ...open }
    this.#records.push(record)
    const heal = await fault.inject(this.#cluster, random)
    await Promise.race([this.#load.acks(between(random, 1, 300)), last(FORCE_MS)])
    await heal()
    this.#cluster.disturbed()
    await this.#cluster.settled()
    record.untilMs = performance.now()
    this.#load.mayFail = false
  }

  #measured(): Omit<RoundResult, keyof Checked> {
    const { accepted, failures } = this.#load.history
    for (const record of this.#records) {
      const { fromMs, untilMs } = record
      record.outagesMs = [...outages(this.#cluster.hits, accepted, fromMs, untilMs).values()]
      record.failedCalls = failures.filter((failure) => during(failure, record)).length
    }
    const resets = this.#copies.reduce((sum, { reset }) => sum + reset.size, 0)
    return { faults: this.#records, failedCalls: failures.length, resets }
  }

  /** Calls fail only under faults that allow it, and only as those allow. */
  #checkFailures(): void {
    for (const failure of this.#load.history.failures) {
      const { code, text, record, durationMs } = failure
      // What was lost with all its replicas says so, and so do the sessions that were kept with it.
      if (this.#cluster.lost.has(record.partition) && LOSS_CODES.has(code)) continue
      const excuse = this.#records.find(
        (one) =>
          during(failure, one) &&
          one.allows === 'unknown' &&
          (code === 'TIMEOUT' || one.codes.includes(code)),
      )
      if (excuse === undefined)
        throw new Violation(
          `${record.kind} ${record.key} (partition ${record.partition}) of client ${record.client} failed ` +
            `after ${Math.round(durationMs)} ms: ${code}: ${text}`,
        )
    }
  }

  /** Nothing is declared lost but what a fault took all replicas of. */
  #checkLosses(): void {
    for (const { partition, inSync, epoch } of this.#cluster.losses)
      if (!this.#cluster.lost.has(partition))
        throw new Violation(
          `partition ${partition} was declared lost; epoch ${epoch} had ${inSync.join(', ')} in sync`,
        )
  }
}

/** Whether the failed call was under way during the fault. */
function during({ record, atMs }: Failure, { fromMs, untilMs }: FaultRecord): boolean {
  return record.callMs <= untilMs && atMs >= fromMs
}
