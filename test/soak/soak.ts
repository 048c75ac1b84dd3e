/**
 * A soak: full load and churn for a while, then the verdict on what grew, who was suspected and which calls failed.
 *
 * Members that stay from beginning to end are judged, and so is this process, in which the clients are. After the
 * load has run its time every member is restarted once, one after the other, under the same load.
 */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Churn } from './churn.ts'
import { Cluster, type MemberProcess } from './cluster.ts'
import { type Busy, CpuMeter } from './cpu.ts'
import type { LogChange } from './ledger.ts'
import { Load } from './load.ts'
import type { Delay, SoakReport } from './report.ts'
import { type Sample, Sampler } from './sample.ts'
import { type FigureName, GROSS_BELOW_MS, judge, median, type Series, type Verdict } from './verdict.ts'

export interface SoakOptions {
  readonly minutes: number
  readonly seed: number
  /** Rounds of the load in a second; undefined: full load. */
  readonly rate: number | undefined
  readonly plant: string | undefined
  readonly commit: string
  readonly onProgress: (text: string) => void
  /** Ends the run early; what there is is judged. */
  readonly signal: AbortSignal
}

const STAY = ['stay-1', 'stay-2', 'stay-3'] as const
const GUEST = 'guest-1'
const SAMPLE_EVERY_MAX_MS = 10_000
const SAMPLES_MIN = 30
/** A full collection stops a process: a long run has samples enough to make fewer. */
const COLLECT_LESS_FROM_MIN = 20
const QUIET_MS = 30_000
const LOOPS = 48
/** A call that a kill has hit may fail as late as this after the cluster is at rest. */
const DEADLINE_MS = 10_000

/** From the outside only what is judged; from the inside all of it. */
const FIGURES: Readonly<Record<FigureName, (sample: Sample) => number | undefined>> = {
  rss: ({ rssBytes }) => rssBytes,
  heap: ({ liveHeapBytes }) => liveHeapBytes,
  external: ({ externalBytes }) => externalBytes,
  fds: ({ fds }) => fds,
  handles: ({ handles }) => handles,
  timers: ({ timers }) => timers,
  threads: ({ threads }) => threads,
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seed, plant, onProgress } = options
  const folder = mkdtempSync(join(tmpdir(), 'actorgrid-soak-'))
  onProgress(`logs and samples: ${folder}`)
  const sampleEveryMs = Math.min(SAMPLE_EVERY_MAX_MS, (options.minutes * 60_000) / SAMPLES_MIN)
  const collectEvery = options.minutes < COLLECT_LESS_FROM_MIN ? 3 : 6
  const founders = STAY.length + 1
  const started = { folder, founders, sampleEveryMs, collectEvery, plant }
  const cluster = await Cluster.start(started, [...STAY, GUEST])
  try {
    const stay = STAY.map((name) => cluster.members.get(name)!)
    const { name, nats } = cluster
    const load = await Load.start({ cluster: name, nats, seed, loops: LOOPS, rate: options.rate })
    // One line for each entry of the log: what a member suspects, it suspects for many partitions at once.
    let told = 0
    cluster.ledger.onUnexplained = ({ seq, text }) => {
      if (seq !== told) onProgress(`UNEXPLAINED #${seq} ${text}`)
      told = seq
    }
    const churn = new Churn(cluster, GUEST, { seed, quietMs: QUIET_MS, stay: STAY, onAction: onProgress })
    const watch = new Watcher(cluster, load, sampleEveryMs, collectEvery, onProgress)
    const startedMs = Date.now()
    const over = new AbortController()
    const end = (): void => over.abort()
    const timer = setTimeout(end, options.minutes * 60_000)
    options.signal.addEventListener('abort', end)
    await Promise.all([churn.run(over.signal), watch.run(over.signal)])
    clearTimeout(timer)
    const runMs = Date.now() - startedMs
    const { calls } = load
    const samples = new Map(stay.map((member) => [member.name, cluster.samplesOf(member.pid)]))
    samples.set('clients', watch.samples)
    await churn.rolling()
    await load.stop()
    const lost = await load.lost()
    await load.close()
    return report(options, { runMs, calls, cluster, load, churn, lost, samples, busy: watch.busy })
  } finally {
    await cluster.close()
  }
}

/** Samples this process and the processors, and says each minute how things are. */
class Watcher {
  readonly samples: Sample[] = []
  readonly #cluster: Cluster
  readonly #load: Load
  readonly #everyMs: number
  readonly #collectEvery: number
  readonly #onProgress: (text: string) => void
  readonly #busy: Busy[] = []

  constructor(
    cluster: Cluster,
    load: Load,
    everyMs: number,
    collectEvery: number,
    onProgress: (text: string) => void,
  ) {
    this.#cluster = cluster
    this.#load = load
    this.#everyMs = everyMs
    this.#collectEvery = collectEvery
    this.#onProgress = onProgress
  }

