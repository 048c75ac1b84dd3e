/**
 * All replicas of a partition are gone: who says so, who may begin it anew, and what programs see of it. Members here have no
 * backups, so that the death of one is a loss.
 */

import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import type { Change } from '../../src/client/watch-change.ts'
import { LocalAnnouncements, LocalControl, LocalControlStore } from '../../src/control/local.ts'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { lossOf } from '../../src/core/membership/loss.ts'
import { AnnouncementKind, readAnnouncement, writeAnnouncement } from '../../src/core/wire/message.ts'
import { recordDeath } from '../../src/member/certificate.ts'
import { LogFollower } from '../../src/member/log-follower.ts'
import { type Member, startMember } from '../../src/member/member.ts'
import type { MemberOptions } from '../../src/member/options.ts'
import { findLost, resetPartitions } from '../../src/member/reset.ts'
import { hashSecret } from '../../src/member/secret.ts'
import { startTestCluster } from '../../src/testing.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'

const PARTITIONS = 7
const QUICK = { beaconMs: 50, suspectMs: 300, leaseMs: 500, graceMs: 800, silentRemoveMs: 2500 }

/** Members in this process on a log that the test can reach. */
class Cluster {
  readonly store = new LocalControlStore()
  readonly #network = new LoopbackNetwork({ limits: defaultLimits })
  readonly #secrets = new Map<string, string>()
  readonly #ends: (() => Promise<unknown>)[] = []

  async start(name: string, options: MemberOptions = {}): Promise<Member> {
    const incarnation = randomBytes(16).toString('hex')
    const secret = randomBytes(32).toString('hex')
    this.#secrets.set(incarnation, secret)
    const identity = { incarnation, secretHash: hashSecret(secret), cluster: 'loss', name, host: name }
    const shape = { backups: 0, partitionCount: PARTITIONS, rebalanceDelayMs: 50, expectMembers: 2 }
    const member = await startMember(
      { ...identity, ...shape, ...QUICK, listen: '127.0.0.1:0', logLevel: 'silent', ...options },
      { transport: this.#network.transport(), control: this.control(), foundAfterMs: 0 },
    )
    this.#ends.unshift(() => member.stop())
    return member
  }

  kill(member: Member): void {
    this.#network.kill(member.id)
    void member.stop()
  }

  certify({ id }: Member): Promise<void> {
    return recordDeath(this.control(), { incarnation: id, secret: this.#secrets.get(id)! })
  }

  control(): LocalControl {
    return new LocalControl(this.store)
  }

  async connect(member: Member): Promise<Grid> {
    const transport = this.#network.transport()
    const grid = await connect({ cluster: 'loss', members: [member.address], transport, timeoutMs: 20_000 })
    this.#ends.unshift(() => grid.close())
    return grid
  }

  async follow(): Promise<LogFollower> {
    const log = await LogFollower.open(this.control())
    this.#ends.unshift(() => log.close())
    return log
  }

  async close(): Promise<void> {
    for (const end of this.#ends) await end()
  }
}

const clusters: Cluster[] = []
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.close()
})

/** Two members, a client and a key that the second one owns. */
async function twoMembers(options: MemberOptions = {}) {
  const cluster = new Cluster()
  clusters.push(cluster)
  const [a, b] = await Promise.all([cluster.start('a', options), cluster.start('b', options)])
  const grid = await cluster.connect(a)
  const map = grid.map<string, number>('m')
  const ownerOf = (key: string): string | undefined => grid.partitions()[grid.partitionOf(key)]!.owner?.id
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
  for (const key of keys) await map.put(key, 1)
  const lostKeys = keys.filter((key) => ownerOf(key) === b.id)
  const keptKeys = keys.filter((key) => ownerOf(key) === a.id)
  const log = await cluster.follow()
  const lost = (): number[] =>
    Array.from({ length: PARTITIONS }, (_, p) => p).filter((p) => lossOf(log.view, p) !== undefined)
  return { cluster, a, b, grid, map, log, lost, lostKey: lostKeys[0]!, lostKeys, keptKey: keptKeys[0]! }
}

function failure(promise: Promise<unknown>): Promise<GridError> {
  return promise.then(
    () => Promise.reject(new Error('did not fail')),
    (error) => {
      expect(error).toBeInstanceOf(GridError)
      return error as GridError
    },
  )
}

/** The changes of a watch, and a way to wait for one. */
function watching(map: GridMap<string, number>, options = {}) {
  const watch = map.watch(options)
  const changes: Change<string, number>[] = []
  const lookers = new Set<() => void>()
  const ended = (async () => {
    for await (const change of watch) {
      changes.push(change)
      for (const look of lookers) look()
    }
  })()
  ended.catch(() => {})
  const seen = (wanted: (change: Change<string, number>) => boolean): Promise<Change<string, number>> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = changes.find(wanted)
        if (found !== undefined) resolve(found)
      }
      lookers.add(look)
      look()
      ended.then(() => reject(new Error('the watch ended')), reject)
    })
  return { watch, changes, seen }
}

