/** Reads that any replica may answer, as clients spread them. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { Lane } from '../../src/client/lane.ts'
import { Peer } from '../../src/client/peer.ts'
import { Spread, writeFreshnessOf } from '../../src/client/spread.ts'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { FLAG_ANY, type Freshness, readFreshness } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import type { Link } from '../../src/transport/transport.ts'
import { FakeCluster } from './fake-cluster.ts'

let network: LoopbackNetwork
let cluster: FakeCluster
let grid: Grid
let map: GridMap<string, number>
let key: string

const any = { read: 'any' } as const

/** Partition 0 is the first member's, and the second stands by. */
beforeEach(async () => {
  network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport())
  await cluster.add()
  await cluster.add()
  cluster.partitions[0]!.backups = [cluster.members[1]!]
  grid = await connect({
    cluster: 'test',
    members: [cluster.members[0]!.address],
    transport: network.transport(),
  })
  map = grid.map<string, number>('m')
  for (let p = 0; p < 4; p++) await map.put(cluster.keyIn(p), 7)
  key = cluster.keyIn(0)
  cluster.calls.length = 0
})

afterEach(async () => {
  expect(grid.metrics.staleReplies).toBe(0)
  await grid.close()
  await cluster.close()
})

/** Who was asked of partition 0. */
function asked(): string[] {
  return cluster.calls.filter(({ partition }) => partition === 0).map(({ member }) => member.name)
}

describe('reads that any replica may answer', () => {
  test('are spread over the replicas, and no others are', async () => {
    for (let i = 0; i < 6; i++) expect(await map.get(key, any)).toBe(7)
    expect(asked().sort()).toEqual(['m1', 'm1', 'm1', 'm2', 'm2', 'm2'])
    expect(cluster.calls.every(({ flags }) => flags === FLAG_ANY)).toBe(true)
    expect(grid.metrics.backupReads).toBe(3)
    cluster.calls.length = 0
    for (let i = 0; i < 4; i++) await map.get(key, { read: 'owner' })
    expect(asked()).toEqual(['m1', 'm1', 'm1', 'm1'])
    expect(cluster.calls.every(({ flags }) => flags === 0)).toBe(true)
  })

  test('are those of single keys: get, getEntry, has, and getAll of them', async () => {
    for (let i = 0; i < 2; i++) {
      expect(await map.getEntry(key, any)).toMatchObject({ value: 7 })
      expect(await map.has(key, any)).toBe(true)
      expect(await map.getAll([key], any)).toEqual(new Map([[key, 7]]))
    }
    expect(grid.metrics.backupReads).toBe(3)
    await expect(map.size(any as object)).rejects.toMatchObject({ code: 'BAD_OPTION' })
  })

  test('go to the owner while no link to a backup is open, which they open', async () => {
    const late = await cluster.add()
    cluster.partitions[0]!.backups = [late]
    cluster.version++
    cluster.pushView()
    while (!asked().includes('m3')) expect(await map.get(key, any)).toBe(7)
    expect(asked()).toContain('m1')
    expect(late.accepted).toBe(1)
  })

  test('go to the owner at once where a backup leaves them to it, without a pause', async () => {
    cluster.intercept = ({ member }) => (member.name === 'm2' ? 'notOwner' : undefined)
    while (grid.metrics.backupRefusals === 0) expect(await map.get(key, any)).toBe(7)
    expect(asked().slice(-2)).toEqual(['m2', 'm1'])
    expect(grid.metrics).toMatchObject({ backupReads: 0, retries: 0 })
    const [first, second] = cluster.calls.slice(-2)
    expect(second!.call).toBe(first!.call)
  })

  test('stay behind the writes of this client that have not been answered', async () => {
    for (let n = 0; n < 8; n++) {
      const write = map.put(key, n)
      expect(await map.get(key, any)).toBe(n)
      await write
    }
    expect(asked().every((name) => name === 'm1')).toBe(true)
    expect(grid.metrics.backupReads).toBe(0)
  })

  test('are made of the owner when the link to the backup breaks', async () => {
    cluster.intercept = ({ member }) => (member.name === 'm2' ? 'drop' : undefined)
    const reads = [map.get(key, any), map.get(key, any)]
    await cluster.until(() => asked().includes('m2'))
    cluster.members[1]!.cut()
    expect(await Promise.all(reads)).toEqual([7, 7])
  })

  test('are answered by a backup while the owner is away', async () => {
    await map.get(key, any)
    await cluster.members[0]!.close()
    while (grid.metrics.connectionsLost === 0) await new Promise((resolve) => setImmediate(resolve))
    for (let i = 0; i < 4; i++) expect(await map.get(key, any)).toBe(7)
    expect(asked().slice(-4)).toEqual(['m2', 'm2', 'm2', 'm2'])
  })

  test('say what this client has seen', async () => {
    const { partitions } = cluster
    await map.get(key, any)
    await map.get(key, { read: 'any', maxStaleMs: 250 })
    const { seq, epoch, era } = partitions[0]!
    expect(cluster.calls.map(({ fresh }) => fresh)).toEqual([
      { maxStaleMs: 1000, era, epoch, seq },
      { maxStaleMs: 250, era, epoch, seq },
    ])
  })

  test('neither ask the near cache nor fill it', async () => {
    const near = grid.map<string, number>('m', { nearCache: {} })
    expect(await near.get(key, any)).toBe(7)
    expect(near.nearCacheStats).toMatchObject({ hits: 0, misses: 0, entries: 0 })
    expect(cluster.watches).toEqual([])
  })

  test.each([
    [{ read: 'some' }, "read is \"some\"; must be 'owner' or 'any'"],
    [{ read: 'any', consistency: 'confirmed' }, 'does not go with'],
    [{ maxStaleMs: 100 }, "goes with read: 'any' alone"],
    [{ read: 'owner', maxStaleMs: 100 }, "goes with read: 'any' alone"],
    [{ read: 'any', maxStaleMs: 0 }, 'maxStaleMs is 0'],
    [{ read: 'any', maxStaleMs: 1.5 }, 'maxStaleMs is 1.5'],
    [{ read: 'any', maxStaleMs: 600_001 }, 'maxStaleMs is 600001'],
  ])('refuse %j', async (options, message) => {
    const refused = { code: 'BAD_OPTION', message: expect.stringContaining(message) }
    await expect(map.get(key, options as object)).rejects.toMatchObject(refused)
    const near = grid.map<string, number>('m', { nearCache: {} })
    await expect(near.get(key, options as object)).rejects.toMatchObject(refused)
  })
})

