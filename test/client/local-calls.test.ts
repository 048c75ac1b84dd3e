/** Which reads a client asks the member in its own process for, in what order, and what it makes of the answers. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { ByteWriter } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { decodeKey, type Key } from '../../src/core/wire/key.ts'
import type { LocalReader } from '../../src/core/wire/local-reader.ts'
import { type CallView, Operation, ReplyStatus, type ReplyView } from '../../src/core/wire/message.ts'
import { encodeValue } from '../../src/core/wire/value.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { FakeCluster } from './fake-cluster.ts'

interface Asked {
  readonly partition: number
  readonly epoch: number
  readonly operation: number
  readonly map: number
  readonly key: Key
}

/** Stands for the first member: answers with what the test has given it, or not. */
class FakeReader implements LocalReader {
  readonly asked: Asked[] = []
  /** Undefined: it refuses. */
  payload: Buffer | undefined
  position = { era: 0, epoch: 1, seq: 1000 }
  readonly #cluster: FakeCluster

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster
  }

  get id(): string {
    return this.#cluster.members[0]!.id
  }

  set value(value: unknown) {
    const w = new ByteWriter(64)
    encodeValue(w, value, defaultLimits)
    this.payload = Buffer.from(w.take())
  }

  readLocal(call: CallView, answer: ReplyView): boolean {
    const { partition, epoch, operation, map, bytes, keyStart, keyEnd } = call
    this.asked.push({ partition, epoch, operation, map, key: decodeKey(bytes, keyStart, keyEnd) })
    const { payload } = this
    if (payload === undefined) return false
    const rest = { bytes: payload, payloadStart: 0, payloadEnd: payload.length }
    Object.assign(answer, { partition, call: 0, status: ReplyStatus.ok, ...this.position, ...rest })
    return true
  }
}

let cluster: FakeCluster
let network: LoopbackNetwork
let reader: FakeReader
let grid: Grid
let map: GridMap<string, unknown>
/** In a partition of the member here, and in one of another. */
let here: string
let elsewhere: string

beforeEach(async () => {
  network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport())
  await cluster.add()
  await cluster.add()
  reader = new FakeReader(cluster)
  const members = [cluster.members[0]!.address]
  grid = await connect({ cluster: 'test', members, local: reader, transport: network.transport() })
  map = grid.map('m')
  here = cluster.keyIn(0)
  elsewhere = cluster.keyIn(1)
  expect(cluster.partitions[0]!.owner).toBe(cluster.members[0])
  expect(cluster.partitions[1]!.owner).toBe(cluster.members[1])
  await map.put(here, 'link')
  await map.put(elsewhere, 'link')
  cluster.calls.length = 0
  reader.value = 'local'
})

afterEach(async () => {
  await grid.close()
  await cluster.close()
})

/** Operations on partition 0 that went over a link. */
const sent = (): number[] =>
  cluster.calls.filter(({ partition }) => partition === 0).map(({ operation }) => operation)

