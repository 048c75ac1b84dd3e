/**
 * One look at a process from the inside: memory, handles, timers, threads, and how late its event loop runs.
 *
 * Live heap is what a full collection leaves. Without one, `heapUsed` is a saw that rises for minutes in a process that
 * leaks nothing. A collection stops the process for some ten milliseconds, so not every sample makes one; the delays of the
 * event loop contain it.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export interface Sample {
  /** Wall clock. */
  readonly atMs: number
  readonly rssBytes: number
  /** After a full collection; undefined where the sample made none. */
  readonly liveHeapBytes: number | undefined
  readonly heapBytes: number
  /** Outside the heap, array buffers among it. */
  readonly externalBytes: number
  readonly arrayBufferBytes: number
  /** Open files, from /proc; 0 where there is none. */
  readonly fds: number
  readonly threads: number
  /** Timers that keep the process alive. */
  readonly timers: number
  /** Sockets, servers, pipes and the like: what else keeps it alive, without requests under way. */
  readonly handles: number
  /** What keeps the process alive, requests too, by kind. */
  readonly kinds: Readonly<Record<string, number>>
  /** Since the sample before: how late the event loop was. */
  readonly delayP99Ms: number
  readonly delayMaxMs: number
  /** Since the start: time on a processor, and time in which one was wanted and others had it. Of the main thread. */
  readonly ranMs: number
  readonly waitedMs: number
}

const RESOLUTION_MS = 10

export class Sampler {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #collectEvery: number
  readonly #collect: () => void
  #samples = 0

  /** Every how many samples one makes a full collection. */
  constructor(collectEvery: number) {
    this.#collectEvery = collectEvery
    setFlagsFromString('--expose-gc')
    this.#collect = runInNewContext('gc') as () => void
    this.#delay.enable()
  }

  take(): Sample {
    const delayP99Ms = lateness(this.#delay.percentile(99))
    const delayMaxMs = lateness(this.#delay.max)
    this.#delay.reset()
    const before = process.memoryUsage()
    const collected = this.#samples++ % this.#collectEvery === 0
    if (collected) this.#collect()
    const { external, arrayBuffers, heapUsed } = collected ? process.memoryUsage() : before
    const kinds: Record<string, number> = {}
    for (const kind of process.getActiveResourcesInfo()) kinds[kind] = (kinds[kind] ?? 0) + 1
    const isHandle = (kind: string): boolean =>
      kind.endsWith('Wrap') && !/(Req|Connect|Write|Shutdown)/.test(kind)
    const handles = Object.entries(kinds).reduce(
      (sum, [kind, count]) => sum + (isHandle(kind) ? count : 0),
      0,
    )
    return {
      atMs: Date.now(),
      rssBytes: before.rss,
      liveHeapBytes: collected ? heapUsed : undefined,
      heapBytes: before.heapUsed,
      externalBytes: external,
      arrayBufferBytes: arrayBuffers,
      ...processFiles(),
      timers: kinds.Timeout ?? 0,
      handles,
      kinds,
      delayP99Ms,
      delayMaxMs,
    }
  }

  close(): void {
    this.#delay.disable()
  }
}

/** The monitor tells the time between two of its ticks, in nanoseconds. */
function lateness(tickNs: number): number {
  return Math.max(0, Math.round(tickNs / 1e4) / 100 - RESOLUTION_MS)
}

function processFiles(): Pick<Sample, 'fds' | 'threads' | 'ranMs' | 'waitedMs'> {
  try {
    // One of them is the folder that is being read.
    const fds = readdirSync('/proc/self/fd').length - 1
    const threads = Number(/^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
    const [ranNs, waitedNs] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number)
    return { fds, threads, ranMs: Math.round(ranNs! / 1e6), waitedMs: Math.round(waitedNs! / 1e6) }
  } catch {
    return { fds: 0, threads: 0, ranMs: 0, waitedMs: 0 }
  }
}
