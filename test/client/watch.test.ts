import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import type { Watch } from '../../src/client/watch.ts'
import type { Change } from '../../src/client/watch-change.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { EventKind } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { encoded, FakeCluster } from './fake-cluster.ts'

type Value = { n: number }

let cluster: FakeCluster
let grid: Grid
let map: GridMap<string, Value>

beforeEach(async () => {
  const network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport(), 2)
  await cluster.add()
  await cluster.add()
  const members = cluster.members.map(({ address }) => address)
  grid = await connect({ cluster: 'test', members, transport: network.transport() })
  map = grid.map<string, Value>('m')
})

afterEach(async () => {
  await grid.close()
  await cluster.close()
})

/** The newest subscription to a partition. */
async function subscription(partition: number, count = 1) {
  const all = () => cluster.watches.filter(({ watch }) => watch.partition === partition)
  await cluster.until(() => all().length >= count)
  return all().at(-1)!
}

/** Sends events of one partition through its newest subscription. */
async function send(
  partition: number,
  position: number,
  events: readonly [
    kind: keyof typeof EventKind,
    seq: number,
    key?: string,
    n?: number | undefined,
    cause?: number,
  ][],
  count = 1,
): Promise<void> {
  const { member, link, watch } = await subscription(partition, count)
  const rows = events.map(([kind, seq, key, n, cause = 0]) => ({
    kind: EventKind[kind],
    cause,
    seq,
    key: key === undefined ? new Uint8Array(0) : encoded(key),
    value: n === undefined ? new Uint8Array(0) : encoded({ n }),
  }))
  member.sendEvents(link, watch.watch, partition, position, rows)
}

async function take<K extends string, V>(watch: AsyncIterator<Change<K, V>>, count: number) {
  const changes: Change<K, V>[] = []
  while (changes.length < count) {
    const { value, done } = await watch.next()
    if (done) break
    changes.push(value)
  }
  return changes
}

const brief = (changes: readonly Change<string, Value>[]): string[] =>
  changes.map(({ type, key, value, partition }) => `${type} ${key ?? `p${partition}`} ${value?.n ?? '-'}`)

function started(watch: Watch<string, Value>): AsyncIterator<Change<string, Value>> {
  return watch[Symbol.asyncIterator]()
}

const A = (): string => cluster.keyIn(0, 0)
const B = (): string => cluster.keyIn(0, 1)

test('snapshot, then changes, each with type, version and cause', async () => {
  const watch = map.watch()
  const changes = started(watch)
  await send(1, 3, [['snapshotEnd', 3]])
  await send(0, 0, [['snapshot', 4, A(), 1]])
  await send(0, 9, [['snapshotEnd', 9]])
  await watch.ready
  await send(0, 12, [
    ['put', 10, A(), 2],
    ['remove', 11, A(), undefined, 1],
    ['clear', 12],
  ])
  const taken = await take(changes, 4)
  expect(taken).toMatchObject([
    { type: 'snapshot', key: A(), value: { n: 1 }, version: '0.4', partition: 0 },
    { type: 'put', key: A(), value: { n: 2 }, version: '0.10' },
    { type: 'remove', key: A(), value: undefined, cause: 'expired', version: '0.11' },
    { type: 'clear', key: undefined, partition: 0 },
  ])
  const clear = taken[3]!
  if (clear.type !== 'clear') expect.unreachable()
  else {
    expect(clear.covers(A())).toBe(true)
    expect(clear.covers(cluster.keyIn(1))).toBe(false)
  }
})

test('one subscription a partition, at its owner, with what was asked for', async () => {
  map.watch({ where: { n: { $gt: 5 } } })
  map.watch({ initial: false })
  for (const partition of [0, 1]) {
    const { member, watch } = await subscription(partition, 2)
    expect(member).toBe(cluster.partitions[partition]!.owner)
    expect(watch).toMatchObject({ initial: false, resume: undefined, heldKnown: false })
    expect(watch.where.length).toBe(0)
  }
  expect(cluster.watches[0]!.watch).toMatchObject({ initial: true, credit: 2048 })
  expect(cluster.watches[0]!.watch.where.length).toBeGreaterThan(0)
})

