/** One line of the benchmarks' output, and how it is shown. Only ratios count: absolute figures drift. */

export interface Row {
  readonly bench: string
  /** Calls under way at the same time, where that means something. */
  readonly inFlight: number | null
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
}

export function makeRow(
  row: Omit<Row, 'ratio' | 'ours' | 'rivalValue'>,
  ours: number,
  rivalValue: number,
): Row {
  const round = (value: number): number => Number(value.toPrecision(4))
  const { bench, inFlight, rival, better, goal, atLeast } = row
  const ratio = round(ours / rivalValue)
  return {
    bench,
    inFlight,
    ours: round(ours),
    rival,
    rivalValue: round(rivalValue),
    ratio,
    better,
    goal,
    atLeast,
  }
}

export function isKept({ ratio, better, atLeast }: Row): boolean {
  return atLeast === null || (better === 'higher' ? ratio >= atLeast : ratio <= atLeast)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const sign = row.better === 'higher' ? '≥' : '≤'
    const promised = row.atLeast === null ? '' : `${sign} ${row.atLeast} ${isKept(row) ? 'kept' : 'MISSED'}`
    const goal = row.goal === null ? '' : `${sign} ${row.goal}`
    const name = row.inFlight === null ? row.bench : `${row.bench}, ${row.inFlight} in flight`
    return [name, String(row.ours), `${row.rivalValue} (${row.rival})`, String(row.ratio), promised, goal]
  })
  const all = [['bench', 'ours', 'rival', 'ratio', 'promised', 'goal'], ...lines]
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)))
  return all.map((line) => line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')).join('\n')
}