describe('a read of what the member here owns', () => {
  test('is answered by it, and nothing is sent', async () => {
    const { calls } = grid.metrics
    expect(await map.get(here)).toBe('local')
    reader.payload = Buffer.alloc(0)
    expect(await map.get(here)).toBe(undefined)
    reader.payload = Buffer.from([1])
    expect(await map.has(here)).toBe(true)
    reader.payload = Buffer.from('e876481700000a000000000007', 'hex')
    expect(await map.getEntry(here)).toEqual({ key: here, value: 7, version: '0.10', expiresAt: 0x174876e8 })
    reader.value = 'of many'
    expect(await map.getAll([here])).toEqual(new Map([[here, 'of many']]))
    expect(cluster.calls).toEqual([])
    const common = { partition: 0, epoch: 1, map: 1, key: here }
    expect(reader.asked).toEqual(
      [Operation.get, Operation.get, Operation.has, Operation.getEntry, Operation.get].map((operation) => ({
        ...common,
        operation,
      })),
    )
    expect(grid.metrics).toMatchObject({ localReads: 5, calls: calls + 5 })
    expect(grid.pendingCalls).toBe(0)
  })

  test('goes over the link where it is refused', async () => {
    reader.payload = undefined
    expect(await map.get(here)).toBe('link')
    expect(reader.asked).toHaveLength(1)
    expect(grid.metrics.localReads).toBe(0)
  })

  test('goes over the link where the map has no number yet', async () => {
    expect(await grid.map('other').get(here)).toBe(undefined)
    expect(reader.asked).toEqual([])
  })

  test('goes over the link where the caller trusts no clock', async () => {
    expect(await map.get(here, { consistency: 'confirmed' })).toBe('link')
    expect(reader.asked).toEqual([])
    expect(await map.get(here, { consistency: 'lease', timeoutMs: 1000 })).toBe('local')
  })

  test('fails as any other where it is called wrongly', async () => {
    await expect(map.get(Number.NaN as never)).rejects.toMatchObject({ code: 'BAD_KEY' })
    await expect(map.get(here, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(map.get(here, { timeout: 1 } as never)).rejects.toMatchObject({ code: 'BAD_OPTION' })
    reader.payload = Buffer.from([0xc1])
    await expect(map.get(here)).rejects.toMatchObject({ code: 'MALFORMED' })
    await grid.close()
    await expect(map.get(here)).rejects.toMatchObject({ code: 'CLOSED' })
    expect(reader.asked).toHaveLength(1)
  })

  test('by a getter of a value that is being written is refused', async () => {
    let inner: Promise<unknown> | undefined
    const value = {
      get n() {
        inner = map.get(here)
        inner.catch(() => {})
        return 1
      },
    }
    await map.put(elsewhere, value)
    await expect(inner).rejects.toMatchObject({ code: 'BAD_VALUE' })
  })

  test('is kept by a near cache as one over the link is', async () => {
    const near = grid.map<string, unknown>('m', { nearCache: {} })
    expect(await near.get(here)).toBe('local')
    expect(near.nearCacheStats).toMatchObject({ hits: 0, misses: 1 })
  })
})

describe('a read of anything else is not asked for here', () => {
  test('of a partition that another member owns', async () => {
    expect(await map.get(elsewhere)).toBe('link')
    expect(reader.asked).toEqual([])
  })

  test('of a partition that has moved away, as soon as this client knows', async () => {
    expect(await map.get(here)).toBe('local')
    cluster.move(0, cluster.members[1])
    const events = grid.events()
    cluster.pushView()
    await events.next()
    expect(await map.get(here)).toBe('link')
    expect(reader.asked).toHaveLength(1)
    cluster.move(0, cluster.members[0])
    cluster.pushView()
    await events.next()
    reader.position = { ...reader.position, epoch: 3 }
    expect(await map.get(here)).toBe('local')
    expect(reader.asked.at(-1)).toMatchObject({ epoch: 3 })
  })

  test('calls on a whole partition, and writes', async () => {
    await map.size()
    await map.putIfAbsent(here, 1)
    await map.remove(here)
    expect(reader.asked).toEqual([])
  })
})

describe('the order of calls on one key', () => {
  test('a read behind a write that is not answered goes the way of the write', async () => {
    const put = map.put(here, 'mine')
    const read = map.get(here)
    expect(reader.asked).toEqual([])
    expect(await Promise.all([put, read])).toEqual([undefined, 'mine'])
    expect(sent()).toEqual([Operation.put, Operation.get])
    expect(await map.get(here)).toBe('local')
  })

  test('and so does a read behind a read', async () => {
    reader.payload = undefined
    const first = map.get(here)
    reader.value = 'local'
    expect(await map.get(here)).toBe('link')
    expect(await first).toBe('link')
    expect(reader.asked).toHaveLength(1)
  })

  test('calls on other partitions stand in nobody’s way', async () => {
    const put = map.put(elsewhere, 'mine')
    expect(await map.get(here)).toBe('local')
    await put
  })

  test('behind a write that was given up, a read is not answered here until one over the link has been', async () => {
    cluster.intercept = ({ operation }) => (operation === Operation.put ? 'drop' : undefined)
    const giveUp = new AbortController()
    const put = map.put(here, 'mine', { signal: giveUp.signal })
    await cluster.until(() => sent().length === 1)
    giveUp.abort()
    await expect(put).rejects.toMatchObject({ code: 'ABORTED', applied: 'unknown' })
    expect(grid.pendingCalls).toBe(0)
    expect(await map.get(here)).toBe('link')
    expect(reader.asked).toEqual([])
    expect(await map.get(here)).toBe('local')
    expect(sent()).toEqual([Operation.put, Operation.get])
  })

  test('what a backup answers says nothing of a write that was given up', async () => {
    cluster.partitions[0]!.backups = [cluster.members[1]!]
    cluster.version++
    cluster.pushView()
    cluster.intercept = ({ operation }) => (operation === Operation.put ? 'drop' : undefined)
    const giveUp = new AbortController()
    const put = map.put(here, 'mine', { signal: giveUp.signal })
    await cluster.until(() => sent().length === 1)
    giveUp.abort()
    await expect(put).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await map.get(here, { read: 'any' })).toBe('link')
    expect(grid.metrics.backupReads).toBe(1)
    expect(await map.get(here)).toBe('link')
    expect(reader.asked).toEqual([])
  })

  test('behind a call that is not answered a read goes the way of it, though a later one has been', async () => {
    cluster.intercept = ({ operation }) => (operation === Operation.put ? 'drop' : undefined)
    const put = map.put(here, 'mine')
    expect(await map.get(here)).toBe('link')
    expect(await map.get(here)).toBe('link')
    expect(reader.asked).toEqual([])
    await grid.close()
    await expect(put).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('behind a write that was refused for good, a read is answered here', async () => {
    await expect(map.replace(here, 'x', { ifVersion: '0.1' as never })).resolves.toBe(false)
    await expect(map.invoke(here, 'nobody')).rejects.toMatchObject({ code: 'UNKNOWN_PROCESSOR' })
    expect(await map.get(here)).toBe('local')
  })
})

describe('what this client has seen', () => {
  test('an answer from before it is not taken', async () => {
    cluster.partitions[0]!.seq = 500
    await map.put(here, 'newer')
    reader.position = { ...reader.position, seq: 400 }
    expect(await map.get(here)).toBe('newer')
    expect(reader.asked).toHaveLength(1)
    expect(grid.metrics).toMatchObject({ localReads: 0, staleReplies: 0 })
  })

  test('an answer from here counts as seen', async () => {
    expect(await map.get(here)).toBe('local')
    reader.payload = undefined
    await expect(map.get(here)).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(grid.metrics.staleReplies).toBe(1)
  })
})

describe('the event loop', () => {
  /** How many reads are answered one after the other before it turns. */
  async function readsOfATurn(): Promise<number> {
    let turned = false
    let reads = 0
    setImmediate(() => {
      turned = true
    })
    for (; !turned && reads < 100_000; reads++) await map.get(here)
    return reads
  }

  test('turns although a program awaits nothing but such reads', async () => {
    expect(await readsOfATurn()).toBeLessThan(2500)
    const reads = await readsOfATurn()
    expect(reads).toBeGreaterThan(1000)
    expect(reads).toBeLessThan(2500)
    expect(sent()).toEqual([])
    reader.value = 'x'.repeat(200_000)
    expect(await readsOfATurn()).toBeLessThan(5)
  })

  test('is given back however many reads are made at once, and no more than so many wait for it', async () => {
    reader.value = 'link'
    reader.position = { ...reader.position, seq: cluster.partitions[0]!.seq }
    const reads = Array.from({ length: 20_000 }, () => map.get(here))
    const { localReads } = grid.metrics
    expect(localReads).toBeGreaterThan(4096)
    expect(localReads).toBeLessThan(8192)
    expect(grid.pendingCalls).toBe(20_000 - localReads)
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['link']))
    expect(await map.get(here)).toBe('link')
    expect(grid.metrics.localReads).toBe(localReads + 1)
  })
})

test('what is no member is refused', async () => {
  const members = [cluster.members[0]!.address]
  for (const local of [{}, null, { readLocal: 1 }])
    await expect(connect({ cluster: 'test', members, local: local as never })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    })
})