describe('a replica is gone without proof of its death', () => {
  test('calls fail at once, watches wait, and a reset begins anew', async () => {
    const { cluster, b, grid, map, log, lost, lostKey, lostKeys, keptKey } = await twoMembers()
    const before = (await map.getEntry(lostKey))!
    const { seen, watch } = watching(map)
    await watch.ready
    const token = (await seen(({ key }) => key === lostKey)).token
    cluster.kill(b)
    expect(await log.until(() => lost().length > 0, 20_000)).toBe(true)

    for (const call of [map.get(lostKey), map.put(lostKey, 2), map.size()]) {
      const error = await failure(call)
      expect(error).toMatchObject({ code: 'PARTITION_LOST', applied: 'no', retryable: true })
      expect(error.message).toContain(`b ${b.id} (silent)`)
      expect(error.message).toContain('partitions reset')
    }
    expect(await map.get(keptKey)).toBe(1)
    await map.put(keptKey, 2)

    const partition = grid.partitionOf(lostKey)
    const report = await findLost(cluster.control())
    expect(report.lost.map((row) => row.partition)).toEqual(lost())
    expect(report).toMatchObject({ partitionCount: PARTITIONS, maps: ['m'] })
    expect(report.lost[0]).toMatchObject({ era: 0, replicas: [{ id: b.id, name: 'b', dead: false }] })

    const others = lost().filter((p) => p !== partition)
    expect(await resetPartitions(cluster.control(), [partition])).toEqual([{ partition, era: 1, owner: 'a' }])
    expect(lost()).toEqual(others)
    await resetPartitions(cluster.control())
    expect(lost()).toEqual([])
    expect(await resetPartitions(cluster.control())).toEqual([])

    // The watcher that was there hears that what it knew is void; so does one that resumes from before.
    await seen((change) => change.type === 'reset' && change.covers(lostKey))
    const resumed = watching(map, { resume: token })
    await resumed.seen((change) => change.type === 'reset' && change.covers(lostKey))
    // Nothing of the old era is left, and its versions match nothing.
    expect(await map.get(lostKey)).toBeUndefined()
    await map.put(lostKey, 3)
    expect(await map.replace(lostKey, 4, { ifVersion: before.version })).toBe(false)
    expect(await map.remove(lostKey, { ifVersion: before.version })).toBe(false)
    const now = (await map.getEntry(lostKey))!
    expect(now).toMatchObject({ value: 3, version: expect.stringMatching(/^1\./) })
    expect(await map.replace(lostKey, 5, { ifVersion: now.version })).toBe(true)
    await seen(({ type, key, value }) => type === 'put' && key === lostKey && value === 5)
    await resumed.seen(({ key, value }) => key === lostKey && value === 5)
    expect(await map.size()).toBe(60 - lostKeys.length + 1)
    expect(grid.metrics.staleReplies).toBe(0)
  })

  test('a write that was under way when its owner vanished may have been applied', async () => {
    const { cluster, b, map, log, lost, lostKey } = await twoMembers()
    const write = failure(map.put(lostKey, 2))
    // The call has left for its owner, whose answer cannot come any more.
    await new Promise((resolve) => process.nextTick(resolve))
    cluster.kill(b)
    expect(await write).toMatchObject({ code: 'PARTITION_LOST', applied: 'unknown' })
    expect(await log.until(() => lost().length > 0, 20_000)).toBe(true)
    expect(await failure(map.put(lostKey, 3))).toMatchObject({ applied: 'no' })
  })

  test('what is not lost is not reset, nor what is coming back', async () => {
    const { cluster, b, grid, log, lost, lostKey, keptKey } = await twoMembers()
    const partition = grid.partitionOf(lostKey)
    const reset = (...partitions: number[]) => failure(resetPartitions(cluster.control(), partitions))
    const alive = await reset(partition)
    expect(alive).toMatchObject({ code: 'BAD_OPTION' })
    expect(alive.message).toContain(`its replica b (${b.id}) is in the roster`)
    expect((await reset(PARTITIONS)).message).toContain(`only 0 to ${PARTITIONS - 1}`)
    expect(await resetPartitions(cluster.control())).toEqual([])

    cluster.kill(b)
    expect(await log.until(() => lost().includes(partition), 20_000)).toBe(true)
    expect(await reset(partition, grid.partitionOf(keptKey))).toMatchObject({ code: 'BAD_OPTION' })

    const ghost = new LocalAnnouncements(cluster.store)
    await ghost.open((bytes) => {
      if (readAnnouncement(new ByteReader(bytes)).kind !== AnnouncementKind.who) return
      const w = new ByteWriter(64)
      const info = new Uint8Array(0)
      writeAnnouncement(w, { kind: AnnouncementKind.member, id: b.id, address: '', info })
      ghost.announce(w.take())
    })
    const back = await reset(partition)
    expect(back).toMatchObject({ code: 'NOT_READY' })
    expect(back.message).toContain(`b ${b.id} (silent) is running`)
    await ghost.close()
    expect(lost()).toContain(partition)
  })

  test('nobody is there to own what would be reset', async () => {
    const { cluster, a, b, log, lost } = await twoMembers()
    cluster.kill(b)
    expect(await log.until(() => lost().length > 0, 20_000)).toBe(true)
    cluster.kill(a)
    expect(await failure(resetPartitions(cluster.control()))).toMatchObject({ code: 'NOT_READY' })
  })
})

