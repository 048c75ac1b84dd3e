/** How busy the processors were, and with whose work: the machine's share, and that of our own processes. */

import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** Of /proc: a tick is 10 ms on every Linux that Node runs on. */
const TICK_MS = 10

interface Reading {
  readonly atMs: number
  readonly idleTicks: number
  readonly oursTicks: ReadonlyMap<number, number>
}

export interface Busy {
  /** Shares of all cores, 0 to 1. */
  readonly machine: number
  readonly ours: number
}

/** Looks between two calls of `take`. Undefined where there is no /proc. */
export class CpuMeter {
  #last: Reading | undefined

  take(pids: readonly number[]): Busy | undefined {
    let reading: Reading
    try {
      reading = { atMs: performance.now(), idleTicks: idleTicks(), oursTicks: new Map(pids.map(ticksOf)) }
    } catch {
      return undefined
    }
    const last = this.#last
    this.#last = reading
    if (last === undefined) return undefined
    const ticks = ((reading.atMs - last.atMs) / TICK_MS) * cpus().length
    let ours = 0
    for (const [pid, now] of reading.oursTicks) ours += Math.max(0, now - (last.oursTicks.get(pid) ?? now))
    return { machine: Math.max(0, 1 - (reading.idleTicks - last.idleTicks) / ticks), ours: ours / ticks }
  }
}

/** Idle and waiting for a disk. */
function idleTicks(): number {
  const [, , , , idle, wait] = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.split(/\s+/)
  return Number(idle) + Number(wait)
}

function ticksOf(pid: number): [number, number] {
  try {
    // The name in brackets may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return [pid, Number(fields[11]) + Number(fields[12])]
  } catch {
    return [pid, 0]
  }
}