  get busy(): Busy {
    return {
      machine: median(this.#busy.map(({ machine }) => machine)),
      ours: median(this.#busy.map(({ ours }) => ours)),
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const sampler = new Sampler(this.#collectEvery)
    const meter = new CpuMeter()
    let calls = 0
    let toldMs = performance.now()
    for (;;) {
      await delay(this.#everyMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) break
      this.samples.push(sampler.take())
      const busy = meter.take([...this.#cluster.pids, process.pid])
      if (busy !== undefined) this.#busy.push(busy)
      const sinceMs = performance.now() - toldMs
      if (sinceMs < 55_000) continue
      toldMs += sinceMs
      const { ledger, members } = this.#cluster
      const memory = [...members.values()].map((member) => this.#memory(member))
      this.#onProgress(
        `${Math.round((this.#load.calls - calls) / (sinceMs / 1000))} calls/s, ${this.#load.failures} failed, ` +
          `${ledger.unexplained().filter(({ forced }) => forced).length} suspicions, processors ${share(busy?.ours)} ours of ${share(busy?.machine)}; ${memory.join(' ')}`,
      )
      calls = this.#load.calls
    }
    sampler.close()
  }

  #memory({ name, pid }: MemberProcess): string {
    const last = this.#cluster.samplesOf(pid).at(-1)
    return `${name} ${last === undefined ? '?' : Math.round(last.rssBytes / 1e6)} MB`
  }
}

function share(value = 0): string {
  return `${Math.round(value * 100)} %`
}

interface Found {
  readonly runMs: number
  readonly calls: number
  readonly cluster: Cluster
  readonly load: Load
  readonly churn: Churn
  readonly lost: readonly string[]
  readonly samples: ReadonlyMap<string, readonly Sample[]>
  readonly busy: Busy
}

function report({ seed, commit, rate }: SoakOptions, found: Found): SoakReport {
  const { runMs, calls, cluster, load, churn, lost, samples } = found
  const kills = churn.actions.filter(({ kind }) => kind === 'kill' || kind === 'vanish')
  const inKill = (atMs: number): boolean =>
    kills.some(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs + DEADLINE_MS)
  const failedInPeace = load.failed.filter(({ atMs }) => !inKill(atMs))
  const actions: Record<string, number> = {}
  for (const { kind } of churn.actions) actions[kind] = (actions[kind] ?? 0) + 1
  const problems: string[] = []
  const verdicts = judgeAll(samples, runMs, problems)
  const odd = cluster.ledger.unexplained().map((change) => withLateness(cluster, change))
  const suspicions = odd.filter(({ forced }) => forced)
  const unexplained = odd.filter(({ forced }) => !forced)
  if (suspicions.length > 0) problems.push(`${suspicions.length} false suspicions`)
  else if (unexplained.length > 0) problems.push(`${unexplained.length} changes that no action explains`)
  if (failedInPeace.length > 0) problems.push(`${failedInPeace.length} calls failed though nobody was killed`)
  problems.push(...lost)
  for (const { process, figure, flat } of verdicts) if (!flat) problems.push(`${figure} of ${process} grows`)
  return {
    seed,
    rate,
    minutes: Math.round(runMs / 6000) / 10,
    commit,
    calls,
    callsPerSecond: Math.round(calls / (runMs / 1000)),
    clients: load.clients,
    watches: load.watches,
    events: load.events,
    busy: found.busy,
    actions,
    changes: cluster.ledger.counts,
    suspicions,
    unexplained,
    failedInPeace,
    failedInKills: load.failed.filter(({ atMs }) => inKill(atMs)),
    failures: load.failures,
    lost,
    verdicts,
    grossOnly: runMs < GROSS_BELOW_MS,
    delays: [...samples].map(([process, taken]) => delayOf(process, taken)),
    problems,
  }
}

/** Adds how late the event loops of both sides were about then: who stood still was silent indeed. */
function withLateness(cluster: Cluster, change: LogChange): LogChange {
  const late = [...change.out, change.by].map(
    (id) => cluster.sampleAt(id, change.atMs)?.delayMaxMs.toFixed(0) ?? '?',
  )
  return { ...change, text: `${change.text} (event loops late by up to ${late.join(', ')} ms)` }
}

function judgeAll(
  samples: ReadonlyMap<string, readonly Sample[]>,
  runMs: number,
  problems: string[],
): Verdict[] {
  const verdicts: Verdict[] = []
  for (const [process, taken] of samples)
    for (const figure of Object.keys(FIGURES) as FigureName[]) {
      const points = taken.flatMap((sample) => {
        const value = FIGURES[figure](sample)
        return value === undefined ? [] : [{ atMs: sample.atMs, value }]
      })
      const series: Series = { process, figure, points }
      try {
        verdicts.push(judge(series, runMs))
      } catch (error) {
        problems.push((error as Error).message)
      }
    }
  return verdicts
}

function delayOf(process: string, samples: readonly Sample[]): Delay {
  const p99Ms = median(samples.map(({ delayP99Ms }) => delayP99Ms))
  // Without the first: the process was just starting.
  const maxMs = Math.max(0, ...samples.slice(1).map(({ delayMaxMs }) => delayMaxMs))
  const [first, last] = [samples[0]!, samples.at(-1)!]
  const spanMs = last.atMs - first.atMs
  const ran = (last.ranMs - first.ranMs) / spanMs
  return { process, p99Ms, maxMs, ran, waited: (last.waitedMs - first.waitedMs) / spanMs }
}
