/**
 * A bar chart of the comparisons that have a goal, as SVG: a bar a row, on a linear scale of how many times as good as the
 * rival we are (where lower is better: the rival's value over ours), with the promise and the goal marked on it, and a
 * line at 1, where both are alike. Pure: text in, text out. Readable on light and on dark, without a dependency.
 */

import { isKept, type Row } from './row.ts'
import { nameOf, short } from './table.ts'

const WIDTH = 960
const LABEL_WIDTH = 430
const VALUE_WIDTH = 70
const BAR_HEIGHT = 18
const STEP = 30
const TOP = 64
const BOTTOM = 64
/** Bars beyond this many times the rival are cut, and say so, lest one row make all others small. */
const SCALE_MAX = 16

// With a page of its own: whoever shows it may be dark where the reader's system is light.
const STYLE = `.page { fill: #ffffff }
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 11px; fill: #57606a }
.value { font-weight: 600 }
.kept { fill: #2f81c7 } .missed { fill: #c4432b } .grid { stroke: #d0d7de } .even { stroke: #57606a }
.promise { stroke: #24292f; stroke-width: 2 } .goal { stroke: #24292f; stroke-width: 2; stroke-dasharray: 2 2 }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 } .kept { fill: #4493d8 } .missed { fill: #e5634b }
  .grid { stroke: #3d444d } .even { stroke: #9198a1 } .promise, .goal { stroke: #e6edf3 }
}`

/** How many times as good as the rival: more is better, whatever the row measures. */
export function timesAsGood(ratio: number, better: Row['better']): number {
  return better === 'higher' ? ratio : 1 / ratio
}

/** `subtitle` names the machine. */
export function chartOf(rows: readonly Row[], title: string, subtitle: string): string {
  const shown = rows.filter(({ atLeast }) => atLeast !== null)
  const highest = Math.max(
    1,
    ...shown.flatMap((row) => [timesOf(row, row.ratio), timesOf(row, row.goal ?? 1)]),
  )
  const max = Math.min(SCALE_MAX, Math.ceil(highest))
  const plotWidth = WIDTH - LABEL_WIDTH - VALUE_WIDTH
  const xOf = (times: number): number => LABEL_WIDTH + (Math.min(times, max) / max) * plotWidth
  const height = TOP + shown.length * STEP + BOTTOM
  const bottom = TOP + shown.length * STEP
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeXml(title)}">
<style>
${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>
${text(12, 24, title, 'title')}
${text(12, 42, subtitle, 'small')}
${gridOf(max, xOf, bottom)}
${shown.map((row, i) => barOf(row, TOP + i * STEP, max, xOf)).join('\n')}
${legendOf(height - 16)}
</svg>
`
}

const timesOf = (row: Row, ratio: number): number => timesAsGood(ratio, row.better)

function barOf(row: Row, y: number, max: number, xOf: (times: number) => number): string {
  const times = timesOf(row, row.ratio)
  const width = (xOf(times) - LABEL_WIDTH).toFixed(1)
  const middle = y + BAR_HEIGHT / 2 + 4
  const mark = (ratio: number | null, name: string): string =>
    ratio === null || timesOf(row, ratio) > max
      ? ''
      : line(xOf(timesOf(row, ratio)), y - 3, y + BAR_HEIGHT + 3, name)
  return [
    text(LABEL_WIDTH - 8, middle, `${nameOf(row)} vs ${row.rival}`, 'label', 'end'),
    `<rect class="${isKept(row) ? 'kept' : 'missed'}" x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR_HEIGHT}"/>`,
    mark(row.atLeast, 'promise'),
    mark(row.goal, 'goal'),
    // In a column of its own, where no mark crosses it.
    text(WIDTH - VALUE_WIDTH + 10, middle, `${short(times)} ×${times > max ? ' →' : ''}`, 'value'),
  ]
    .filter((part) => part !== '')
    .join('\n')
}

function gridOf(max: number, xOf: (times: number) => number, bottom: number): string {
  const step = max > 8 ? 2 : 1
  const marks = [1, ...Array.from({ length: Math.floor(max / step) }, (_, i) => (i + 1) * step)]
  return [...new Set([0, ...marks])]
    .map((times) =>
      [
        line(xOf(times), TOP - 6, bottom, times === 1 ? 'even' : 'grid'),
        text(xOf(times), bottom + 14, String(times), 'small', 'middle'),
      ].join('\n'),
    )
    .join('\n')
}

function legendOf(y: number): string {
  const entry = (x: number, mark: string, words: string): string =>
    `${mark}\n${text(x + 18, y, words, 'small')}`
  const box = (x: number, name: string): string =>
    `<rect class="${name}" x="${x}" y="${y - 9}" width="12" height="10"/>`
  return [
    entry(12, box(12, 'kept'), 'promise kept'),
    entry(122, box(122, 'missed'), 'promise missed'),
    entry(242, line(248, y - 11, y + 3, 'promise'), 'promised at least'),
    entry(372, line(378, y - 11, y + 3, 'goal'), 'goal'),
    text(450, y, 'times as good as the rival in the same run (1: alike)', 'small'),
  ].join('\n')
}

function line(x: number, y1: number, y2: number, name: string): string {
  return `<line class="${name}" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${y1}" y2="${y2}"/>`
}

function text(x: number, y: number, words: string, name: string, anchor = 'start'): string {
  return `<text class="${name}" x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${escapeXml(words)}</text>`
}

function escapeXml(words: string): string {
  return words
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