describe('what a client has seen', () => {
  function seen(lane: Lane): Freshness {
    const w = new ByteWriter(64)
    writeFreshnessOf(w, lane, 5)
    return readFreshness(new ByteReader(Buffer.from(w.take())))
  }

  test('is the newest answer of an owner, and of any backup, whichever epoch it spoke of', () => {
    const lane = new Lane(0, defaultLimits)
    lane.saw(1, 5, 100) // The end of a log of which the next owner keeps less.
    lane.saw(1, 6, 97)
    expect(seen(lane)).toEqual({ maxStaleMs: 5, era: 1, epoch: 6, seq: 97 })
    lane.saw(1, 5, 99)
    lane.sawCommitted(1, 99) // A backup that had not heard of epoch 6: its answer was under way before.
    expect(seen(lane)).toEqual({ maxStaleMs: 5, era: 1, epoch: 6, seq: 99 })
    lane.saw(2, 7, 3)
    lane.sawCommitted(1, 200)
    expect(seen(lane)).toEqual({ maxStaleMs: 5, era: 2, epoch: 7, seq: 3 })
  })
})

describe('a turn', () => {
  const OPEN = { closed: false, queuedBytes: 0 } as Link

  function peer(id: string, link: Link | undefined = OPEN): Peer {
    const peer = new Peer(id, `${id}:1`, id, 1000)
    peer.link = link
    return peer
  }

  function laneOf(owner: Peer, ...backups: Peer[]): Lane {
    const lane = new Lane(0, defaultLimits)
    return Object.assign(lane, { owner, backups })
  }

  test('comes round, and is not that of a backup that has just left a read to the owner', () => {
    const connected: string[] = []
    const spread = new Spread(({ id }) => connected.push(id))
    const lane = laneOf(peer('a'), peer('b'), peer('c'))
    const turns = (nowMs: number): (string | undefined)[] =>
      Array.from({ length: 6 }, () => spread.next(lane, nowMs)?.id)
    expect(turns(0)).toEqual(['b', 'c', undefined, 'b', 'c', undefined])
    spread.refused(lane, 1000)
    expect(new Set(turns(1099))).toEqual(new Set([undefined]))
    expect(new Set(turns(1100))).toEqual(new Set(['b', 'c', undefined]))
    expect(connected).toEqual([])
  })

  test('is never that of the owner by another name, of one without a link, or of one that takes nothing', () => {
    const connected: string[] = []
    const spread = new Spread(({ id }) => connected.push(id))
    const owner = peer('a')
    const away = peer('b')
    away.link = undefined
    const full = peer('c', { closed: false, queuedBytes: 2000 } as Link)
    full.full = true
    const lane = laneOf(owner, owner, away, full)
    for (let i = 0; i < 4; i++) expect(spread.next(lane, 0)).toBeUndefined()
    expect(new Set(connected)).toEqual(new Set(['b']))
  })
})
