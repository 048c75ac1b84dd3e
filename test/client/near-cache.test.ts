/** The near cache against scripted members: what is kept, what takes it away, and when it may be served. */

import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { NearCache } from '../../src/client/near-cache.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import type { Key } from '../../src/core/wire/key.ts'
import { EventKind, FLAG_CONFIRMED, Operation, ReplyStatus, type Watch } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import type { Link } from '../../src/transport/transport.ts'
import { encoded, FakeCluster, type FakeMember, type SeenCall } from './fake-cluster.ts'

type Value = { n: number; tags?: string[] }
interface Subscription {
  readonly member: FakeMember
  readonly link: Link
  readonly watch: Watch
}

let cluster: FakeCluster
let network: LoopbackNetwork
let grid: Grid
let map: GridMap<Key, Value>
/** How far the client's clocks have been moved. */
let jump = { mono: 0, wall: 0 }
/** Whether members say that everything is told when they are asked, and of which partitions. */
let vouches = (_partition: number): boolean => true
/** Whether subscriptions begin by themselves. */
let establishes = true

beforeEach(async () => {
  jump = { mono: 0, wall: 0 }
  vouches = () => true
  establishes = true
  network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport(), 2)
  cluster.onWatch = (seen) => {
    if (seen.watch.keysOnly && establishes) begin(seen)
  }
  cluster.onProgressRequest = ({ member, link, request }) => {
    const told = cluster.watches
      .filter((seen) => seen.link === link && vouches(seen.watch.partition) && !isUnwatched(seen))
      .map(({ watch }) => ({ watch: watch.watch, partition: watch.partition }))
    member.sendProgress(link, { request, told })
  }
  await cluster.add()
  await cluster.add()
  grid = new Grid('test', 'near', {
    hello: { role: 'client', cluster: 'test', id: randomBytes(16).toString('hex') },
    transport: network.transport(),
    seeds: cluster.members.map(({ address }) => address),
    announcements: undefined,
    nowMs: () => performance.now() + jump.mono,
    wallMs: () => Date.now() + jump.wall,
    limits: defaultLimits,
    timeoutMs: 10_000,
  })
  await grid.open(performance.now() + 10_000)
  map = grid.map<Key, Value>('m', { nearCache: {} })
})

afterEach(async () => {
  await grid.close()
  await cluster.close()
})

const A = (): string => cluster.keyIn(0, 0)
const B = (): string => cluster.keyIn(0, 1)
const OTHER = (): string => cluster.keyIn(1, 0)

const isUnwatched = ({ watch }: Subscription): boolean =>
  cluster.unwatched.some((gone) => gone.watch === watch.watch && gone.partition === watch.partition)

function begin({ member, link, watch }: Subscription): void {
  member.sendEvents(link, watch.watch, watch.partition, 5, [{ kind: EventKind.snapshotEnd, seq: 5 }])
}

/** The newest subscription to a partition. */
async function subscription(partition: number, count = 1): Promise<Subscription> {
  const all = (): Subscription[] => cluster.watches.filter(({ watch }) => watch.partition === partition)
  await cluster.until(() => all().length >= count)
  return all().at(-1)!
}

async function tell(kind: keyof typeof EventKind, key?: Key, partition = 0, count = 1): Promise<void> {
  const { member, link, watch } = await subscription(partition, count)
  const event = { kind: EventKind[kind], seq: 9, key: key === undefined ? new Uint8Array(0) : encoded(key) }
  member.sendEvents(link, watch.watch, partition, 9, [event])
}

const sent = (operation: number): SeenCall[] => cluster.calls.filter((call) => call.operation === operation)
const gets = (): number => sent(Operation.get).length
const hits = (): number => map.nearCacheStats!.hits

/** Everything that members have sent before has been taken: an answer of each has come after it. */
async function heard(): Promise<void> {
  await Promise.all([map.getEntry(A()), map.getEntry(OTHER())])
}

/** Members are asked anew, and their answers have been taken. */
async function asked(before = cluster.progressRequests.length): Promise<void> {
  const both = (): boolean =>
    new Set(cluster.progressRequests.slice(before).map(({ member }) => member)).size >= 2
  await cluster.until(both)
  await heard()
}

async function isHit(key: Key): Promise<boolean> {
  const before = hits()
  await map.get(key)
  return hits() > before
}

