/** When a member that leaves is free to go, although it may have read less of the log than others have. */

import { expect, test } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { defaultLimits } from '../../../src/core/base/limits.ts'
import { randomId, seededRandom } from '../../../src/core/base/random.ts'
import { Engine } from '../../../src/core/engine/engine.ts'
import type { Effects, Settings } from '../../../src/core/engine/settings.ts'
import { decodeMessage } from '../../../src/core/membership/item.ts'
import type { Outlet } from '../../../src/core/partition/context.ts'

const TICK_MS = 50
const random = seededRandom(7)
const newId = (): string => randomId(random)

function settingsOf(name: string): Settings {
  return {
    self: {
      id: newId(),
      name,
      address: `${name}:7400`,
      zone: '',
      host: name,
      version: '1',
      state: 'active',
      secretHash: '',
    },
    partitionCount: 1,
    backups: 1,
    minInSync: 1,
    expectMembers: 1,
    foundAfterMs: 0,
    timing: { beaconMs: 250, suspectMs: 1000, leaseMs: 2000, graceMs: 3000, sessionIdleMs: 60_000 },
    rebalanceDelayMs: 0,
    silentRemoveMs: 60_000,
    rollCallMs: 30_000,
    rollCallMinMs: 1000,
    transfersMax: 1,
    memoryBytesMax: 1024 * 1024,
    historyBytes: 0,
    limits: defaultLimits,
    random,
    newId,
    hashSecret: (secret: string) => secret,
    processors: new Map(),
  } as unknown as Settings
}

/** Members that share a log, of which each reads as much as the test lets it. */
class Cluster {
  readonly log: { seq: number; bytes: Uint8Array }[] = []
  readonly members: Member[] = []
  #monoMs = 1000

  add(name: string): Member {
    const member = new Member(this, settingsOf(name))
    for (const other of this.members) {
      other.link(member)
      member.link(other)
    }
    this.members.push(member)
    return member
  }

  get now(): { monoMs: number; wallMs: number } {
    return { monoMs: this.#monoMs, wallMs: this.#monoMs }
  }

  pass(timeMs: number): void {
    for (const endMs = this.#monoMs + timeMs; this.#monoMs < endMs; this.#monoMs += TICK_MS) {
      for (const member of this.members) member.turn()
    }
  }
}

class Member {
  readonly engine: Engine
  readonly id: string
  reads = true
  /** Nobody is struck off by what it appends: that is still under way. */
  removes = true
  ended = false
  #readSeq = 0
  readonly #cluster: Cluster
  readonly #outlets: [Member, Outlet][] = []

  constructor(cluster: Cluster, settings: Settings) {
    this.#cluster = cluster
    this.id = settings.self.id
    const { log } = cluster
    this.engine = new Engine(settings, {
      append: (bytes: Uint8Array, _id: string, expectedSeq?: number) => {
        if (!this.removes && decodeMessage(bytes)!.items.some(({ kind }) => kind === 'remove')) return
        if (expectedSeq === undefined || expectedSeq === log.length)
          log.push({ seq: log.length + 1, bytes: bytes.slice() })
      },
      ended: () => {
        this.ended = true
      },
      checkpoint: () => {},
      announce: () => {},
      dial: () => {},
      hangUp: () => {},
      verify: () => {},
      background: () => {},
      note: () => {},
    } as Effects)
    this.engine.controlOpen('store', undefined)
  }

  link(other: Member): void {
    const outlet: Outlet = {
      peer: { id: other.id },
      out: new ByteWriter(64),
      queuedBytes: 0,
      closed: false,
      wake() {},
    }
    this.#outlets.push([other, outlet])
    this.engine.peerUp(outlet, this.#cluster.now)
  }

  turn(): void {
    const { now, log } = this.#cluster
    if (this.reads) {
      const news = log.slice(this.#readSeq)
      this.#readSeq += news.length
      this.engine.controlEntries(news, true, now)
    }
    this.engine.tick(now)
    while (this.engine.work(now)) {}
    for (const [other, { out }] of this.#outlets) {
      const bytes = Buffer.from(out.take())
      out.clear()
      if (bytes.length > 0) other.engine.peerFrame(this.id, bytes, 0, bytes.length, now)
    }
  }
}

test('a member that is taught before it has read that it joined does not go while it may be counted on', () => {
  const cluster = new Cluster()
  const owner = cluster.add('a')
  cluster.pass(1000)
  const newcomer = cluster.add('b')
  cluster.pass(TICK_MS)
  newcomer.reads = false
  cluster.pass(1000)
  expect(owner.engine.partitions[0]!.config!.inSync).toContain(newcomer.id)
  expect(newcomer.engine.view.members.has(newcomer.id)).toBe(false)

  newcomer.engine.leave(cluster.now)
  cluster.pass(1000)
  expect(newcomer.ended).toBe(false)

  newcomer.reads = true
  cluster.pass(5000)
  expect(newcomer.ended).toBe(true)
  expect(owner.engine.partitions[0]!.config!.inSync).toEqual([owner.id])
})

test('a member that has asked to be struck off never serves again, though that is slow to come about', () => {
  const cluster = new Cluster()
  const owner = cluster.add('a')
  cluster.pass(1000)
  const backup = cluster.add('b')
  cluster.pass(5000)
  expect(owner.engine.partitions[0]!.config!.inSync).toEqual([owner.id, backup.id])
  for (const member of cluster.members) member.removes = false
  // Both are the last one to go, as each sees it.
  for (const member of cluster.members) member.engine.leave(cluster.now)
  cluster.pass(1000)
  expect(owner.engine.partitions[0]!.owner!.stopped).toBe(true)

  // Its backup falls silent: with a handover the owner would serve on and take it out.
  cluster.members.pop()
  cluster.pass(5000)
  expect(owner.engine.partitions[0]!.owner!.stopped).toBe(true)
  owner.removes = true
  cluster.pass(10_000)
  expect(owner.ended).toBe(true)
})

test('a member that has not read that others have come does not leave with what it alone holds', () => {
  const cluster = new Cluster()
  const holder = cluster.add('a')
  cluster.pass(1000)
  holder.reads = false
  const newcomer = cluster.add('b')
  cluster.pass(1000)
  expect(newcomer.engine.view.members.has(newcomer.id)).toBe(true)
  holder.engine.leave(cluster.now)
  holder.reads = true
  cluster.pass(20_000)
  expect(holder.ended).toBe(true)
  expect(newcomer.engine.view.configs[0]).toMatchObject({ era: 0, owner: newcomer.id })
})