describe('going on elsewhere', () => {
  test('after its snapshot a feed resumes at the new owner, and duplicates are dropped', async () => {
    const watch = map.watch()
    const changes = started(watch)
    await send(1, 3, [['snapshotEnd', 3]])
    await send(0, 5, [['snapshotEnd', 5]])
    await send(0, 8, [
      ['put', 6, A(), 1],
      ['put', 7, A(), 2],
    ])
    expect(brief(await take(changes, 2))).toEqual([`put ${A()} 1`, `put ${A()} 2`])
    cluster.move(0, cluster.members[1])
    cluster.pushView()
    const { watch: again, member } = await subscription(0, 2)
    expect(member).toBe(cluster.members[1])
    expect(again).toMatchObject({ initial: false, resume: { era: 0, seq: 8 }, epoch: 2 })
    expect(cluster.unwatched).toMatchObject([{ partition: 0 }])
    await send(
      0,
      10,
      [
        ['put', 7, A(), 2],
        ['put', 8, A(), 99],
        ['put', 9, A(), 3],
        ['put', 9, A(), 3],
        ['remove', 10, A()],
      ],
      2,
    )
    expect(brief(await take(changes, 2))).toEqual([`put ${A()} 3`, `remove ${A()} -`])
  })

  test('a cut connection and an ended subscription resume at the same owner', async () => {
    const watch = map.watch()
    const changes = started(watch)
    await send(0, 5, [['snapshotEnd', 5]])
    await send(0, 6, [['put', 6, A(), 1]])
    await take(changes, 1)
    cluster.members[0]!.cut()
    expect((await subscription(0, 2)).watch.resume).toEqual({ era: 0, seq: 6 })
    await send(0, 7, [['put', 7, A(), 2]], 2)
    await take(changes, 1)
    const { member, link, watch: second } = await subscription(0, 2)
    member.endWatch(link, second.watch, 0, new GridError('OVERLOADED', 'too many'))
    const third = await subscription(0, 3)
    expect(third.watch.resume).toEqual({ era: 0, seq: 7 })
    expect(third.watch.watch).not.toBe(second.watch)
    // What is still under way of the ended subscription is not taken for news.
    member.sendEvents(link, second.watch, 0, 8, [
      { kind: EventKind.put, seq: 8, key: encoded(A()), value: encoded({ n: 99 }) },
    ])
    await send(0, 8, [['put', 8, A(), 3]], 3)
    expect(brief(await take(changes, 1))).toEqual([`put ${A()} 3`])
  })

  test('before its snapshot is complete a feed begins again, after a reset', async () => {
    const watch = map.watch()
    const changes = started(watch)
    await send(0, 0, [['snapshot', 4, A(), 1]])
    expect(brief(await take(changes, 1))).toEqual([`snapshot ${A()} 1`])
    cluster.members[0]!.cut()
    expect((await subscription(0, 2)).watch).toMatchObject({ initial: true, resume: undefined })
    await send(
      0,
      6,
      [
        ['snapshot', 4, A(), 2],
        ['snapshotEnd', 6],
      ],
      2,
    )
    const [reset, row] = await take(changes, 2)
    expect(brief([reset!, row!])).toEqual(['reset p0 -', `snapshot ${A()} 2`])
    if (reset?.type === 'reset') expect(reset.covers(A())).toBe(true)
  })

  test('nothing is reset where nothing was told', async () => {
    const watch = map.watch()
    const changes = started(watch)
    await subscription(0)
    cluster.members[0]!.cut()
    await send(
      0,
      6,
      [
        ['snapshot', 4, A(), 2],
        ['snapshotEnd', 6],
      ],
      2,
    )
    expect(brief(await take(changes, 1))).toEqual([`snapshot ${A()} 2`])
  })

  test('a reset by the member is passed on, and rows follow', async () => {
    const watch = map.watch({ initial: false })
    const changes = started(watch)
    await send(1, 5, [])
    await send(0, 5, [])
    await watch.ready
    await send(0, 0, [
      ['reset', 0],
      ['snapshot', 2, A(), 1],
    ])
    await send(0, 9, [
      ['snapshotEnd', 9],
      ['put', 10, A(), 2],
    ])
    expect(brief(await take(changes, 3))).toEqual(['reset p0 -', `snapshot ${A()} 1`, `put ${A()} 2`])
  })

  test('another era begins again', async () => {
    const watch = map.watch()
    const changes = started(watch)
    await send(0, 5, [['snapshotEnd', 5]])
    await send(0, 6, [['put', 6, A(), 1]])
    await take(changes, 1)
    const { member, link, watch: first } = await subscription(0)
    member.endWatch(link, first.watch, 0, new GridError('ERA_CHANGED', 'declared lost'))
    expect((await subscription(0, 2)).watch).toMatchObject({ initial: true, resume: undefined })
    expect(brief(await take(changes, 1))).toEqual(['reset p0 -'])
  })

  test('what no member would take ends the watch', async () => {
    const watch = map.watch()
    const changes = started(watch)
    const { member, link, watch: first } = await subscription(0)
    member.endWatch(link, first.watch, 0, new GridError('BAD_FILTER', 'no such operator'))
    await expect(changes.next()).rejects.toMatchObject({ code: 'BAD_FILTER' })
    await expect(watch.ready).rejects.toMatchObject({ code: 'BAD_FILTER' })
    expect(await changes.next()).toEqual({ value: undefined, done: true })
  })
})

