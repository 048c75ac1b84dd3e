/**
 * 10 million entries on one member: bytes an entry and load rate against Redis, then the latency of get and put by an open
 * loop, and the longest time that the member's event loop did not come round, while nothing else goes on, while another
 * client overwrites entries (compaction), puts some that live for 2 seconds, and puts new ones into a bounded map.
 *
 * Beside it stands the same member with 10,000 entries, under the same load in the same rounds: what size costs shows in
 * the ratio. Stalls are measured within the member (servers/stall.ts); the longest of all rounds counts, not a median.
 */

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Bench, Part } from '../bench.ts'
import { orderOf, type Result, resultOf } from '../contest.ts'
import { addMemoryRows, type Filled, fillAndOverwrite, gridStore, inBatches, redisStore } from '../filling.ts'
import { Flow } from '../flow.ts'
import { mib, shareThatFits } from '../memory.ts'
import { start } from '../servers/child.ts'
import type { Churn, Churned, ChurnOptions } from '../servers/churn.ts'
import { type Cluster, startCluster } from '../servers/cluster.ts'
import type { Look } from '../servers/member.ts'
import { startRedis } from '../servers/redis.ts'
import type { Stalls, Turns } from '../servers/stall.ts'
import { percentilesOf } from '../statistics.ts'
import { short } from '../table.ts'
import { makeKey, makeValue, type Reading, scattered } from '../value.ts'

const ENTRIES = 10_000_000
const SMALL_ENTRIES = 10_000
/** Of either side, with what a process takes beside. */
const NEEDED_BYTES_PER_ENTRY = 300
/** More than is needed: a store that is nearly full tolerates less garbage. */
const MEMORY_BYTES_PER_ENTRY = 400
const MEMORY_MIN_BYTES = 2 ** 30
const CHURNS: readonly Churn[] = ['none', 'overwriting', 'expiry', 'eviction']
/** Gets, and as many puts. */
const PER_SECOND = 5000
const CHURN_PER_SECOND = 20_000
/** Until the first entries expire and the bounded map is full. */
const CHURN_BEFORE_MS = 3000
/** A turn is that much longer than elsewhere, and there are fewer. */
const TURN_FACTOR = 4
const ROUNDS_MAX = 3
const OWN = 'longest stall'
/** What is promised of it. */
const PROMISED_MS = 10

interface Member {
  readonly name: string
  readonly entries: number
  readonly cluster: Cluster
}

type Longest = 'ownMs' | 'wallMs' | 'collectionMs'

/** What one turn has shown. */
interface Turn {
  readonly times: readonly Float64Array[]
  readonly stalls: Stalls
}

export const largePart: Part = {
  name: 'large',
  about: '10 million entries: bytes an entry, load rate, stalls, latency under compaction, expiry, eviction',
  async run(bench) {
    const entries = entriesThatFit(bench)
    const suffix = `, ${short(entries)} entries`
    const big = await startMember(bench, 'actorgrid', entries)
    const member = big.cluster.members[0]!
    const empty = await member.collect()
    bench.note(`loading ${entries} entries, overwriting as many`)
    await member.reset()
    const ours = await fillAndOverwrite(gridStore(big.cluster), entries, entries, async () => {
      addStallRows(bench, `loading${suffix}`, [(await member.look()).stalls])
      await member.reset()
    })
    addStallRows(bench, `overwriting at full rate${suffix}`, [(await member.look()).stalls])
    addHeapRows(bench, suffix, empty, await member.collect())

    const small = await startMember(bench, `the same with ${short(SMALL_ENTRIES)} entries`, SMALL_ENTRIES)
    const store = gridStore(small.cluster)
    await inBatches(SMALL_ENTRIES, (from, to) => store.put(from, to, (i) => i))
    for (const churn of CHURNS) await compareUnder(bench, churn, [big, small], suffix)
    // It would take the memory that Redis is to have.
    await bench.close()

    const server = await bench.openRival('large', 'Redis', startRedis)
    if (server === undefined) return
    bench.note(`the same with Redis`)
    const redis = redisStore(server)
    const theirs = await fillAndOverwrite(redis, entries, entries)
    addMemoryRows(bench, suffix, ours, redis, theirs)
    addRateRows(bench, suffix, ours, redis.version, theirs)
  },
}

function entriesThatFit(bench: Bench): number {
  const wanted = Math.max(SMALL_ENTRIES, Math.round(ENTRIES * bench.settings.scale))
  const share = shareThatFits(wanted * NEEDED_BYTES_PER_ENTRY)
  if (share === 1) return wanted
  const entries = Math.floor((wanted * share) / SMALL_ENTRIES) * SMALL_ENTRIES
  const reason = `${mib(process.availableMemory())} of memory are available: ${entries} entries`
  bench.miss('large', `${wanted} entries`, reason)
  return entries
}

async function startMember(bench: Bench, name: string, entries: number): Promise<Member> {
  const maxMemoryBytes = Math.max(MEMORY_MIN_BYTES, entries * MEMORY_BYTES_PER_ENTRY)
  return {
    name,
    entries,
    cluster: await bench.open(startCluster({ members: 1, backups: 0, maxMemoryBytes })),
  }
}

