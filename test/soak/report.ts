/** What a soak has found, as tables for people; the same object is what `--json` prints. */

import type { Busy } from './cpu.ts'
import type { LogChange } from './ledger.ts'
import type { FailedCall } from './load.ts'
import type { FigureName, Verdict } from './verdict.ts'

export interface Delay {
  readonly process: string
  /** The median of the samples' p99, and the worst of all. */
  readonly p99Ms: number
  readonly maxMs: number
  /** Shares of the time: on a processor, and waiting for one that somebody else had. */
  readonly ran: number
  readonly waited: number
}

export interface SoakReport {
  readonly seed: number
  /** Rounds of the load in a second, at most; undefined: full load. */
  readonly rate: number | undefined
  readonly minutes: number
  readonly commit: string
  readonly calls: number
  readonly callsPerSecond: number
  readonly clients: number
  readonly watches: number
  readonly events: number
  readonly busy: Busy
  readonly actions: Readonly<Record<string, number>>
  /** Configs and departures by reason. */
  readonly changes: Readonly<Record<string, number>>
  /** Changes for a death or a silence of members that we did not kill. */
  readonly suspicions: readonly LogChange[]
  /** Other changes that no action explains; after a false suspicion there are some that make it good. */
  readonly unexplained: readonly LogChange[]
  /** While members left, joined or were restarted, and in quiet. */
  readonly failedInPeace: readonly FailedCall[]
  /** While a member was killed. */
  readonly failedInKills: readonly FailedCall[]
  readonly failures: number
  readonly lost: readonly string[]
  readonly verdicts: readonly Verdict[]
  readonly grossOnly: boolean
  readonly delays: readonly Delay[]
  /** What is wrong, one line each; empty when all is well. */
  readonly problems: readonly string[]
}

const LINES_MAX = 50

export function soakText(report: SoakReport): string {
  const {
    verdicts,
    grossOnly,
    delays,
    problems,
    suspicions,
    unexplained,
    failedInPeace,
    failedInKills,
    busy,
  } = report
  const percent = (share: number): string => `${Math.round(share * 100)} %`
  const counts = (record: Readonly<Record<string, number>>): string =>
    Object.entries(record)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  return [
    `soak of ${report.minutes} min, seed ${report.seed}, commit ${report.commit}, ${report.rate === undefined ? 'full load' : `load of ${report.rate} rounds/s`}`,
    `calls ${report.calls} (${report.callsPerSecond}/s), clients ${report.clients}, watches ${report.watches}, events ${report.events}`,
    `processors: ${percent(busy.machine)} busy, ${percent(busy.ours)} with this soak`,
    `actions: ${counts(report.actions)}`,
    `changes in the log: ${counts(report.changes)}`,
    `false suspicions: ${suspicions.length}, in ${new Set(suspicions.map(({ seq }) => seq)).size} messages; other changes that no action explains: ${unexplained.length}`,
    ...[...suspicions, ...unexplained]
      .slice(0, LINES_MAX)
      .map(({ atMs, seq, text }) => `  ${time(atMs)} #${seq} ${text}`),
    `failed calls in peace (quiet, leaves, restarts): ${failedInPeace.length}; while members were killed: ${failedInKills.length}`,
    ...[...failedInPeace, ...failedInKills].slice(0, LINES_MAX).map(failureText),
    '',
    `figures of the second half (${grossOnly ? 'too short: only gross growth within it is judged' : 'growth in an hour is judged'})`,
    '| process | figure | samples | median | max | slope / h | growth | bound | |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ...verdicts.map(verdictText),
    '',
    '| process | event loop late, p99 ms | max ms | on a processor | waiting for one |',
    '| --- | --- | --- | --- | --- |',
    ...delays.map(
      ({ process, p99Ms, maxMs, ran, waited }) =>
        `| ${process} | ${p99Ms.toFixed(1)} | ${maxMs.toFixed(1)} | ${percent(ran)} | ${percent(waited)} |`,
    ),
    '',
    problems.length === 0 ? 'PASSED' : `FAILED\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
  ].join('\n')
}

export function figureText(figure: FigureName, value: number): string {
  const isBytes = figure === 'rss' || figure === 'heap' || figure === 'external'
  return isBytes ? `${(value / (1024 * 1024)).toFixed(1)} MiB` : value.toFixed(1)
}

export function time(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 23)
}

function verdictText({
  process,
  figure,
  samples,
  median,
  max,
  slopePerHour,
  growth,
  bound,
  flat,
}: Verdict): string {
  const text = (value: number): string => figureText(figure, value)
  const cells = [
    process,
    figure,
    samples,
    text(median),
    text(max),
    text(slopePerHour),
    text(growth),
    text(bound),
  ]
  return `| ${cells.join(' | ')} | ${flat ? 'flat' : '**grows**'} |`
}

function failureText({ atMs, what, code, applied, message }: FailedCall): string {
  return `  ${time(atMs)} ${what}: ${code} (applied ${applied}) ${message}`
}