describe('with a filter', () => {
  test('only keys that are held are told to leave', async () => {
    const watch = map.watch({ where: { n: { $gt: 0 } } })
    const changes = started(watch)
    await send(0, 5, [
      ['snapshot', 3, A(), 1],
      ['snapshotEnd', 5],
    ])
    await send(0, 9, [
      ['leave', 6, B()],
      ['remove', 7, B()],
      ['leave', 8, A()],
      ['remove', 9, A()],
    ])
    await send(0, 11, [
      ['put', 10, B(), 1],
      ['remove', 11, B()],
    ])
    expect(brief(await take(changes, 4))).toEqual([
      `snapshot ${A()} 1`,
      `leave ${A()} -`,
      `put ${B()} 1`,
      `remove ${B()} -`,
    ])
  })

  test('a new owner is told which keys are held', async () => {
    const watch = map.watch({ where: { n: { $gt: 0 } } })
    const changes = started(watch)
    await send(0, 5, [
      ['snapshot', 3, A(), 1],
      ['snapshot', 4, B(), 1],
      ['snapshotEnd', 5],
    ])
    await send(0, 6, [['leave', 6, B()]])
    await take(changes, 3)
    cluster.members[0]!.cut()
    const { watch: again } = await subscription(0, 2)
    expect(again.heldKnown).toBe(true)
    expect(again.held.length).toBe(1)
    await send(
      0,
      8,
      [
        ['leave', 7, B()],
        ['leave', 8, A()],
      ],
      2,
    )
    expect(brief(await take(changes, 1))).toEqual([`leave ${A()} -`])
  })

  test('after a token nobody knows what is held, so nothing is dropped', async () => {
    const first = map.watch({ where: { n: { $gt: 0 } } })
    const changes = started(first)
    await send(1, 2, [['snapshotEnd', 2]])
    await send(0, 5, [
      ['snapshot', 3, A(), 1],
      ['snapshotEnd', 5],
    ])
    await send(0, 6, [['put', 6, A(), 2]])
    const token = (await take(changes, 2))[1]!.token
    first.close()
    const second = started(map.watch({ where: { n: { $gt: 0 } }, resume: token }))
    expect((await subscription(0, 2)).watch).toMatchObject({ resume: { seq: 6 }, heldKnown: false })
    await send(0, 7, [['leave', 7, A()]], 2)
    expect(brief(await take(second, 1))).toEqual([`leave ${A()} -`])
  })
})

describe('tokens', () => {
  test('go on after the change, in every partition', async () => {
    const first = map.watch()
    const changes = started(first)
    await send(1, 20, [['snapshotEnd', 20]])
    await send(0, 5, [['snapshotEnd', 5]])
    await send(0, 7, [
      ['put', 6, A(), 1],
      ['put', 7, A(), 2],
    ])
    const [a] = await take(changes, 1)
    const early = a!.token
    await send(1, 21, [['put', 21, cluster.keyIn(1), 1]])
    const rest = await take(changes, 2)
    const late = rest[1]!.token
    const stale = a!.token
    first.close()
    map.watch({ resume: early })
    expect((await subscription(0, 2)).watch.resume).toEqual({ era: 0, seq: 6 })
    expect((await subscription(1, 2)).watch.resume).toEqual({ era: 0, seq: 20 })
    map.watch({ resume: late })
    expect((await subscription(0, 3)).watch.resume).toEqual({ era: 0, seq: 7 })
    expect((await subscription(1, 3)).watch.resume).toEqual({ era: 0, seq: 21 })
    // Taken late it leaves out nothing.
    map.watch({ resume: stale })
    expect((await subscription(0, 4)).watch.resume).toEqual({ era: 0, seq: 6 })
    expect((await subscription(1, 4)).watch.resume).not.toEqual({ era: 0, seq: 21 })
  })

  test('in the middle of a snapshot: begin again, after a reset', async () => {
    const first = map.watch()
    const changes = started(first)
    await send(0, 0, [['snapshot', 3, A(), 1]])
    const token = (await take(changes, 1))[0]!.token
    first.close()
    const second = started(map.watch({ resume: token }))
    expect((await subscription(0, 2)).watch).toMatchObject({ initial: true, resume: undefined })
    expect(brief(await take(second, 2))).toEqual(['reset p0 -', 'reset p1 -'])
  })

  test('of another cluster or damaged are refused', async () => {
    for (const resume of ['', 'x', 'AAAA', 'A'.repeat(200)]) {
      const watch = map.watch({ resume })
      await expect(started(watch).next()).rejects.toMatchObject({ code: 'BAD_TOKEN' })
    }
  })
})

