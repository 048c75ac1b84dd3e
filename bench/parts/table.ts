/**
 * The placement table of 1,000 members and 16,384 partitions: how long one member computes when a cluster is founded, when
 * one joins and when one leaves. A pure function without a rival, so a fixed second is set beside it.
 */

import { type PlacementMember, placePartitions } from '../../src/core/ring/table.ts'
import type { Part } from '../bench.ts'
import { resultOf } from '../contest.ts'

const MEMBERS = 1000
const PARTITIONS = 16_384
const BACKUPS = 1
const ZONES = 3
const FIXED_MS = 1000

/** On hosts of their own, with ids that are as scattered as real ones. */
const roster: readonly PlacementMember[] = Array.from({ length: MEMBERS + 1 }, (_, i) => ({
  id: ((i * 2_654_435_761) % 2 ** 32).toString(16).padStart(32, '0'),
  zone: `zone-${i % ZONES}`,
  host: `host-${i}`,
}))

export const tablePart: Part = {
  name: 'table',
  about: 'the placement table of 1,000 members and 16,384 partitions',
  async run(bench) {
    const timesMs: Record<'founding' | 'join' | 'leave', number[]> = { founding: [], join: [], leave: [] }
    const place = (kind: keyof typeof timesMs, from: number, previous?: string[][]): string[][] => {
      const to = kind === 'join' ? roster.length : from + MEMBERS
      const members = roster.slice(from, to)
      const startMs = performance.now()
      const table = placePartitions({ partitionCount: PARTITIONS, backups: BACKUPS, members, previous })
      timesMs[kind].push(performance.now() - startMs)
      return table
    }
    for (let round = 0; round < bench.settings.rounds; round++) {
      const founded = place('founding', 0)
      place('leave', 1, place('join', 0, founded))
    }
    for (const [kind, times] of Object.entries(timesMs))
      bench.addRow(
        { bench: `table ${kind} ms`, inFlight: null, better: 'lower' },
        resultOf(
          'actorgrid',
          '',
          times.map((value) => ({ value })),
        ),
        resultOf('fixed', '', [{ value: FIXED_MS }]),
      )
  },
}