/** Subscribes, and is told by every member that it has been told everything. */
async function warm(): Promise<void> {
  await map.get(cluster.keyIn(0, 9))
  await subscription(0)
  await subscription(1)
  // Members are asked as soon as a subscription begins; the answers to an earlier question would prove nothing of it.
  await asked(0)
  for (const partition of [0, 1]) {
    const key = cluster.keyIn(partition, 9)
    await map.get(key)
    while (!(await isHit(key))) await asked()
    await tell('remove', key, partition)
  }
  await heard()
}

/** Puts behind the client's back, and reads it in. */
async function load(key: Key, n: number): Promise<void> {
  store(key, n)
  expect(await map.get(key)).toEqual({ n })
}

function store(key: Key, n: number): void {
  const bytes = Buffer.from(encoded(key))
  const state = cluster.partitions[cluster.partitionOf(key)]!
  const value = Buffer.from(encoded({ n }))
  const id = `${cluster.maps.get('m') ?? 1} ${bytes.toString('latin1')}`
  state.entries.set(id, {
    map: cluster.maps.get('m') ?? 1,
    keyBytes: bytes,
    hash: 0,
    value,
    seq: ++state.seq,
    expiresAt: 0,
  })
}

/** Expects that the next read of `key` is served from here, or is not. */
async function expectHit(key: Key, served: boolean): Promise<void> {
  const [hitsBefore, getsBefore] = [hits(), gets()]
  await map.get(key)
  expect({ hit: hits() - hitsBefore, get: gets() - getsBefore }).toEqual(
    served ? { hit: 1, get: 0 } : { hit: 0, get: 1 },
  )
}

describe('what is kept', () => {
  test('a value: decoded once, shared, frozen to its depth', async () => {
    await warm()
    await map.put(A(), { n: 1, tags: ['x'] })
    const hitsBefore = hits()
    const first = await map.get(A())
    const before = gets()
    const again = await map.get(A())
    expect(again).toBe(first)
    expect(gets()).toBe(before)
    expect(Object.isFrozen(again) && Object.isFrozen(again!.tags)).toBe(true)
    expect(await map.has(A())).toBe(true)
    expect(await map.getAll([A()])).toEqual(new Map([[A(), { n: 1, tags: ['x'] }]]))
    expect(sent(Operation.has)).toEqual([])
    expect(gets()).toBe(before)
    expect(map.nearCacheStats!.hits - hitsBefore).toBe(3)
    expect(map.nearCacheStats!.entries).toBe(1)
  })

  test('that there is no entry', async () => {
    await warm()
    expect(await map.get(B())).toBeUndefined()
    await expectHit(B(), true)
    expect(await map.has(B())).toBe(false)
    await tell('put', B())
    store(B(), 1)
    await heard()
    expect(await map.get(B())).toEqual({ n: 1 })
  })

  test('under every kind of key, each for itself', async () => {
    await warm()
    const keys: Key[] = [5, 5n, '5', '\0', '\0\u0005', ['a', 1], ['a', 2], new Date(7), new Uint8Array([1])]
    for (const [n, key] of keys.entries()) await load(key, n)
    for (const [n, key] of keys.entries()) {
      const before = gets()
      expect(await map.get(key)).toEqual({ n })
      expect(gets()).toBe(before)
    }
    await tell('put', ['a', 2], cluster.partitionOf(['a', 2]))
    await heard()
    await expectHit(['a', 1], true)
    await expectHit(['a', 2], false)
  })

  test('what the bounds allow', async () => {
    const small = grid.map<string, unknown>('small', { nearCache: { maxEntries: 2, maxBytes: 2000 } })
    await small.get('warm')
    await cluster.until(() => cluster.watches.length === 2)
    await asked()
    for (const key of ['a', 'b', 'c']) await small.get(key)
    expect(small.nearCacheStats!.entries).toBe(2)
    await small.put('a', 'x'.repeat(3000))
    await small.get('a')
    expect(small.nearCacheStats!.bytes).toBeLessThan(2000)
    const before = gets()
    await small.get('a')
    expect(gets()).toBe(before + 1)
  })

  test('nothing of a read made before the subscription began', async () => {
    establishes = false
    cluster.intercept = ({ operation }) => (operation === Operation.get ? 'drop' : undefined)
    const value = map.get(A())
    await cluster.until(() => gets() === 1)
    for (const partition of [0, 1]) begin(await subscription(partition))
    await heard()
    cluster.members[0]!.reply(sent(Operation.get)[0]!, ReplyStatus.ok, (w) => w.bytes(encoded({ n: 1 })))
    expect(await value).toEqual({ n: 1 })
    expect(map.nearCacheStats!.entries).toBe(0)
  })
})

