/**
 * A third member joins two and is given 1 GiB of data, then leaves again and gives it back, while get and put go on by an
 * open loop. How long either takes, to the last change of configuration, and what the calls took meanwhile against what
 * they took in the seconds before; several times, with the median. No call may fail.
 */

import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, Part } from '../bench.ts'
import { type Result, resultOf } from '../contest.ts'
import { gridStore, inBatches } from '../filling.ts'
import { Flow } from '../flow.ts'
import { mib, shareThatFits } from '../memory.ts'
import { atRest, type Cluster, startCluster } from '../servers/cluster.ts'
import type { Measured } from '../side.ts'
import { percentilesOf } from '../statistics.ts'
import { makeKey, makeValue, type Reading, scattered } from '../value.ts'

const MEMBERS = 2
const BACKUPS = 1
const PARTITIONS = 271
/** What the one that joins is to be given. */
const GIVEN_BYTES = 2 ** 30
/** About, to know how many entries that is; how much it really was is said. */
const BYTES_PER_ENTRY = 180
/** Copies of everything, with what processes take beside: two before, and three while partitions move. */
const NEEDED_FACTOR = 6
const OPERATIONS = ['get', 'put'] as const
/** Of each: about a tenth of what this cluster can do on two cores. */
const PER_SECOND = 2000
const BEFORE_MS = 8000
const CYCLES = 2

/** When something was under way. */
interface Span {
  readonly fromMs: number
  readonly toMs: number
}
interface Cycle {
  readonly before: readonly Float64Array[]
  readonly join: readonly Float64Array[]
  readonly leave: readonly Float64Array[]
  readonly joinMs: number
  readonly leaveMs: number
  readonly givenBytes: number
}

export const joinPart: Part = {
  name: 'join',
  about: 'a member with 1 GiB joins and leaves under load: how long it takes, and p99 meanwhile',
  async run(bench) {
    const { scale, rounds } = bench.settings
    const wanted = GIVEN_BYTES * scale
    const share = shareThatFits(wanted * NEEDED_FACTOR)
    const givenBytes = wanted * share
    if (share < 1)
      bench.miss(
        'join',
        mib(wanted),
        `${mib(process.availableMemory())} of memory are available: ${mib(givenBytes)}`,
      )
    // Of the copies of everything, the third member is given a third.
    const copiesShare = (BACKUPS + 1) / (MEMBERS + 1)
    const entries = Math.ceil(givenBytes / copiesShare / BYTES_PER_ENTRY)
    const maxMemoryBytes = Math.max(2 ** 28, Math.ceil(entries * BYTES_PER_ENTRY * 2))
    const cluster = await bench.open(startCluster({ members: MEMBERS, backups: BACKUPS, maxMemoryBytes }))
    bench.note(`loading ${entries} entries`)
    const store = gridStore(cluster)
    await inBatches(entries, (from, to) => store.put(from, to, (i) => i))
    const cycles: Cycle[] = []
    for (let i = 0; i < Math.min(CYCLES, rounds); i++)
      cycles.push(await cycleOf(bench, cluster, entries, BEFORE_MS * Math.max(scale, 0.2)))
    addRows(bench, share * scale === 1 ? '1 GiB' : mib(givenBytes), cycles)
  },
}

async function cycleOf(bench: Bench, cluster: Cluster, entries: number, beforeMs: number): Promise<Cycle> {
  const map = cluster.grid.map<string, Reading>('bench')
  const flow = new Flow(
    [
      (i) => map.get(makeKey(scattered(i, entries))),
      (i) => map.put(makeKey(scattered(i + 1, entries)), makeValue(i)),
    ],
    PER_SECOND,
  )
  await flow.begun
  // Two loops' first seconds: connections and compilation, after the loading.
  await delay(beforeMs / 2)
  const before = await spanOf(() => delay(beforeMs))
  const copies = Math.floor((PARTITIONS * (BACKUPS + 1)) / (MEMBERS + 1))
  let member = cluster.members[0]!
  bench.note('a member joins')
  const join = await spanOf(async () => {
    member = await cluster.add()
    return atRest(member, copies)
  })
  const given = await member.look()
  bench.note(`it has ${given.copies} partitions, and leaves`)
  const leave = await spanOf(() => member.leave())
  await atRest(cluster.members[0]!, PARTITIONS)
  await flow.stop()
  assert.equal(given.copies >= copies, true)
  const inSeconds = ({ fromMs, toMs }: Span): string => `${((toMs - fromMs) / 1000).toFixed(1)} s`
  bench.note(
    `joined with ${mib(given.storeBytes)} in ${given.copies} partitions in ${inSeconds(join)}, left in ${inSeconds(leave)}`,
  )
  return {
    before: flow.between(before.fromMs, before.toMs),
    join: flow.between(join.fromMs, join.toMs),
    leave: flow.between(leave.fromMs, leave.toMs),
    joinMs: join.toMs - join.fromMs,
    leaveMs: leave.toMs - leave.fromMs,
    givenBytes: given.storeBytes,
  }
}

/** `work` may tell when it really ended. */
async function spanOf(work: () => Promise<unknown>): Promise<Span> {
  const fromMs = performance.now()
  const endedMs = await work()
  return { fromMs, toMs: typeof endedMs === 'number' ? endedMs : performance.now() }
}

function addRows(bench: Bench, size: string, cycles: readonly Cycle[]): void {
  const result = (name: string, measured: readonly Measured[]): Result => resultOf(name, '', measured)
  for (const kind of ['join', 'leave'] as const) {
    for (const [i, operation] of OPERATIONS.entries()) {
      const p99s = (when: 'before' | 'join' | 'leave'): Measured[] =>
        cycles.map((cycle) => ({ value: percentilesOf([cycle[when][i]!]).p99, timesMs: cycle[when][i]! }))
      bench.addRow(
        {
          bench: `${operation} p99 ms during a ${kind} with ${size}`,
          ...{ inFlight: null, perSecond: PER_SECOND, better: 'lower' },
        },
        result('actorgrid', p99s(kind)),
        result('before', p99s('before')),
      )
    }
    const seconds = cycles.map((cycle) => ({ value: cycle[`${kind}Ms`] / 1000 }))
    bench.addRow(
      { bench: `${kind} with ${size} s`, inFlight: null, better: 'lower' },
      result('actorgrid', seconds),
      result('fixed', [{ value: 1 }]),
    )
  }
  const given = cycles.map(({ givenBytes }) => ({ value: givenBytes / 2 ** 20 }))
  bench.addRow(
    { bench: `member that joined with ${size}, store MiB`, inFlight: null, better: 'higher' },
    result('actorgrid', given),
    result('fixed', [{ value: GIVEN_BYTES / 2 ** 20 }]),
  )
}
