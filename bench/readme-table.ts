/** The comparisons that have a goal as a table for README.md: a line for each promise, of two figures where it has two. */

import { machineText } from './machine.ts'
import { isKept, type Row } from './row.ts'
import { short } from './table.ts'

interface Line {
  readonly what: string
  /** Beginnings of the names of benches, one for each figure; where several rows match, the worst counts. */
  readonly benches: readonly string[]
  readonly inFlight: number | null
  readonly rival: string
}

const LINES: readonly Line[] = [
  line('get, 512 in flight', ['get ops/s'], 512, 'best Redis client'),
  line('put with a backup, 512 in flight', ['put 1 backup ops/s'], 512, 'ioredis, no replica'),
  line('put with a backup, 64 in flight', ['put 1 backup ops/s'], 64, 'ioredis SET + WAIT 1'),
  line('get / put, p50 at 1 in flight', ['get p50 ms', 'put p50 ms'], 1, 'ioredis'),
  line('entry processor, 512 in flight', ['counter ops/s'], 512, 'best EVAL'),
  line('getAll / putAll of 1,000 keys', ['getAll keys/s', 'putAll keys/s'], 1, 'ioredis M'),
  line('near cache get', ['near cache get ops/s'], 1, 'fixed'),
  line('embedded get, processor time', ['embedded get ops/s'], 1, 'fixed'),
  line('get / put, 512 in flight', ['get ops/s', 'put ops/s'], 512, 'hazelcast-client'),
  line('get / put, 64 in flight', ['get ops/s', 'put ops/s'], 64, 'NATS KV'),
  line(
    'bytes an entry, loaded / overwritten',
    ['store bytes/entry,', 'store bytes/entry over'],
    null,
    'Redis',
  ),
  line('longest stall at 10 M entries', ['longest stall ms'], null, 'fixed'),
  line(
    'get / put p99 while 1 GiB joins',
    ['get p99 ms during a join', 'put p99 ms during a join'],
    null,
    'before',
  ),
]

function line(what: string, benches: readonly string[], inFlight: number | null, rival: string): Line {
  return { what, benches, inFlight, rival }
}

/** Markdown. A figure that misses its promise is in bold, one that is not there is a dash. */
export function readmeTable(rows: readonly Row[]): string {
  const lines = LINES.map(({ what, benches, inFlight, rival }) => {
    const found = benches.map((bench) =>
      rows
        .filter((row) => row.bench.startsWith(bench) && row.inFlight === inFlight)
        .filter((row) => row.goal !== null && row.rival.startsWith(rival))
        .reduce<Row | undefined>((worst, row) => (worst && isWorse(worst, row) ? worst : row), undefined),
    )
    const first = found.find((row) => row !== undefined)
    const both = (of: (row: Row) => string): string =>
      found.map((row) => (row === undefined ? '–' : of(row))).join(' / ')
    const sign = first?.better === 'lower' ? '≤' : '≥'
    const name = rival === 'fixed' ? `fixed: ${short(first?.rivalValue ?? 0)}` : rivalName(rival, found)
    return [
      what,
      both((row) => short(row.ours)),
      `${name}${rival === 'fixed' ? '' : `: ${both((row) => short(row.rivalValue))}`}`,
      both((row) => (isKept(row) ? short(row.ratio) : `**${short(row.ratio)}**`)),
      `${sign} ${first?.atLeast ?? '–'} (${first?.goal ?? '–'})`,
    ]
  })
  const head = ['', 'actorgrid', 'against', 'ratio', 'promised (goal)']
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const PLACE = /(<!-- bench: .* -->\n)[\s\S]*?(<!-- \/bench -->)/

/** README.md with its table made anew, and the machine named. @throws Error where it has no place for it */
export function withTable(readme: string, rows: readonly Row[]): string {
  const first = rows[0]
  if (first === undefined || !PLACE.test(readme)) throw new Error('README.md has no place for the table')
  return readme.replace(
    PLACE,
    (_, begin: string, end: string) =>
      `${begin}${readmeTable(rows)}\n\nOn ${machineText(first.machine)}.\n${end}`,
  )
}

function isWorse(a: Row, b: Row): boolean {
  return a.better === 'higher' ? a.ratio < b.ratio : a.ratio > b.ratio
}

/** As the rows have it, which name the best of a group. */
function rivalName(rival: string, found: readonly (Row | undefined)[]): string {
  const names = [...new Set(found.flatMap((row) => (row === undefined ? [] : [row.rival])))]
  return names.length === 0 ? rival : names.map((name) => name.replace(/^best [^:]*: /, '')).join(' / ')
}
