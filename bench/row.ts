/** One line of the benchmarks' output, and how lines are made from results. Only ratios count: absolute figures drift. */

import type { Result } from './contest.ts'
import { goalOf } from './goal.ts'
import type { Machine } from './machine.ts'
import type { Percentiles, Spread } from './statistics.ts'

export interface Row {
  readonly bench: string
  /** Calls under way at the same time, where that means something. */
  readonly inFlight: number | null
  /** Calls a second that were offered, in an open loop. */
  readonly perSecond: number | null
  /** The median of the rounds; so is `rivalValue`. */
  readonly ours: number
  /** Whom or what we measure ourselves against, in the same run. */
  readonly rival: string
  readonly rivalValue: number
  /** Ours over the rival's. */
  readonly ratio: number
  readonly better: 'higher' | 'lower'
  /** The ratio that we want. */
  readonly goal: number | null
  /** The ratio that is promised: not less (or, where lower is better, not more) than this. */
  readonly atLeast: number | null
  readonly rounds: number
  /** Smallest and largest of the rounds, as of `ratio` taken round by round. */
  readonly oursSpread: Spread
  readonly rivalSpread: Spread
  readonly ratioSpread: Spread
  /** Percentiles of all samples in milliseconds, where calls were timed. */
  readonly oursMs: Percentiles | null
  readonly rivalMs: Percentiles | null
  /** The rival's server and client. */
  readonly rivalVersion: string
  readonly machine: Machine
}

/** A comparison that could not be made. It is part of the output: what is not there is not hidden. */
export interface Missing {
  readonly bench: string
  readonly rival: string
  readonly missing: string
}

/** What the rows of one comparison share. */
export interface Topic {
  readonly bench: string
  readonly inFlight: number | null
  readonly perSecond?: number
  readonly better: 'higher' | 'lower'
  readonly machine: Machine
}

/** Rivals that count as one: a row more says how we stand to the best of them. */
export interface Group {
  readonly name: string
  readonly members: readonly string[]
}

/** A row for each rival, and one for the best of each group. */
export function rowsOf(
  topic: Topic,
  ours: Result,
  rivals: readonly Result[],
  groups: readonly Group[],
): Row[] {
  const rows = rivals.map((rival) => makeRow(topic, ours, rival, rival.name))
  for (const { name, members } of groups) {
    const sorted = rivals
      .filter((rival) => members.includes(rival.name))
      .sort((a, b) => (topic.better === 'higher' ? b.value - a.value : a.value - b.value))
    if (sorted[0] !== undefined)
      rows.push({
        ...makeRow(topic, ours, sorted[0], name),
        rival: `${name}: ${sorted[0].name}`,
        // They stand in the rival's own row.
        oursMs: null,
        rivalMs: null,
      })
  }
  return rows
}

/** `rivalOrGroup` is the name under which a goal is looked up. */
export function makeRow(topic: Topic, ours: Result, rival: Result, rivalOrGroup: string): Row {
  const goal = goalOf(topic.bench, topic.inFlight, rivalOrGroup)
  const ratios = ours.rounds.map((value, i) => value / (rival.rounds[i] ?? rival.value))
  return {
    bench: topic.bench,
    inFlight: topic.inFlight,
    perSecond: topic.perSecond ?? null,
    ours: round(ours.value),
    rival: rival.name,
    rivalValue: round(rival.value),
    ratio: round(ours.value / rival.value),
    better: topic.better,
    goal: goal?.goal ?? null,
    atLeast: goal?.atLeast ?? null,
    rounds: ours.rounds.length,
    oursSpread: roundBoth(ours.spread),
    rivalSpread: roundBoth(rival.spread),
    ratioSpread: roundBoth([Math.min(...ratios), Math.max(...ratios)]),
    oursMs: roundAll(ours.percentiles),
    rivalMs: roundAll(rival.percentiles),
    rivalVersion: rival.version,
    machine: topic.machine,
  }
}

export function isKept({ ratio, better, atLeast }: Row): boolean {
  return atLeast === null || (better === 'higher' ? ratio >= atLeast : ratio <= atLeast)
}

const round = (value: number): number => Number(value.toPrecision(4))
const roundBoth = ([min, max]: Spread): Spread => [round(min), round(max)]
const roundAll = (all: Percentiles | null): Percentiles | null =>
  all && { p50: round(all.p50), p99: round(all.p99), p999: round(all.p999) }