describe('what takes it away', () => {
  test.each(['put', 'remove', 'leave'] as const)('an event of the key: %s', async (kind) => {
    await warm()
    await load(A(), 1)
    await load(B(), 1)
    await tell(kind, A())
    await heard()
    await expectHit(B(), true)
    await expectHit(A(), false)
    expect(map.nearCacheStats!.invalidations).toBe(3) // with those of warm()
  })

  test('a clear, of its partition', async () => {
    await warm()
    await load(A(), 1)
    await load(OTHER(), 1)
    await tell('clear')
    await heard()
    await expectHit(OTHER(), true)
    await expectHit(A(), false)
    await expectHit(A(), true) // What was proven of the partition holds for what is read after it.
  })

  test('a reset, until the stream begins again', async () => {
    await warm()
    await load(A(), 1)
    await tell('reset')
    await heard()
    await expectHit(A(), false)
    await asked()
    await expectHit(A(), false)
    begin(await subscription(0))
    await heard()
    await expectHit(A(), false)
    await asked()
    await expectHit(A(), true)
  })

  test('the end of the subscription; a new one has another number, and the old one counts for nothing', async () => {
    await warm()
    await load(A(), 1)
    const old = await subscription(0)
    establishes = false
    old.member.endWatch(old.link, old.watch.watch, 0, new GridError('OVERLOADED', 'later'))
    const next = await subscription(0, 2)
    expect(next.watch.watch).not.toBe(old.watch.watch)
    begin(old)
    old.member.sendProgress(old.link, {
      request: cluster.progressRequests.at(-1)!.request,
      told: [{ watch: old.watch.watch, partition: 0 }],
    })
    await heard()
    await expectHit(A(), false)
    await expectHit(A(), false)
    begin(next)
    await heard()
    await expectHit(A(), false)
    await asked()
    await expectHit(A(), true)
  })

  test('another owner', async () => {
    await warm()
    await load(A(), 1)
    const [first, second] = cluster.members
    cluster.move(0, cluster.partitions[0]!.owner === first ? second : first)
    cluster.pushView()
    const { member, watch } = await subscription(0, 2)
    expect(member).toBe(cluster.partitions[0]!.owner)
    expect(watch).toMatchObject({ keysOnly: true, initial: false, resume: undefined })
    await heard()
    await expectHit(A(), false)
    await asked()
    await expectHit(A(), true)
  })

  test('a lost connection', async () => {
    await warm()
    await load(A(), 1)
    cluster.partitions[0]!.owner!.cut()
    await subscription(0, 2)
    await expectHit(A(), false)
  })

  test('an event of a kind that there is not: reads go on without the cache', async () => {
    await warm()
    const { member, link, watch } = await subscription(0)
    member.sendEvents(link, watch.watch, 0, 9, [{ kind: 99, seq: 9 }])
    await cluster.until(() => !member.links.has(link))
    await load(A(), 1)
    await expectHit(A(), false)
    expect(cluster.watches.length).toBe(2)
  })

  test('the end of the client', async () => {
    await warm()
    await load(A(), 1)
    await grid.close()
    await expect(map.get(A())).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('an answer and the news of its key', () => {
  /** Sends a get and holds its answer back. */
  async function held(
    key: string,
  ): Promise<{ value: Promise<Value | undefined>; answer: (n: number, seq?: number) => void }> {
    const before = gets()
    cluster.intercept = ({ operation }) => (operation === Operation.get ? 'drop' : undefined)
    const value = map.get(key)
    await cluster.until(() => gets() > before)
    const call = sent(Operation.get).at(-1)!
    cluster.intercept = () => undefined
    const state = cluster.partitions[call.partition]!
    const answer = (n: number, seq = state.seq): void =>
      call.member.reply(call, ReplyStatus.ok, (w) => w.bytes(encoded({ n })), { ...state, seq })
    return { value, answer }
  }

  test('the news comes first: the answer is given and not kept', async () => {
    await warm()
    const { value, answer } = await held(A())
    await tell('put', A())
    answer(1)
    expect(await value).toEqual({ n: 1 })
    await expectHit(A(), false)
  })

  test('the answer comes first: it is kept until the news', async () => {
    await warm()
    const { value, answer } = await held(A())
    answer(1)
    await value
    await expectHit(A(), true)
    await tell('put', A())
    await heard()
    await expectHit(A(), false)
  })

  test.each(['clear', 'reset'] as const)('a %s of the partition comes first: not kept', async (kind) => {
    await warm()
    const { value, answer } = await held(A())
    await tell(kind)
    if (kind === 'reset') begin(await subscription(0))
    answer(1)
    expect(await value).toEqual({ n: 1 })
    expect(map.nearCacheStats!.entries).toBe(0)
  })

  test('news of another key or partition changes nothing', async () => {
    await warm()
    const { value, answer } = await held(A())
    await tell('put', B())
    await tell('clear', undefined, 1)
    answer(1)
    await value
    await expectHit(A(), true)
  })

  test('two reads: the news between them leaves the second', async () => {
    await warm()
    const first = await held(A())
    await tell('put', A())
    await heard()
    const second = await held(A())
    first.answer(1)
    second.answer(2)
    expect([await first.value, await second.value]).toEqual([{ n: 1 }, { n: 2 }])
    await expectHit(A(), true)
    expect(await map.get(A())).toEqual({ n: 2 })
  })

  test('two reads that overtake each other: the newer one stays', async () => {
    await warm()
    const seq = cluster.partitions[0]!.seq
    const first = await held(A())
    const second = await held(A())
    second.answer(2, seq + 2)
    first.answer(1, seq + 1)
    expect([await first.value, await second.value]).toEqual([{ n: 1 }, { n: 2 }])
    expect(await map.get(A())).toEqual({ n: 2 })
  })
})

describe('how stale it may be', () => {
  test('an owner that does not answer: after maxStaleMs its entries are not served', async () => {
    await warm()
    await load(A(), 1)
    await load(OTHER(), 1)
    vouches = (partition) => partition !== 0
    jump.mono = jump.wall = 1001
    await expectHit(A(), false)
    await asked()
    await expectHit(A(), false)
    await expectHit(OTHER(), true)
    vouches = () => true
    await asked()
    await expectHit(A(), true)
  })

  test('members that say nothing at all are not flooded', async () => {
    await warm()
    await load(A(), 1)
    const answer = cluster.onProgressRequest
    const from = cluster.progressRequests.length
    cluster.onProgressRequest = () => {}
    await cluster.until(() => cluster.progressRequests.length >= from + 4)
    jump.mono = jump.wall = 1001
    await expectHit(A(), false)
    cluster.onProgressRequest = answer
    await asked()
    await expectHit(A(), true)
  })

  test('counted from the question, not from the answer', async () => {
    await warm()
    await load(A(), 1)
    const answer = cluster.onProgressRequest
    const from = cluster.progressRequests.length
    cluster.onProgressRequest = () => {}
    await cluster.until(() => cluster.progressRequests.length >= from + 2)
    cluster.onProgressRequest = () => {}
    jump.mono = jump.wall = 1500
    for (const question of cluster.progressRequests.slice(from)) answer(question)
    await heard()
    await expectHit(A(), false)
    cluster.onProgressRequest = answer
  })

  test.each([
    ['the machine has slept', 0, 1001],
    ['the wall clock was set back', 0, -10_000],
    ['the monotonic clock alone went on', 1001, 0],
  ])('%s: not served', async (_, mono, wall) => {
    await warm()
    await load(A(), 1)
    await expectHit(A(), true)
    Object.assign(jump, { mono, wall })
    await expectHit(A(), false)
  })

  test('a read that is to be confirmed goes to the owner, and what it finds is kept', async () => {
    await warm()
    await load(A(), 1)
    store(A(), 2)
    expect(await map.get(A(), { consistency: 'confirmed' })).toEqual({ n: 2 })
    expect(sent(Operation.get).at(-1)!.flags & FLAG_CONFIRMED).toBe(FLAG_CONFIRMED)
    expect(await map.get(A(), { timeoutMs: 500 })).toEqual({ n: 2 })
    await expectHit(A(), true)
  })
})

describe('writes of this client', () => {
  const writes: [name: string, write: (map: GridMap<Key, Value>, key: string) => Promise<unknown>][] = [
    ['put', (map, key) => map.put(key, { n: 2 })],
    ['putIfAbsent', (map, key) => map.putIfAbsent(key, { n: 2 })],
    ['replace', (map, key) => map.replace(key, { n: 2 })],
    ['remove', (map, key) => map.remove(key)],
    ['update', (map, key) => map.update(key, { $set: { n: 2 } })],
    ['invoke', (map, key) => map.invoke(key, 'raise')],
    ['putAll', (map, key) => map.putAll([[key, { n: 2 }]])],
    ['removeAll', (map, key) => map.removeAll([key])],
    ['clear', (map) => map.clear()],
  ]

  beforeEach(() => {
    cluster.processors.set('raise', (value) => ({ value: { n: (value as Value).n + 1 }, result: null }))
  })

  test.each(writes)('%s: a read made after it is not served from before it', async (_, write) => {
    await warm()
    await load(A(), 1)
    const before = gets()
    const writing = write(map, A())
    const reading = map.get(A())
    await writing
    await reading
    expect(gets()).toBe(before + 1)
  })

  test.each(writes)('%s: a read under way as it was made is not kept', async (_, write) => {
    await warm()
    store(A(), 1)
    const reading = map.get(A())
    const writing = write(map, A())
    expect(await reading).toEqual({ n: 1 })
    await writing
    await expectHit(A(), false)
  })

  test('invokeAll, key by key', async () => {
    await warm()
    await load(A(), 1)
    await load(OTHER(), 1)
    await map.invokeAll('raise')
    expect(await map.get(A())).toEqual({ n: 2 })
    expect(await map.get(OTHER())).toEqual({ n: 2 })
  })

  test('made through another map of the same name', async () => {
    await warm()
    await load(A(), 1)
    const plain = grid.map<string, Value>('m')
    expect(plain.nearCacheStats).toBeUndefined()
    await plain.put(A(), { n: 2 })
    expect(await map.get(A())).toEqual({ n: 2 })
  })

  test('once more when they have ended', async () => {
    await warm()
    store(A(), 1)
    cluster.intercept = ({ operation }) => (operation === Operation.put ? 'drop' : undefined)
    const writing = map.put(A(), { n: 2 })
    await cluster.until(() => sent(Operation.put).length === 1)
    await map.get(A())
    await expectHit(A(), true)
    cluster.members[0]!.reply(sent(Operation.put)[0]!, ReplyStatus.ok, () => {})
    await writing
    await expectHit(A(), false)
  })
})

describe('its options', () => {
  test.each([
    [{ maxEntries: 0 }, /maxEntries is 0; must be a whole number, 1 to 1000000/],
    [{ maxEntries: 1.5 }, /maxEntries/],
    [{ maxBytes: 1023 }, /maxBytes/],
    [{ maxStaleMs: 19 }, /maxStaleMs is 19; must be a whole number, 20 to 600000/],
    [{ maxStaleMs: Number.POSITIVE_INFINITY }, /maxStaleMs/],
    [{ maxAge: 5 }, /unknown near cache option "maxAge"/],
    ['yes', /must be a plain object/],
  ])('%j is refused', (nearCache, message) => {
    expect(() => grid.map('x', { nearCache } as never)).toThrow(message)
    expect(() => grid.map('x', { nearCache } as never)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    )
  })

  test('one near cache a map: the same bounds share it, others are refused', async () => {
    await warm()
    await load(A(), 1)
    const same = grid.map<string, Value>('m', { nearCache: { maxStaleMs: 1000 } })
    const before = gets()
    await same.get(A())
    expect(gets()).toBe(before)
    expect(() => grid.map('m', { nearCache: { maxStaleMs: 500 } })).toThrow(/has maxStaleMs 1000, not 500/)
  })

  test('they are no part of what members hear', async () => {
    await map.put(A(), { n: 1 })
    expect(cluster.mapConfigs.get('m')).toBeUndefined()
    await grid.map('ttl', { ttlMs: 5000, nearCache: {} }).put('k', 1)
    expect(cluster.mapConfigs.get('ttl')).toEqual({ ttlMs: 5000 })
  })

  test('nothing is subscribed to before the first read', async () => {
    await map.put(A(), { n: 1 })
    await map.getEntry(A())
    expect(cluster.watches).toEqual([])
    expect(cluster.progressRequests).toEqual([])
    expect(map.nearCacheStats).toEqual({ hits: 0, misses: 0, entries: 0, bytes: 0, invalidations: 0 })
  })
})

describe('its memory', () => {
  test('holds a reservation for each read under way, and none after', () => {
    const clocks = { nowMs: () => 0, wallMs: () => 0 }
    const cache = new NearCache({ maxEntries: 10, maxBytes: 10_000, maxStaleMs: 100 }, clocks, defaultLimits)
    cache.established(0)
    const [first, second] = [cache.reserve('k'), cache.reserve('k')]
    expect(second).toBe(first)
    cache.release(first)
    expect(cache.reserve('k')).toBe(first)
    cache.release(first)
    cache.release(first)
    expect(cache.reserve('k')).not.toBe(first)
    expect(cache.reserve({} as never)).toBeUndefined()
  })
})
