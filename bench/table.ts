/** Rows as a table for people: each side with its spread, and percentiles where calls were timed. */

import { isKept, type Missing, type Row } from './row.ts'
import type { Percentiles, Spread } from './statistics.ts'

const HEAD = ['bench', 'ours (rounds)', 'rival (rounds)', 'rival', 'ratio (rounds)', 'promised', 'goal']

export function tableOf(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.flatMap(linesOf)]
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export function missingText({ bench, rival, missing }: Missing): string {
  return `${bench}: ${rival} is missing: ${missing}`
}

function linesOf(row: Row): string[][] {
  const sign = row.better === 'higher' ? '≥' : '≤'
  const line = [
    nameOf(row),
    withSpread(row.ours, row.oursSpread),
    withSpread(row.rivalValue, row.rivalSpread),
    row.rival,
    withSpread(row.ratio, row.ratioSpread),
    row.atLeast === null ? '' : `${sign} ${row.atLeast} ${isKept(row) ? 'kept' : 'MISSED'}`,
    row.goal === null ? '' : `${sign} ${row.goal}`,
  ]
  if (row.oursMs === null || row.rivalMs === null) return [line]
  return [line, ['  p50 / p99 / p99.9 ms', percentilesText(row.oursMs), percentilesText(row.rivalMs)]]
}

/** What was measured, under which load. */
export function nameOf({ bench, inFlight, perSecond }: Row): string {
  if (perSecond !== null) return `${bench}, ${short(perSecond)}/s offered`
  return inFlight === null ? bench : `${bench}, ${inFlight} in flight`
}

function withSpread(value: number, [min, max]: Spread): string {
  return min === max ? short(value) : `${short(value)} (${short(min)}–${short(max)})`
}

function percentilesText({ p50, p99, p999 }: Percentiles): string {
  return [p50, p99, p999].map(short).join(' / ')
}

/** Three digits, with k and M. */
export function short(value: number): string {
  if (value >= 999_500) return `${Number((value / 1e6).toPrecision(3))} M`
  if (value >= 9_995) return `${Number((value / 1e3).toPrecision(3))} k`
  return String(Number(value.toPrecision(3)))
}
