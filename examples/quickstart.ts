/**
 * The quickstart: real flight records stream through a cluster while one member is killed and another one joins.
 *
 * Every flight goes into a map; an entry processor keeps rolling statistics of each airport; a continuous query
 * raises airports whose average delay passes a threshold; queries answer while it runs. At the end everything is
 * compared, number by number, with a plain computation in one process. One difference, or one call whose fate is not
 * known, and the exit code is 1.
 *
 * `npm run quickstart` (with `-- --embedded`: all members inside one process).
 */

import { isDeepStrictEqual } from 'node:util'
import type { Grid, GridMap } from 'actorgrid'
import { type Airport, recordDeparture } from './airport-statistics.js'
import { type ExampleCluster, startCluster } from './support/cluster.js'
import { computePlainly, departureOf, type Flight, readAirports, readFlights } from './support/flights.js'
import { Latencies, Progress } from './support/report.js'

const IN_FLIGHT = 256
/** An airport is raised when its departures are, on average, later than this. */
const RAISE_ABOVE_MINUTES = 12
const RAISE_FROM_DEPARTURES = 30
const KILL_AT = 0.5
const JOIN_AT = 0.75
const SETTLE_MS = 30_000

const raised = { delayMean: { $gt: RAISE_ABOVE_MINUTES }, departures: { $gte: RAISE_FROM_DEPARTURES } }

async function main(): Promise<boolean> {
  const flights = readFlights()
  const airports = readAirports()
  const cluster = await startCluster({
    members: 3,
    backups: 1,
    module: import.meta.resolve('./airport-statistics.js'),
    processors: [recordDeparture],
    embedded: process.argv.includes('--embedded'),
  })
  try {
    print(`cluster      ${cluster.kind}: ${cluster.names.join(', ')}`)
    return await run(cluster, flights, airports)
  } finally {
    await cluster.close()
  }
}

async function run(
  cluster: ExampleCluster,
  flights: readonly Flight[],
  airports: Map<string, Airport>,
): Promise<boolean> {
  const { grid } = cluster
  const stored = grid.map<number, Flight>('flights')
  const statistics = grid.map<string, Airport>('airports')
  const expected = computePlainly(flights, airports)
  for (const [iata, airport] of expected.airports)
    if (!airports.has(iata)) airports.set(iata, { ...airport, ...emptyCounts })
  await statistics.putAll(airports)

  const times = { put: new Latencies(), invoke: new Latencies(), query: new Latencies() }
  const { beside, failed } = workBeside()
  const watching = watchRaised(statistics, beside)
  const progress = new Progress(flights.length)
  let failover: Promise<string> | undefined
  let joined: Promise<string> | undefined
  let querying: Promise<void> | undefined

  const startMs = performance.now()
  const streaming = inParallel(flights, IN_FLIGHT, async (flight, number, done) => {
    await times.put.time(() => stored.put(number, flight))
    if (flight.origin !== undefined) {
      const { origin } = flight
      await times.invoke.time(() => statistics.invoke(origin, recordDeparture, departureOf(flight, number)))
    }
    progress.update(done, `${watching.airports.size} airports raised`)
    if (failover === undefined && done >= flights.length * KILL_AT) {
      const victim = cluster.names[0]!
      failover = beside(startFailover(cluster, victim, progress))
    }
    if (joined === undefined && done >= flights.length * JOIN_AT)
      joined = beside(
        cluster.add().then((name) => {
          progress.say(`${name} has joined`)
          return name
        }),
      )
    if (querying === undefined)
      querying = beside(
        queryOnce(statistics, stored, times.query).finally(() => {
          querying = undefined
        }),
      )
  })
  await Promise.race([streaming, failed])
  const seconds = (performance.now() - startMs) / 1000
  await querying
  const newcomer = await joined!
  const owned = await untilOwner(grid, newcomer)

  print(`flights      ${flights.length} in ${seconds.toFixed(1)} s`)
  print(`throughput   ${Math.round((times.put.count + times.invoke.count) / seconds)} writes/s`)
  print(`put          ${times.put}`)
  print(`invoke       ${times.invoke}`)
  print(`query        ${times.query}`)
  print(`failover     ${await failover!}`)
  print(`newcomer     ${newcomer} owns ${owned} partitions`)
  if (owned === 0) print('DIFFERENT    the newcomer has been given nothing')
  return (await compare(stored, statistics, expected, watching)) && owned > 0
}

const emptyCounts = { departures: 0, delaySum: 0, delayMax: 0, delayMean: 0, distanceSum: 0, recent: [] }

/** Calls `work` for each item, `width` at a time; `done` counts the items whose work has been begun before. */
async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T, index: number, done: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let done = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++
      await work(items[index]!, index, done + 1)
      done++
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
}

type Beside = <T>(work: Promise<T>) => Promise<T>

/** Keeps an eye on work that goes on beside the stream: `failed` rejects as soon as any of it does. */
function workBeside(): { readonly beside: Beside; readonly failed: Promise<never> } {
  let fail: ((reason: unknown) => void) | undefined
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => {}) // whoever awaits it hears of it
  const beside: Beside = (work) => {
    work.catch(fail)
    return work
  }
  return { beside, failed }
}

/** Kills a member, then writes to each partition that it owned and times the first write that is accepted. */
async function startFailover(cluster: ExampleCluster, victim: string, progress: Progress): Promise<string> {
  const { grid } = cluster
  const probes = grid.map<number, string>('probes')
  const keys = keysOfPartitions(grid, victim)
  const killedMs = cluster.kill(victim)
  progress.say(`${victim} has been killed; it owned ${keys.length} partitions`)
  const times = new Latencies()
  const writes = keys.map(async (key) => {
    await probes.put(key, victim)
    times.add(performance.now() - killedMs)
  })
  await Promise.all(writes)
  return `of ${victim}, kill to first accepted write: ${times}`
}

