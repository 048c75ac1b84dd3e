/**
 * The load of a chaos cluster: two clients with connections of their own, each with a writer for every partition, so that
 * an outage of any partition is seen at once, and a third that watches. A modest closed loop, because what is to be found is
 * wrong answers, not their number: each writer thinks for a moment between its calls.
 *
 * Two maps. Counters are only ever raised (by a processor or an update); registers see every operation, and values that
 * come once. Of each partition one key is a counter and two are registers.
 */

import { PartialError } from '../../src/client/bulk.ts'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import type { Version } from '../../src/core/wire/processor.ts'
import { pick } from './chance.ts'
import { type ChaosCluster, PARTITIONS } from './cluster.ts'
import { type CallKind, type CallRecord, History } from './history.ts'
import { Progress } from './progress.ts'

export interface Value {
  readonly n: number
  readonly pad?: string
}

/** Half of all drawn values are below: a watch with this filter has its entries enter and leave all the time. */
export const HALF = 2 ** 39
const VALUES = 2 ** 40
const REGISTERS_PER_PARTITION = 2
const THINK_MIN_MS = 40
const THINK_MAX_MS = 120
/** Of one client always, and of the other where calls may fail. */
const LONG_MS = 20_000
const SHORT_MS = 1000
const ACKS_WITHIN_MS = 60_000
const SWEEP_WITHIN_MS = 30_000

/** A key as clients name it (`counters/c12`): its map, and the key in it. */
export interface LoadKey {
  readonly id: string
  readonly key: string
  readonly partition: number
  readonly isCounter: boolean
}

interface Client {
  readonly name: string
  readonly counters: GridMap<string, Value>
  readonly registers: GridMap<string, Value>
  readonly isShort: boolean
}

export class Load {
  readonly keys: readonly LoadKey[]
  /** The client that only watches. */
  readonly watcher: Grid
  /** Calls may fail: one client gives up soon, so that there are unknown outcomes. */
  mayFail = false
  history = new History()
  readonly #clients: readonly Client[]
  readonly #random: Random
  readonly #progress = new Progress()
  #acks = 0
  #stopping = true
  #failure: unknown
  #running: Promise<unknown> = Promise.resolve()
  /** What writers wait for between two calls. */
  readonly #thinking = new Set<() => void>()

  private constructor(clients: readonly Client[], watcher: Grid, keys: readonly LoadKey[], random: Random) {
    this.#clients = clients
    this.watcher = watcher
    this.keys = keys
    this.#random = random
  }

  static async on(cluster: ChaosCluster, seed: number): Promise<Load> {
    const nats = cluster.nats.urls
    const members = [...cluster.members.values()].map(({ address }) => address)
    const at = { cluster: cluster.name, timeoutMs: LONG_MS }
    const grids = await Promise.all([
      connect({ ...at, nats, name: 'a' }),
      connect({ ...at, members, name: 'b' }),
      connect({ ...at, nats, name: 'w' }),
    ])
    cluster.atEnd(() => Promise.all(grids.map((grid) => grid.close())))
    const [a, b, watcher] = grids
    const clients = [clientOf('a', a, false), clientOf('b', b, true)]
    const load = new Load(clients, watcher, keysOf(a), seededRandom(seed))
    cluster.acks = (count) => load.acks(count)
    cluster.atEnd(() => load.stop())
    return load
  }

