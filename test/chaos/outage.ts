/**
 * How long writes stood still: of each partition that a fault has hit, the longest time between the fault and the end of
 * the round without an answer to a write. Of a partition that goes on, this is about the time that its writers think.
 */

import type { Hit } from './cluster.ts'
import type { Accepted } from './history.ts'

/** Of each partition hit, by partition. */
export function outages(
  hits: readonly Hit[],
  accepted: readonly Accepted[],
  fromMs: number,
  untilMs: number,
): Map<number, number> {
  const longest = new Map<number, number>()
  for (const hit of hits) {
    if (hit.atMs < fromMs || hit.atMs > untilMs) continue
    for (const partition of hit.partitions) {
      const gap = longestGap(partition, accepted, hit.atMs, untilMs)
      longest.set(partition, Math.max(longest.get(partition) ?? 0, gap))
    }
  }
  return longest
}

function longestGap(
  partition: number,
  accepted: readonly Accepted[],
  fromMs: number,
  untilMs: number,
): number {
  let lastMs = fromMs
  let longest = 0
  for (const { partition: other, atMs } of accepted) {
    if (other !== partition || atMs <= fromMs) continue
    longest = Math.max(longest, atMs - lastMs)
    lastMs = atMs
    if (atMs > untilMs) break
  }
  return longest
}

export interface Quantiles {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 }
}