describe('the death of every replica is proven', () => {
  test('the partition begins anew by itself, and calls only wait', async () => {
    const { cluster, b, map, lostKey, keptKey } = await twoMembers({ silentRemoveMs: 600_000 })
    cluster.kill(b)
    const call = map.get(lostKey)
    await cluster.certify(b)
    expect(await call).toBeUndefined()
    await map.put(lostKey, 2)
    expect(await map.get(keptKey)).toBe(1)
  })

  test('proof that comes after the member was struck off for silence heals the loss as well', async () => {
    const { cluster, b, map, log, lost, lostKey } = await twoMembers()
    cluster.kill(b)
    expect(await log.until(() => lost().length > 0, 20_000)).toBe(true)
    expect(await failure(map.get(lostKey))).toMatchObject({ code: 'PARTITION_LOST' })
    await cluster.certify(b)
    expect(await map.get(lostKey)).toBeUndefined()
  })

  test('a successor under an exclusive name proves it, whether its predecessor was struck off or not', async () => {
    for (const silentRemoveMs of [QUICK.silentRemoveMs, 600_000]) {
      const { cluster, a, b, map, log, lost, lostKey } = await twoMembers({ silentRemoveMs })
      cluster.kill(b)
      if (silentRemoveMs < 600_000) expect(await log.until(() => lost().length > 0, 20_000)).toBe(true)
      const successor = await cluster.start('b', { silentRemoveMs, exclusiveName: true })
      expect(await map.get(lostKey)).toBeUndefined()
      await map.put(lostKey, 2)
      expect([...log.view.members.keys()].sort()).toEqual([a.id, successor.id].sort())
    }
  })

  test('one that shares a name without the promise proves nothing', async () => {
    const { cluster, a, b, log, map, lostKey } = await twoMembers()
    const second = await cluster.start('b')
    expect(await map.get(lostKey)).toBe(1)
    cluster.kill(b)
    expect(await log.until(() => !log.view.members.has(b.id), 20_000)).toBe(true)
    expect([...log.view.members.keys()].sort()).toEqual([a.id, second.id].sort())
    expect(log.view.dead.size).toBe(0)
  })
})

describe('a whole cluster goes down and others start on the same log', () => {
  test('all killed, their deaths certified: it begins empty, in new eras', async () => {
    await using cluster = await startTestCluster({ partitionCount: PARTITIONS })
    const map = cluster.grid.map<string, number>('m')
    for (let i = 0; i < 20; i++) await map.put(`k${i}`, i)
    const version = (await map.getEntry('k1'))!.version
    const { clusterId } = cluster.members[0]!.status()
    for (const index of [0, 1, 2]) cluster.kill(index)
    const names = ['d', 'e', 'f']
    await Promise.all(names.map((name) => cluster.add({ name, host: name })))
    const grid = await cluster.connect()
    const again = grid.map<string, number>('m')
    expect(await again.size()).toBe(0)
    await again.put('k1', 7)
    expect(await again.replace('k1', 8, { ifVersion: version })).toBe(false)
    await cluster.settled()
    const status = cluster.members.at(-1)!.status()
    expect(status.clusterId).toBe(clusterId)
    expect(status.members.map(({ name }) => name).sort()).toEqual(names)
    expect((await again.getEntry('k1'))!.version).toMatch(/^1\./)
  })

  test('all left: the same', async () => {
    const cluster = await startTestCluster({ partitionCount: PARTITIONS })
    await cluster.grid.map<string, number>('m').put('k', 1)
    await Promise.all(cluster.members.map((member) => member.leave()))
    await cluster.add()
    // The clients' seeds are those who are there now.
    for (const index of [0, 1, 2]) cluster.kill(index, { certified: false })
    const again = (await cluster.connect()).map<string, number>('m')
    expect(await again.size()).toBe(0)
    await again.put('k', 2)
    expect((await again.getEntry('k'))!.version).toMatch(/^1\./)
    await cluster.close()
  })
})