async function compareUnder(
  bench: Bench,
  churn: Churn,
  members: readonly Member[],
  suffix: string,
): Promise<void> {
  bench.note(`get and put, ${PER_SECOND}/s each, ${churn === 'none' ? 'nothing else' : churn}`)
  const turns: Turn[][] = members.map(() => [])
  for (let round = 0; round <= Math.min(bench.settings.rounds, ROUNDS_MAX); round++)
    for (const index of orderOf(members.length, round)) {
      const turn = await turnOf(bench, members[index]!, churn)
      if (round > 0) turns[index]!.push(turn)
    }
  const under = `under ${churn}${suffix}`
  for (const [i, operation] of (['get', 'put'] as const).entries()) {
    const [ours, theirs] = turns.map((all, index): Result => {
      const measured = all.map(({ times }) => ({
        value: percentilesOf([times[i]!]).p99,
        timesMs: times[i]!,
      }))
      return resultOf(members[index]!.name, '', measured)
    })
    const topic = { bench: `${operation} p99 ms ${under}`, inFlight: null, perSecond: PER_SECOND } as const
    bench.addRow({ ...topic, better: 'lower' }, ours!, theirs!)
  }
  const [ours, theirs] = turns.map((all) => all.map(({ stalls }) => stalls))
  addStallRows(bench, under, ours!, theirs)
}

async function turnOf(bench: Bench, { cluster, entries }: Member, churn: Churn): Promise<Turn> {
  const map = cluster.grid.map<string, Reading>('bench')
  const member = cluster.members[0]!
  const options: ChurnOptions = { address: member.address, churn, perSecond: CHURN_PER_SECOND, entries }
  const path = fileURLToPath(new URL('../servers/churn.js', import.meta.url))
  const { child } = await start({
    name: 'the churn',
    command: process.execPath,
    args: [path, JSON.stringify(options)],
    ready: /ready/,
    ipc: true,
  })
  await delay(churn === 'none' ? 0 : CHURN_BEFORE_MS)
  await member.reset()
  const flow = new Flow(
    [
      (i) => map.get(makeKey(scattered(i, entries))),
      (i) => map.put(makeKey(scattered(i + 1, entries)), makeValue(i)),
    ],
    PER_SECOND,
  )
  await flow.begun
  await delay(bench.settings.durationMs * TURN_FACTOR)
  await flow.stop()
  const { stalls } = await member.look()
  const [[churned]] = (await Promise.all([once(child, 'message'), child.send('stop')])) as [
    [Churned],
    unknown,
  ]
  if (churn !== 'none' && churned.puts === 0) throw new Error(`there was no ${churn}`)
  if ((churn === 'expiry' || churn === 'eviction') && churned.gone === 0)
    throw new Error(`${churned.puts} entries were put, and none went by ${churn}`)
  return { times: flow.between(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY), stalls }
}

/** The longest of all. What the promise is about stands beside the fixed figure, and the rest without one. */
function addStallRows(
  bench: Bench,
  when: string,
  ours: readonly Stalls[],
  small: readonly Stalls[] | undefined = undefined,
): void {
  const longest = (all: readonly Stalls[], kind: Longest, name: string): Result =>
    resultOf(name, '', [{ value: Math.max(...all.map((stalls) => stalls[kind])) }])
  const fixed = resultOf('fixed', '', [{ value: PROMISED_MS }])
  const add = (kind: Longest, what: string, rival: Result): void =>
    bench.addRow(
      { bench: `${what} ms, ${when}`, inFlight: null, better: 'lower' },
      longest(ours, kind, 'actorgrid'),
      rival,
    )
  add('ownMs', OWN, fixed)
  if (small !== undefined)
    add('ownMs', OWN, longest(small, 'ownMs', `the same with ${short(SMALL_ENTRIES)} entries`))
  add('wallMs', 'longest stall with what others did', fixed)
  add('collectionMs', 'longest collection', fixed)
  const above = ours.reduce((sum, { above5Ms }) => sum + above5Ms, 0)
  const longestTurn = (kind: keyof Turns): string =>
    `${short(Math.max(...ours.map(({ turnsMs }) => turnsMs[kind])))} ms`
  bench.note(
    `${above} stalls above 5 ms, ${when}; longest turns: a client's frame ${longestTurn('clientFrame')}, ` +
      `a portion of housekeeping ${longestTurn('work')}, a beat ${longestTurn('tick')}`,
  )
}

function addHeapRows(bench: Bench, suffix: string, before: Look, after: Look): void {
  const heap = (name: string, { heapBytes }: Look): Result =>
    resultOf(name, '', [{ value: heapBytes / 2 ** 20 }])
  bench.addRow(
    { bench: `member's heap MiB${suffix}`, inFlight: null, better: 'lower' },
    heap('actorgrid', after),
    heap('before it was loaded', before),
  )
}

function addRateRows(bench: Bench, suffix: string, ours: Filled, version: string, theirs: Filled): void {
  for (const [kind, what] of [
    ['loadedPerSecond', 'load'],
    ['overwrittenPerSecond', 'overwrite'],
  ] as const)
    bench.addRow(
      { bench: `${what} entries/s${suffix}`, inFlight: null, better: 'higher' },
      resultOf('actorgrid', '', [{ value: ours[kind] }]),
      resultOf('ioredis MSET', version, [{ value: theirs[kind] }]),
    )
}