  /** Begins to write, until `stop`. */
  start(): void {
    this.#stopping = false
    const writers = this.#clients.flatMap((client) => [
      ...Array.from({ length: PARTITIONS }, (_, partition) => this.#write(client, partition)),
      this.#look(client),
    ])
    this.#running = Promise.all(writers).catch((error) => {
      this.#failure = error
      this.#progress.happened()
    })
  }

  /** Resolves after `count` more accepted calls. */
  async acks(count: number): Promise<void> {
    const goal = this.#acks + count
    await this.#progress.until(`${count} more calls are answered`, () => this.#at(goal), ACKS_WITHIN_MS)
  }

  #at(goal: number): boolean {
    if (this.#failure !== undefined) throw this.#failure
    return this.#acks >= goal
  }

  /** Ends the writers; resolves when every call is decided. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const wake of [...this.#thinking]) wake()
    await this.#running
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Every client writes every key once more, when no other call is under way: this shows that every partition is alive,
   * and nothing that was given up before can take effect after it, because it says to each owner that it was given up.
   * Then every key is read without trust in clocks; resolves with what stands there.
   */
  async sweep(): Promise<Map<string, number | undefined>> {
    const untilMs = performance.now() + SWEEP_WITHIN_MS
    const options = { timeoutMs: SWEEP_WITHIN_MS }
    const writes = this.#clients.flatMap((client) =>
      this.keys.map((key) =>
        key.isCounter ? this.#add(client, key, options, 'invoke') : this.#put(client, key, options),
      ),
    )
    await Promise.all(writes)
    if (performance.now() > untilMs) throw new Error('a write after the recovery took too long')
    const values = new Map<string, number | undefined>()
    const confirmed = { ...options, consistency: 'confirmed' } as const
    await Promise.all(
      this.keys.map(async (key) => values.set(key.id, await this.#get(this.#clients[0]!, key, confirmed))),
    )
    await Promise.all(this.keys.map((key) => this.#get(this.#clients[1]!, key, options)))
    return values
  }

  // ---- writers

  async #write(client: Client, partition: number): Promise<void> {
    const keys = this.keys.filter((key) => key.partition === partition)
    for (await this.#think(); !this.#stopping; await this.#think())
      await this.#attempt(() => this.#one(client, pick(this.#random, keys)))
  }

  /** Calls that are about more than one partition. */
  async #look(client: Client): Promise<void> {
    for (await this.#think(10); !this.#stopping; await this.#think(10)) {
      const draw = randomInt(this.#random, 10)
      if (draw < 4) await this.#attempt(() => this.#getAll(client))
      else if (draw < 8) await this.#attempt(() => this.#putAll(client))
      else await this.#attempt(() => this.#query(client))
    }
  }

  /** A failed call is in the history already; only what is no failure of a call ends the run. */
  async #attempt(call: () => Promise<unknown>): Promise<void> {
    try {
      await call()
      this.#acks++
      this.#progress.happened()
    } catch (error) {
      if (!(error instanceof GridError)) throw error
    }
  }

  #think(times = 1): Promise<void> {
    const timeMs = times * (THINK_MIN_MS + this.#random.next() * (THINK_MAX_MS - THINK_MIN_MS))
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#thinking.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, timeMs)
      this.#thinking.add(wake)
    })
  }

  // ---- calls

  #one(client: Client, key: LoadKey): Promise<unknown> {
    const options = this.#deadline(client)
    const draw = randomInt(this.#random, 100)
    if (key.isCounter) {
      if (draw < 45) return this.#add(client, key, options, 'invoke')
      if (draw < 75) return this.#add(client, key, options, 'increment')
      return this.#get(client, key, options)
    }
    if (draw < 30) return this.#put(client, key, options)
    if (draw < 40) return this.#putIfAbsent(client, key, options)
    if (draw < 50) return this.#replace(client, key, options)
    if (draw < 60) return this.#replaceVersion(client, key, options)
    if (draw < 72) return this.#remove(client, key, options)
    if (draw < 80) return this.#add(client, key, options, 'invoke')
    if (draw < 85) return this.#add(client, key, options, 'increment')
    return this.#get(client, key, options)
  }

  #deadline(client: Client): { readonly timeoutMs: number } {
    return { timeoutMs: client.isShort && this.mayFail ? SHORT_MS : LONG_MS }
  }

  #record<T>(
    client: Client,
    key: LoadKey,
    kind: CallKind,
    argument: number,
    make: () => Promise<T>,
    result: (answer: T) => number | undefined,
    expected?: number,
  ): Promise<T> {
    const call = { client: client.name, key: key.id, partition: key.partition, kind, argument, expected }
    return this.history.record(call, make, result)
  }

  #draw(): Value & { readonly pad: string } {
    return { n: 1 + randomInt(this.#random, VALUES), pad: 'x'.repeat(randomInt(this.#random, 200)) }
  }

  #get(client: Client, key: LoadKey, options: object): Promise<number | undefined> {
    const read = async (): Promise<number | undefined> => (await mapOf(client, key).get(key.key, options))?.n
    return this.#record(client, key, 'get', 0, read, (n) => n)
  }

  #put(client: Client, key: LoadKey, options: object): Promise<void> {
    const value = this.#draw()
    const put = (): Promise<void> => mapOf(client, key).put(key.key, value, options)
    return this.#record(client, key, 'put', value.n, put, () => undefined)
  }

  #putIfAbsent(client: Client, key: LoadKey, options: object): Promise<boolean> {
    const value = this.#draw()
    const put = (): Promise<boolean> => mapOf(client, key).putIfAbsent(key.key, value, options)
    return this.#record(client, key, 'putIfAbsent', value.n, put, Number)
  }

  #replace(
    client: Client,
    key: LoadKey,
    options: object,
    ifVersion?: Version,
    expected?: number,
  ): Promise<boolean> {
    const value = this.#draw()
    const kind = ifVersion === undefined ? 'replace' : 'replaceVersion'
    const replace = (): Promise<boolean> =>
      mapOf(client, key).replace(key.key, value, {
        ...options,
        ...(ifVersion === undefined ? {} : { ifVersion }),
      })
    return this.#record(client, key, kind, value.n, replace, Number, expected)
  }

  /** Reads, thinks, and replaces what it has read, if that still stands there. */
  async #replaceVersion(client: Client, key: LoadKey, options: object): Promise<void> {
    const read = () => mapOf(client, key).getEntry(key.key, options)
    const entry = await this.#record(client, key, 'getEntry', 0, read, (found) => found?.value.n)
    if (entry === undefined) return
    if (this.#random.next() < 0.5) await this.#think()
    await this.#replace(client, key, this.#deadline(client), entry.version, entry.value.n)
  }

  #remove(client: Client, key: LoadKey, options: object): Promise<boolean> {
    return this.#record(client, key, 'remove', 0, () => mapOf(client, key).remove(key.key, options), Number)
  }

  #add(client: Client, key: LoadKey, options: object, kind: 'invoke' | 'increment'): Promise<unknown> {
    const by = this.#draw().n
    const map = mapOf(client, key)
    const add =
      kind === 'invoke'
        ? () => map.invoke(key.key, 'add', by, options) as Promise<number>
        : async () => (await map.update(key.key, { $inc: { n: by } }, options)).n
    return this.#record(client, key, kind, by, add, (n) => n)
  }

  // ---- calls about many keys: each key has a record, all from the same start

  async #getAll(client: Client): Promise<void> {
    const keys = this.#some()
    const records = keys.map((key) => this.#begin(client, key, 'get', 0))
    const all = client.registers.getAll(
      keys.map(({ key }) => key),
      this.#deadline(client),
    )
    await this.#settle(keys, records, all, (i, found) => (found as Map<string, Value>).get(keys[i]!.key)?.n)
  }

  async #putAll(client: Client): Promise<void> {
    const keys = this.#some()
    const values = keys.map(() => this.#draw())
    const records = keys.map((key, i) => this.#begin(client, key, 'put', values[i]!.n))
    const entries = keys.map(({ key }, i) => [key, values[i]!] as const)
    await this.#settle(
      keys,
      records,
      client.registers.putAll(entries, this.#deadline(client)),
      () => undefined,
    )
  }

  /** A query answers for every key: those that are not among the rows are not there. */
  async #query(client: Client): Promise<void> {
    const keys = this.keys.filter(({ isCounter }) => !isCounter)
    const records = keys.map((key) => this.#begin(client, key, 'get', 0))
    const rows = client.registers.query(this.#deadline(client))
    const values = rows.then((found) => new Map(found.map(({ key, value }) => [key, value])))
    await this.#settle(
      keys,
      records,
      values,
      (i, found) => (found as Map<string, Value>).get(keys[i]!.key)?.n,
    )
  }

  #some(): LoadKey[] {
    return this.keys.filter(({ isCounter }) => !isCounter && this.#random.next() < 0.1)
  }

  #begin(client: Client, key: LoadKey, kind: CallKind, argument: number): CallRecord {
    const call = { client: client.name, key: key.id, partition: key.partition, kind, argument }
    return this.history.begin(call)
  }

  async #settle(
    keys: readonly LoadKey[],
    records: readonly CallRecord[],
    all: Promise<unknown>,
    result: (i: number, found: unknown) => number | undefined,
  ): Promise<void> {
    try {
      const found = await all
      records.forEach((record, i) => {
        this.history.end(record, result(i, found))
      })
    } catch (error) {
      keys.forEach(({ key }, i) => {
        const outcome = error instanceof PartialError ? error.outcomes.get(key) : undefined
        const isPart = outcome !== undefined
        if (outcome?.ok !== true) this.history.fail(records[i]!, outcome?.error ?? error, isPart || i === 0)
        else this.history.end(records[i]!, (outcome.value as Value | undefined)?.n)
      })
      throw error
    }
  }
}

function mapOf(client: Client, { isCounter }: LoadKey): GridMap<string, Value> {
  return isCounter ? client.counters : client.registers
}

function clientOf(name: string, grid: Grid, isShort: boolean): Client {
  const counters = grid.map<string, Value>('counters')
  return { name, counters, registers: grid.map<string, Value>('registers'), isShort }
}

/** The keys of the load: as many of each kind in each partition. */
function keysOf(grid: Grid): LoadKey[] {
  const keys: LoadKey[] = []
  const missing = Array.from({ length: PARTITIONS }, () => ({
    counters: 1,
    registers: REGISTERS_PER_PARTITION,
  }))
  for (let i = 0; keys.length < PARTITIONS * (1 + REGISTERS_PER_PARTITION); i++) {
    const key = `k${i}`
    const partition = grid.partitionOf(key)
    const lacks = missing[partition]!
    const isCounter = lacks.counters > 0
    if (!isCounter && lacks.registers === 0) continue
    if (isCounter) lacks.counters--
    else lacks.registers--
    keys.push({ id: `${isCounter ? 'counters' : 'registers'}/${key}`, key, partition, isCounter })
  }
  return keys
}