describe('credit', () => {
  test('an iterator that is not read gets no more than was granted', async () => {
    const watch = map.watch()
    const changes = started(watch)
    const { watch: first } = await subscription(0)
    expect(first.credit).toBe(2048)
    await send(1, 1, [['snapshotEnd', 1]])
    await send(0, 1, [['snapshotEnd', 1]])
    await send(0, 1001, Array.from({ length: 1000 }, (_, n) => ['put', n + 2, A(), n] as const) as never)
    await watch.ready
    expect(cluster.credits).toEqual([])
    cluster.members[0]!.cut()
    // What is in the buffer is not granted a second time.
    expect((await subscription(0, 2)).watch.credit).toBe(2048 - 1000)
    await take(changes, 1000)
    await send(0, 1100, Array.from({ length: 30 }, (_, n) => ['put', n + 1002, A(), n] as const) as never, 2)
    await take(changes, 30)
    await cluster.until(() => cluster.credits.length > 0)
    expect(cluster.credits[0]!.events).toBe(1024)
  })

  test('events that are dropped are granted again', async () => {
    const watch = map.watch({ where: { n: { $gt: 0 } } })
    await send(0, 1, [['snapshotEnd', 1]])
    const leaves = Array.from({ length: 1100 }, (_, n) => ['leave', n + 2, A()] as const)
    await send(0, 2000, leaves as never)
    await cluster.until(() => cluster.credits.length > 0)
    expect(cluster.credits[0]).toMatchObject({ partition: 0, events: 1024 })
    watch.close()
  })
})

describe('the end', () => {
  test('leaving the loop unsubscribes', async () => {
    const watch = map.watch()
    await send(0, 2, [['snapshot', 2, A(), 1]])
    for await (const change of watch) {
      expect(change.type).toBe('snapshot')
      break
    }
    await cluster.until(() => cluster.unwatched.length === 2)
  })

  test('so does the signal', async () => {
    const controller = new AbortController()
    const changes = started(map.watch({ signal: controller.signal }))
    await subscription(1)
    const next = changes.next()
    controller.abort()
    expect(await next).toEqual({ value: undefined, done: true })
    await cluster.until(() => cluster.unwatched.length === 2)
  })

  test('closing the client ends it after what had come', async () => {
    const watch = map.watch()
    const changes = started(watch)
    await send(1, 2, [['snapshotEnd', 2]])
    await send(0, 2, [
      ['snapshot', 2, A(), 1],
      ['snapshotEnd', 2],
    ])
    await watch.ready
    await grid.close()
    expect(brief(await take(changes, 5))).toEqual([`snapshot ${A()} 1`])
  })

  test('wrong options are refused', () => {
    expect(() => map.watch({ initail: true } as never)).toThrow(/did you mean initial/)
    expect(() => map.watch({ where: { n: { $like: 5 } } as never })).toThrow(GridError)
  })
})

test('the map of a watch is asked for until it is open, though no call goes on', async () => {
  const verdicts = [new GridError('NOT_READY', 'wait'), new GridError('NO_LEASE', 'wait')]
  let asked = 0
  cluster.onOpenMap = () => verdicts[asked++]
  const watch = grid.map<string, Value>('other').watch({ initial: false })
  await send(0, 3, [])
  await send(1, 3, [])
  await watch.ready
  expect(asked).toBe(3)
})

test('a watch on a map that cannot be opened fails', async () => {
  cluster.onOpenMap = () => new GridError('TOO_LARGE', 'mapsMax')
  const watch = grid.map<string, Value>('other').watch()
  await expect(watch.ready).rejects.toMatchObject({ code: 'TOO_LARGE' })
})
