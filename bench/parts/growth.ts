/**
 * What an operation costs in processor time, at the client and at all members together, in clusters of 1 to 5 members and
 * 271 to 4,096 partitions, each against the smallest cluster of its kind in the same rounds; and what members take when
 * nobody asks them for anything. Time on a processor is the processes' own account, all threads; what the system does for
 * them on loopback is in it, the nats-server is not.
 */

import type { Bench, Part } from '../bench.ts'
import { orderOf, type Result, resultOf } from '../contest.ts'
import { rate } from '../load.ts'
import { type Cluster, type ClusterOptions, startCluster } from '../servers/cluster.ts'
import { keys, type Reading, values } from '../value.ts'

const IN_FLIGHT = 512
const OPERATIONS = ['get', 'put'] as const
type Operation = (typeof OPERATIONS)[number]

interface Shape {
  readonly members: number
  readonly partitionCount: number
}
interface Family {
  readonly backups: number
  readonly base: Shape
  readonly others: readonly Shape[]
}

const shape = (members: number, partitionCount: number): Shape => ({ members, partitionCount })
const FAMILIES: readonly Family[] = [
  {
    backups: 0,
    base: shape(1, 271),
    others: [
      ...[2, 3, 4, 5].map((members) => shape(members, 271)),
      shape(1, 1024),
      shape(1, 4096),
      shape(5, 4096),
    ],
  },
  { backups: 1, base: shape(2, 271), others: [shape(5, 271), shape(2, 4096), shape(5, 4096)] },
]

/** Microseconds an operation. */
interface Cost {
  readonly client: number
  readonly members: number
}

export const growthPart: Part = {
  name: 'growth',
  about: 'processor time an operation with 1 to 5 members and 271 to 4,096 partitions',
  isLong: true,
  async run(bench) {
    for (const { backups, base, others } of FAMILIES) {
      const smallest = await startWarm(bench, { ...base, backups })
      try {
        for (const other of others) {
          const cluster = await startWarm(bench, { ...other, backups })
          await compare(bench, backups, [other, base], [cluster, smallest]).finally(cluster.close)
        }
      } finally {
        await smallest.close()
      }
    }
  },
}

/** With all keys, and with code that has been compiled: members of a larger cluster have each seen less of it. */
async function startWarm(bench: Bench, options: ClusterOptions): Promise<Cluster> {
  const cluster = await startCluster(options)
  const map = cluster.grid.map<string, Reading>('bench')
  await map.putAll(keys.map((key, i) => [key, values[i]!] as const))
  const warmUpMs = (bench.settings.warmUpMs / 10) * options.members
  await rate((id) => map.get(keys[id]!), IN_FLIGHT, warmUpMs)
  await rate((id) => map.put(keys[id]!, values[id]!), IN_FLIGHT, warmUpMs)
  return cluster
}

const textOf = ({ members, partitionCount }: Shape): string =>
  `${members} ${members === 1 ? 'member' : 'members'}, ${partitionCount} partitions`

async function compare(
  bench: Bench,
  backups: number,
  shapes: readonly Shape[],
  clusters: readonly Cluster[],
): Promise<void> {
  const when = `${textOf(shapes[0]!)}${backups === 0 ? '' : ', 1 backup'}`
  const addRow = (name: string, inFlight: number | null, values: readonly (readonly number[])[]): void => {
    const [ours, theirs] = values.map((rounds, i): Result => {
      const measured = rounds.map((value) => ({ value }))
      return resultOf(i === 0 ? 'actorgrid' : textOf(shapes[1]!), '', measured)
    })
    bench.addRow({ bench: name, inFlight, better: 'lower' }, ours!, theirs!)
  }
  const idle = await inRounds(bench, clusters, (cluster) => idleOf(cluster, bench.settings.durationMs))
  addRow(`members' processor time ms/s idle, ${when}`, null, idle)
  for (const operation of OPERATIONS) {
    bench.note(`${operation}, ${when}`)
    const costs = await inRounds(bench, clusters, (cluster) =>
      costOf(cluster, operation, bench.settings.durationMs),
    )
    for (const [who, name] of [
      ['client', "client's"],
      ['members', "members'"],
    ] as const)
      addRow(
        `${name} processor time µs/${operation}, ${when}`,
        IN_FLIGHT,
        costs.map((all) => all.map((cost) => cost[who])),
      )
  }
}

/** What was measured of each cluster, which take turns; the first round warms up. */
async function inRounds<T>(
  bench: Bench,
  clusters: readonly Cluster[],
  measure: (cluster: Cluster) => Promise<T>,
): Promise<T[][]> {
  const measured: T[][] = clusters.map(() => [])
  for (let round = 0; round <= bench.settings.rounds; round++)
    for (const index of orderOf(clusters.length, round)) {
      const value = await measure(clusters[index]!)
      if (round > 0) measured[index]!.push(value)
    }
  return measured
}

async function costOf(cluster: Cluster, operation: Operation, durationMs: number): Promise<Cost> {
  const map = cluster.grid.map<string, Reading>('bench')
  let operations = 0
  const call = (id: number): Promise<unknown> => {
    operations++
    return operation === 'get' ? map.get(keys[id]!) : map.put(keys[id]!, values[id]!)
  }
  const membersMs = await processorMs(cluster)
  const client = process.cpuUsage()
  await rate(call, IN_FLIGHT, durationMs)
  const { user, system } = process.cpuUsage(client)
  const members = (await processorMs(cluster)) - membersMs
  return { client: (user + system) / operations, members: (members * 1000) / operations }
}

async function idleOf(cluster: Cluster, durationMs: number): Promise<number> {
  const startMs = performance.now()
  const membersMs = await processorMs(cluster)
  await new Promise((resolve) => setTimeout(resolve, durationMs))
  const members = (await processorMs(cluster)) - membersMs
  return (members / (performance.now() - startMs)) * 1000
}

async function processorMs({ members }: Cluster): Promise<number> {
  const times = await Promise.all(members.map((member) => member.processorMs()))
  return times.reduce((sum, timeMs) => sum + timeMs, 0)
}
