/**
 * How long the partitions of a killed owner take no writes: from SIGKILL to the first write that is accepted on each.
 *
 * Members have default timings and a light load. A client knows which partitions the victim owns; at the kill it puts one
 * entry into each of them, as programs do that know nothing of the kill, and notes when each is accepted. Where the parent
 * lives, it certifies the death; where it is killed too, the others wait out the silence. The log, read along, tells where
 * the time goes.
 */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { randomInt, seededRandom } from '../../src/core/base/random.ts'
import { Cluster } from './cluster.ts'
import { quantile } from './verdict.ts'

export interface FailoverOptions {
  readonly rounds: number
  readonly seed: number
  /** Kill the parents too, so that there is no certificate. */
  readonly vanish: boolean
  readonly onProgress: (text: string) => void
}

interface Round {
  /** Of each partition that the victim owned: when its write was accepted. All in milliseconds from the kill. */
  readonly acceptedMs: readonly number[]
  /** When the log, as read here, showed the death, and the first and last new owner. */
  readonly deadMs: number
  readonly ownedFirstMs: number
  readonly ownedLastMs: number
}

export interface FailoverReport {
  readonly rounds: number
  readonly partitions: number
  readonly vanish: boolean
  readonly failed: number
  readonly partition: Quantiles
  /** The last partition of each round. */
  readonly round: Quantiles
  readonly dead: Quantiles
  readonly ownedFirst: Quantiles
  readonly ownedLast: Quantiles
}

interface Quantiles {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

const MEMBERS = 3
const LOAD_LOOPS = 4
const LOAD_PAUSE_MS = 20

export async function failover(options: FailoverOptions): Promise<FailoverReport> {
  const { rounds, seed, vanish, onProgress } = options
  const folder = mkdtempSync(join(tmpdir(), 'actorgrid-failover-'))
  onProgress(`logs: ${folder}`)
  const random = seededRandom(seed)
  const names = Array.from({ length: MEMBERS }, (_, i) => `m${i + 1}`)
  const cluster = await Cluster.start(
    { folder, founders: MEMBERS, sampleEveryMs: 3_600_000, collectEvery: 1 },
    names,
  )
  const grid = await connect({ cluster: cluster.name, nats: cluster.nats, timeoutMs: 30_000 })
  const load = new LightLoad(grid)
  const keys = keyOfEach(grid)
  const done: Round[] = []
  try {
    for (let i = 0; i < rounds; i++) {
      // Not always at the same moment between two beacons.
      await delay(500 + randomInt(random, 500))
      const living = [...cluster.members.keys()]
      const victim = living[randomInt(random, living.length)]!
      const round = await killOne(cluster, grid, keys, victim, vanish)
      done.push(round)
      onProgress(
        `round ${i + 1}: ${round.acceptedMs.length} partitions of ${victim}, writable after ` +
          `${Math.min(...round.acceptedMs).toFixed(0)} to ${Math.max(...round.acceptedMs).toFixed(0)} ms ` +
          `(death in the log ${round.deadMs.toFixed(0)}, owners ${round.ownedFirstMs.toFixed(0)} to ${round.ownedLastMs.toFixed(0)})`,
      )
      await cluster.add(`m${MEMBERS + i + 1}`)
      await cluster.ledger.atRest(MEMBERS)
    }
    await load.stop()
    return {
      rounds,
      partitions: keys.size,
      vanish,
      failed: load.failed,
      partition: quantiles(done.flatMap(({ acceptedMs }) => acceptedMs)),
      round: quantiles(done.map(({ acceptedMs }) => Math.max(...acceptedMs))),
      dead: quantiles(done.map(({ deadMs }) => deadMs)),
      ownedFirst: quantiles(done.map(({ ownedFirstMs }) => ownedFirstMs)),
      ownedLast: quantiles(done.map(({ ownedLastMs }) => ownedLastMs)),
    }
  } finally {
    await load.stop()
    await grid.close()
    await cluster.close()
  }
}

async function killOne(
  cluster: Cluster,
  grid: Grid,
  keys: ReadonlyMap<number, string>,
  victim: string,
  vanish: boolean,
): Promise<Round> {
  const { id } = cluster.members.get(victim)!
  const { ledger } = cluster
  const owned = grid.partitions().filter(({ owner }) => owner?.id === id)
  const map = grid.map<string, number>('probe')
  const startedMs = performance.now()
  const sinceMs = (): number => performance.now() - startedMs
  cluster.kill(victim, vanish)
  let ownedFirstMs = 0
  const isOwner = ({ partition }: { partition: number }): boolean =>
    ledger.view.configs[partition]!.owner === id
  const [deadMs, ownedLastMs] = [
    ledger.until(({ members }) => !members.has(id)).then(sinceMs),
    ledger
      .until(() => {
        const left = owned.filter(isOwner).length
        if (ownedFirstMs === 0 && left < owned.length) ownedFirstMs = sinceMs()
        return left === 0
      })
      .then(sinceMs),
  ]
  const acceptedMs = await Promise.all(
    owned.map(({ partition }) => map.put(keys.get(partition)!, partition).then(sinceMs)),
  )
  return { acceptedMs, deadMs: await deadMs, ownedLastMs: await ownedLastMs, ownedFirstMs }
}

/** A key in each partition. */
function keyOfEach(grid: Grid): Map<number, string> {
  const keys = new Map<number, string>()
  const { length } = grid.partitions()
  for (let i = 0; keys.size < length; i++) {
    const key = `p${i}`
    const partition = grid.partitionOf(key)
    if (!keys.has(partition)) keys.set(partition, key)
  }
  return keys
}

/** Some hundred writes and reads a second, so that the members are not asleep. */
class LightLoad {
  failed = 0
  #stopping = false
  readonly #running: Promise<unknown>

  constructor(grid: Grid) {
    const map = grid.map<string, number>('light')
    this.#running = Promise.all(Array.from({ length: LOAD_LOOPS }, (_, i) => this.#loop(map, i)))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  async #loop(map: GridMap<string, number>, loop: number): Promise<void> {
    for (let i = 0; !this.#stopping; i++) {
      try {
        await map.put(`${loop}/${i % 500}`, i)
        await map.get(`${loop}/${(i * 7) % 500}`)
      } catch {
        this.failed++
      }
      await delay(LOAD_PAUSE_MS)
    }
  }
}

function quantiles(values: readonly number[]): Quantiles {
  return { p50Ms: quantile(values, 0.5), p99Ms: quantile(values, 0.99), maxMs: quantile(values, 1) }
}

export function failoverText({ rounds, partitions, vanish, failed, ...rows }: FailoverReport): string {
  const row = (name: string, { p50Ms, p99Ms, maxMs }: Quantiles): string =>
    `| ${name} | ${p50Ms.toFixed(0)} | ${p99Ms.toFixed(0)} | ${maxMs.toFixed(0)} |`
  return [
    `${rounds} owners killed ${vanish ? 'with their parents (no certificate)' : '(the parent certifies)'}, ${partitions} partitions, failed calls: ${failed}`,
    '| from SIGKILL to | p50 ms | p99 ms | max ms |',
    '| --- | --- | --- | --- |',
    row('the first accepted write of a partition', rows.partition),
    row('that of the last partition of the member', rows.round),
    row('the death in the log', rows.dead),
    row('the first new owner in the log', rows.ownedFirst),
    row('the last new owner in the log', rows.ownedLast),
  ].join('\n')
}
