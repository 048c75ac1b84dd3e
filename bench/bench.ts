/**
 * What a part of the benchmarks is given: settings, servers that are closed behind it, and the way to rows.
 *
 * A part names its rivals and its contests; everything else (rounds, warming up, rows, goals) is the same for all.
 */

import { hold, measureWithin, type Result, resultOf } from './contest.ts'
import type { Machine } from './machine.ts'
import { type Group, type Missing, makeRow, type Row, rowsOf, type Topic } from './row.ts'
import type { Load, Side } from './side.ts'

export interface Part {
  readonly name: string
  readonly about: string
  /** Takes so long, or so much memory, that it runs only where it is named. */
  readonly isLong?: true
  run(bench: Bench): Promise<void>
}

/** Ours is the first side; the others are rivals. */
export interface Contest {
  readonly bench: string
  readonly load: Load
  readonly sides: readonly Side[]
  readonly groups?: readonly Group[]
}

export interface FixedContest {
  readonly bench: string
  /** As it stands in the row. */
  readonly inFlight: number | null
  readonly load: Load
  readonly side: Side
  /** The ratio is ours over this. */
  readonly floor: number
}

export interface Settings {
  readonly rounds: number
  readonly durationMs: number
  /** How long a side is loaded before it is compared, where it begins slowly (a JVM). */
  readonly warmUpMs: number
  /** Of the sizes of the long parts; 1 is what their goals are about. */
  readonly scale: number
  readonly machine: Machine
}

export interface Output {
  row(row: Row): void
  missing(missing: Missing): void
  note(text: string): void
}

interface Closable {
  close(): Promise<void>
}

export class Bench {
  readonly settings: Settings
  readonly #output: Output
  readonly #opened: Closable[] = []

  constructor(settings: Settings, output: Output) {
    this.settings = settings
    this.#output = output
  }

  note(text: string): void {
    this.#output.note(text)
  }

  /** Starts what the part cannot do without; it is closed when the part has ended. */
  async open<T extends Closable>(started: Promise<T>): Promise<T> {
    const opened = await started
    this.#opened.push(opened)
    return opened
  }

  /** Starts a rival. Where that fails, the output says so and the part goes on without. */
  async openRival<T extends Closable>(
    bench: string,
    rival: string,
    start: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      this.note(`starting ${rival}`)
      return await this.open(start())
    } catch (error) {
      this.miss(bench, rival, error)
      return undefined
    }
  }

  /** Results of all sides that did not fail, each a row but the first. */
  async compare({ bench, load, sides, groups = [] }: Contest): Promise<Result[]> {
    const [ours, ...rivals] = sides
    if (ours === undefined || rivals.length === 0) return []
    const inFlight = load.kind === 'rate' ? load.inFlight : load.kind === 'oneByOne' ? 1 : null
    this.note(inFlight === null ? bench : `${bench}, ${inFlight} in flight`)
    const results = await hold(sides, load, this.settings, (side, error) =>
      this.miss(bench, side.name, error),
    )
    const better = load.kind === 'rate' ? 'higher' : 'lower'
    const offered = load.kind === 'openLoop' ? { perSecond: load.perSecond } : {}
    const topic = { bench, inFlight, ...offered, better, machine: this.settings.machine } as const
    for (const row of rowsOf(topic, results[0]!, results.slice(1), groups)) this.#output.row(row)
    return results
  }

  /** Ours alone against a fixed figure: how fast something is that no rival has. */
  async compareFixed({ bench, inFlight, load, side, floor }: FixedContest): Promise<void> {
    this.note(bench)
    const [ours] = await hold([side], load, this.settings, () => {})
    const better = load.kind === 'rate' ? 'higher' : 'lower'
    this.addRow({ bench, inFlight, better }, ours!, resultOf('fixed', '', [{ value: floor }]))
  }

  /** A row of results that were not held in a contest. */
  addRow(topic: Omit<Topic, 'machine'>, ours: Result, rival: Result): void {
    this.#output.row(makeRow({ ...topic, machine: this.settings.machine }, ours, rival, rival.name))
  }

  /** Loads sides that begin slowly, until they are up to speed. One that fails will fail again where it is compared. */
  async warmUp(sides: readonly Side[], inFlight: number): Promise<void> {
    for (const side of sides) {
      this.note(`warming up ${side.name}`)
      await measureWithin(side, { kind: 'rate', inFlight }, this.settings.warmUpMs).catch((error: unknown) =>
        this.note(`${side.name}: ${String(error)}`),
      )
    }
  }

  /** Something that was to be measured and could not be. */
  miss(bench: string, rival: string, error: unknown): void {
    this.#output.missing({ bench, rival, missing: error instanceof Error ? error.message : String(error) })
  }

  /** Closes what was opened, the last first. */
  async close(): Promise<void> {
    for (let last = this.#opened.pop(); last !== undefined; last = this.#opened.pop()) await last.close()
  }
}
