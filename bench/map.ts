/**
 * `get` and `put` of one client against ioredis and Redis, in one run and round by round in turn: 10,000 keys, the
 * same values, both sides give and take decoded objects. At 1 call in flight the latency counts, above it the rate.
 */

import { makeRow, median, type Row } from './row.ts'
import { startGrid, startRedis } from './server.ts'
import { makeKey, makeValue, packr, type Reading } from './value.ts'

const KEYS = 10_000
const ROUNDS = 7
/** Calls of one round by how many are in flight; about half a second each. */
const LOADS = [
  { inFlight: 1, calls: 4000 },
  { inFlight: 64, calls: 40_000 },
  { inFlight: 512, calls: 60_000 },
] as const

/** What is promised of ours over ioredis. */
const TARGETS: Readonly<Record<string, { readonly goal: number; readonly atLeast: number }>> = {
  'get 1': { goal: 1, atLeast: 1.3 },
  'put 1': { goal: 1, atLeast: 1.3 },
  'get 512': { goal: 3, atLeast: 2 },
}

type Call = (id: number) => Promise<unknown>

export async function benchMap(note: (text: string) => void): Promise<Row[]> {
  const server = await startGrid()
  const redis = await startRedis()
  try {
    const map = server.grid.map<string, Reading>('bench')
    const keys = Array.from({ length: KEYS }, (_, id) => makeKey(id))
    const values = keys.map((_, id) => makeValue(id))
    const { client } = redis
    const sides: Readonly<Record<'put' | 'get', readonly [Call, Call]>> = {
      put: [(id) => map.put(keys[id]!, values[id]!), (id) => client.set(keys[id]!, packr.pack(values[id]!))],
      get: [
        (id) => map.get(keys[id]!),
        (id) => client.getBuffer(keys[id]!).then((bytes) => packr.unpack(bytes!) as Reading),
      ],
    }
    for (const call of sides.put) await rate(call, KEYS, 64)
    const rows: Row[] = []
    for (const operation of ['get', 'put'] as const)
      for (const { inFlight, calls } of LOADS) {
        note(`${operation}, ${inFlight} in flight`)
        rows.push(await compare(operation, sides[operation], inFlight, calls))
      }
    return rows
  } finally {
    await server.close()
    await redis.close()
  }
}

async function compare(
  operation: 'get' | 'put',
  [ours, theirs]: readonly [Call, Call],
  inFlight: number,
  calls: number,
): Promise<Row> {
  const measure = inFlight === 1 ? latency : rate
  const results: [number[], number[]] = [[], []]
  for (let round = 0; round <= ROUNDS; round++) {
    const pair = [await measure(ours, calls, inFlight), await measure(theirs, calls, inFlight)] as const
    if (round === 0) continue // warming up
    results[0].push(pair[0])
    results[1].push(pair[1])
  }
  const target = TARGETS[`${operation} ${inFlight}`]
  const bench = inFlight === 1 ? `${operation} p50 ms` : `${operation} ops/s`
  const better = inFlight === 1 ? 'lower' : 'higher'
  const { goal = null, atLeast = null } = target ?? {}
  return makeRow(
    { bench, inFlight, rival: 'ioredis', better, goal, atLeast },
    median(results[0]),
    median(results[1]),
  )
}

/** Calls a second with `inFlight` of them under way. */
async function rate(call: Call, calls: number, inFlight: number): Promise<number> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < calls) await call(next++ % KEYS)
  }
  const startMs = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  return (calls / (performance.now() - startMs)) * 1000
}

/** Median time of a call, one after the other, in milliseconds. */
async function latency(call: Call, calls: number): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < calls; i++) {
    const startMs = performance.now()
    await call((i * 7919) % KEYS)
    times.push(performance.now() - startMs)
  }
  return median(times)
}