/** One key in each partition that the member owns. */
function keysOfPartitions(grid: Grid, name: string): number[] {
  const wanted = new Set(
    grid
      .partitions()
      .filter((p) => p.owner?.name === name)
      .map((p) => p.partition),
  )
  const keys: number[] = []
  for (let key = 0; wanted.size > 0; key++) if (wanted.delete(grid.partitionOf(key))) keys.push(key)
  return keys
}

async function queryOnce(
  statistics: GridMap<string, Airport>,
  stored: GridMap<number, Flight>,
  times: Latencies,
): Promise<void> {
  await times.time(() =>
    statistics.query({ where: { departures: { $gte: 10 } }, orderBy: [['delayMean', 'desc']], limit: 5 }),
  )
  await times.time(() => stored.query({ where: { delay: { $gt: 600 } }, limit: 100 }))
}

interface Watching {
  /** The airports that are raised at this moment. */
  readonly airports: ReadonlySet<string>
  /** Resolves when the airports are just these, or rejects after a while. */
  until(wanted: ReadonlySet<string>): Promise<boolean>
}

/** Follows the continuous query from now on. */
function watchRaised(statistics: GridMap<string, Airport>, beside: Beside): Watching {
  const airports = new Set<string>()
  let check: (() => void) | undefined
  const follow = async (): Promise<void> => {
    for await (const change of statistics.watch({ where: raised, initial: true })) {
      switch (change.type) {
        case 'snapshot':
        case 'put':
          airports.add(change.key)
          break
        case 'remove':
        case 'leave':
          airports.delete(change.key)
          break
        default: // every entry of a partition is gone, or not known any more
          for (const iata of airports) if (change.covers(iata)) airports.delete(iata)
      }
      check?.()
    }
  }
  const followed = beside(follow())
  return {
    airports,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => resolve(false), SETTLE_MS)
        check = () => {
          if (wanted.size !== airports.size || [...wanted].some((iata) => !airports.has(iata))) return
          clearTimeout(timer)
          resolve(true)
        }
        followed.catch(reject)
        check()
      }),
  }
}

/** Waits until the member owns partitions and their number has come to rest; returns it. */
async function untilOwner(grid: Grid, name: string): Promise<number> {
  const deadlineMs = performance.now() + SETTLE_MS
  let owned = 0
  for (let restingSinceMs = performance.now(); performance.now() < deadlineMs; ) {
    const now = grid.partitions().filter((p) => p.owner?.name === name).length
    if (now !== owned) restingSinceMs = performance.now()
    owned = now
    if (owned > 0 && performance.now() - restingSinceMs > 1000) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return owned
}

/** Compares all that the grid holds with the plain computation; prints both sides. */
async function compare(
  stored: GridMap<number, Flight>,
  statistics: GridMap<string, Airport>,
  expected: ReturnType<typeof computePlainly>,
  watching: Watching,
): Promise<boolean> {
  const differences: string[] = []
  const row = (what: string, grid: unknown, plain: unknown): void => {
    print(`${what.padEnd(34)} grid ${String(grid).padEnd(12)} plain ${plain}`)
    if (grid !== plain) differences.push(what)
  }
  let flights = 0
  let delaySum = 0
  for await (const [, flight] of stored.entries()) {
    flights++
    delaySum += flight.delay
  }
  let equal = 0
  let departures = 0
  for await (const [iata, airport] of statistics.entries()) {
    departures += airport.departures
    const plain = expected.airports.get(iata)
    if (isDeepStrictEqual(airport, plain)) equal++
    else differences.push(`${iata}: grid ${JSON.stringify(airport)}, plain ${JSON.stringify(plain)}`)
  }
  const plain = [...expected.airports.values()]
  row('flights', flights, expected.flights)
  row('flights by size()', await stored.size(), expected.flights)
  row('sum of delays, minutes', delaySum, expected.delaySum)
  row(
    'departures counted at airports',
    departures,
    plain.reduce((sum, airport) => sum + airport.departures, 0),
  )
  row('airports with equal statistics', equal, expected.airports.size)
  const shouldBeRaised = new Set(
    [...expected.airports].filter(([, airport]) => isRaised(airport)).map(([iata]) => iata),
  )
  const settled = await watching.until(shouldBeRaised)
  row('airports raised', watching.airports.size, shouldBeRaised.size)
  if (!settled) differences.push('airports raised')
  printWorst(expected.airports, watching.airports)
  for (const difference of differences.slice(0, 20)) print(`DIFFERENT    ${difference}`)
  print(differences.length === 0 ? 'all equal' : `${differences.length} differences`)
  return differences.length === 0
}

function isRaised({ delayMean, departures }: Airport): boolean {
  return delayMean > RAISE_ABOVE_MINUTES && departures >= RAISE_FROM_DEPARTURES
}

function printWorst(airports: ReadonlyMap<string, Airport>, shown: ReadonlySet<string>): void {
  const worst = [...shown].map((iata) => ({ iata, airport: airports.get(iata)! }))
  worst.sort((a, b) => b.airport.delayMean - a.airport.delayMean)
  for (const { iata, airport } of worst.slice(0, 5))
    print(
      `  ${iata} ${airport.city}: ${airport.delayMean.toFixed(1)} min over ${airport.departures} departures`,
    )
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

main().then(
  (equal) => process.exit(equal ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`\n${error instanceof Error ? (error.stack ?? error.message) : error}\n`)
    process.exit(1)
  },
)
