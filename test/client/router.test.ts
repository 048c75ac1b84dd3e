import { setMaxListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { Lane } from '../../src/client/lane.ts'
import { PendingCall } from '../../src/client/pending-call.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits, SESSION_IDLE_MS, TIMEOUT_MAX_MS } from '../../src/core/base/limits.ts'
import { randomInt, seededRandom } from '../../src/core/base/random.ts'
import { FLAG_RETRY, FLAG_SESSION, Operation, ReplyStatus } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { FakeCluster, type SeenCall } from './fake-cluster.ts'

/** Flags of a write whose first attempt may have run, after an earlier one of the session was applied. */
const AGAIN = FLAG_RETRY | FLAG_SESSION

let network: LoopbackNetwork
let cluster: FakeCluster
let grid: Grid
let map: GridMap<string, number>

beforeEach(async () => {
  network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport())
  await cluster.add()
  await cluster.add()
  grid = await open()
  map = grid.map<string, number>('m')
  for (let p = 0; p < 4; p++) await map.put(cluster.keyIn(p), 0)
  cluster.calls.length = 0
})

afterEach(async () => {
  expect(grid.metrics.staleReplies).toBe(0)
  await grid.close()
  await cluster.close()
})

function open(limits = {}): Promise<Grid> {
  const members = [cluster.members[0]!.address]
  return connect({ cluster: 'test', members, transport: network.transport(), limits })
}

/** The calls on one partition, as the members saw them. */
function seen(partition: number): SeenCall[] {
  return cluster.calls.filter((call) => call.partition === partition)
}

const numbers = (calls: readonly SeenCall[]): number[] => calls.map(({ call }) => call)

describe('routing', () => {
  test('each partition at its owner, over one connection a member', async () => {
    for (let p = 0; p < 4; p++) await map.get(cluster.keyIn(p))
    for (const call of cluster.calls) expect(call.member).toBe(cluster.partitions[call.partition]!.owner)
    expect(cluster.members.map(({ accepted }) => accepted)).toEqual([1, 1])
    expect(new Set(cluster.members.flatMap(({ sessions }) => [...sessions])).size).toBe(1)
  })

  test('where nobody owns a partition any member is asked: it names the owner, or says that there is none', async () => {
    const key = cluster.keyIn(0)
    cluster.move(0, undefined)
    const lost = new GridError('PARTITION_LOST', 'm1 is silent')
    cluster.intercept = ({ partition }) => (partition === 0 ? lost : undefined)
    cluster.pushView()
    // Refused by the one that had owned it, unless the view is there before the answer.
    const first = map.put(key, 1)
    await expect(first).rejects.toMatchObject({ code: 'PARTITION_LOST' })
    const calls = seen(0).filter(({ call }) => call !== 0).length
    const puts = [1, 2, 3].map((value) => map.put(key, value))
    for (const put of puts) await expect(put).rejects.toMatchObject({ code: 'PARTITION_LOST', applied: 'no' })
    // Nobody was sent a call that it could have carried out.
    expect(seen(0).filter(({ call }) => call !== 0).length).toBe(calls)
    expect(numbers(seen(0))).toContain(0)
    cluster.intercept = () => undefined
    const put = map.put(key, 4)
    const asked = seen(0).length
    await cluster.until(() => seen(0).length > asked)
    // Not pushed: the answer says who it is.
    cluster.move(0, cluster.members[1])
    await put
    expect(await map.get(key)).toBe(4)
    expect(seen(0).at(-1)!.flags & FLAG_RETRY).toBe(0)
  })

  test('a moved partition is found through the reply', async () => {
    const key = cluster.keyIn(0)
    cluster.move(0, cluster.members[1])
    await map.put(key, 5)
    expect(seen(0).map(({ member }) => member.name)).toEqual(['m1', 'm2'])
    expect(seen(0)[1]!.epoch).toBe(2)
    expect(seen(0)[1]!.flags & FLAG_RETRY).toBe(0)
    expect(numbers(seen(0))).toEqual([2, 2])
    await map.get(key)
    expect(seen(0)[2]!.member.name).toBe('m2')
  })

  test('a view that is pushed moves later calls at once', async () => {
    cluster.move(0, cluster.members[1])
    const events = grid.events()
    cluster.pushView()
    expect((await events.next()).value).toEqual({ type: 'partitionsMoved', partitions: [0] })
    await map.get(cluster.keyIn(0))
    expect(seen(0).map(({ member }) => member.name)).toEqual(['m2'])
    expect(grid.partitions()[0]).toMatchObject({ partition: 0, epoch: 2, owner: { name: 'm2' } })
  })

  test('an owner that is unknown is asked for', async () => {
    const late = await cluster.add()
    for (const partition of cluster.partitions) if (partition.owner === late) partition.owner = undefined
    cluster.move(0, late)
    expect(await map.get(cluster.keyIn(0))).toBe(0)
    expect(seen(0).at(-1)!.member).toBe(late)
  })

  test('a partition without an owner waits for one', async () => {
    cluster.move(0, undefined)
    const get = map.get(cluster.keyIn(0))
    await cluster.until(() => seen(0).length > 0)
    cluster.move(0, cluster.members[1])
    cluster.pushView()
    expect(await get).toBe(0)
  })

  test('an older view changes nothing', async () => {
    const events = grid.events()
    cluster.move(0, cluster.members[1])
    cluster.pushView()
    await events.next()
    const [partition] = cluster.partitions
    const version = cluster.version
    Object.assign(partition!, { epoch: 1, owner: cluster.members[0] })
    cluster.version = 1
    cluster.pushView()
    await map.get(cluster.keyIn(1)) // Comes after the view on the same connection, and so does the next.
    await map.get(cluster.keyIn(2))
    Object.assign(partition!, { epoch: 2, owner: cluster.members[1] })
    cluster.version = version
    await map.get(cluster.keyIn(0))
    expect(seen(0).map(({ member }) => member.name)).toEqual(['m2'])
  })
})

describe('when the configuration log was rolled back', () => {
  const boot = (n: number): string => n.toString(16).padStart(32, '0')
  const names = (): string[] => grid.members().map(({ name }) => name)

  /** Shows a view in which the members have the names, through one member. */
  async function show(through: number, bootId: string, version: number, ...names: string[]): Promise<void> {
    const saved = cluster.members.map((member) => member.name)
    for (const [n, name] of names.entries()) Object.assign(cluster.members[n]!, { name })
    Object.assign(cluster, { boot: bootId, version })
    cluster.members[through]!.sendView()
    for (const [n, name] of saved.entries()) Object.assign(cluster.members[n]!, { name })
    await map.get(cluster.keyIn(through)) // Its answer comes after the view.
  }

  test('a view of another boot counts, though its version is lower, when the member that showed the last one shows it', async () => {
    const before = cluster.boot
    await show(0, before, 500, 'a', 'b')
    expect(names()).toEqual(['a', 'b'])
    await show(0, before, 400, 'older', 'b')
    expect(names()).toEqual(['a', 'b'])
    await show(0, boot(1), 20, 'c', 'd')
    expect(names()).toEqual(['c', 'd'])
    await show(1, before, 600, 'lagging', 'd')
    expect(names()).toEqual(['c', 'd'])
    await show(0, boot(1), 21, 'e', 'f')
    expect(names()).toEqual(['e', 'f'])
  })

  test('a boot that one member shows and another does not is kept until one of them goes over', async () => {
    await show(0, boot(2), 20, 'new', 'new')
    await show(1, boot(1), 900, 'old', 'old')
    expect(names()).toEqual(['new', 'new'])
    await show(1, boot(2), 21, 'newer', 'newer')
    expect(names()).toEqual(['newer', 'newer'])
    await show(0, boot(2), 22, 'newest', 'newest')
    expect(names()).toEqual(['newest', 'newest'])
  })

  test('a boot that no member shows any more is given up, though it was seen after the one that they show', async () => {
    const late = await cluster.add()
    await show(0, boot(1), 20, 'first')
    await show(0, boot(2), 22, 'astray')
    expect(names()[0]).toBe('astray')
    Object.assign(cluster, { boot: boot(1), version: 23 })
    for (const p of cluster.partitions.keys()) cluster.move(p, late)
    for (const member of cluster.members) if (member !== late) await member.close()
    late.sendView()
    await map.get(cluster.keyIn(0))
    expect(names()).toEqual(['m3'])
  })

  test('members that have yet to go over do not bring back the boot that was left', async () => {
    const first = cluster.boot
    await show(0, boot(2), 20, 'new', 'new')
    await show(1, first, 900, 'old', 'old')
    await cluster.add(undefined, false)
    cluster.members[2]!.sendView()
    await show(1, first, 901, 'old', 'old')
    expect(names()).toEqual(['new', 'new'])
  })

  test('the owner that a later configuration names is called, whether or not the view is a newer one', async () => {
    await show(0, boot(2), 20)
    const joined = await cluster.add(undefined, false)
    cluster.move(0, joined)
    await show(1, boot(1), 10)
    expect(names()).toEqual(['m1', 'm2'])
    await map.get(cluster.keyIn(0))
    expect(seen(0).at(-1)!.member).toBe(joined)
  })
})

describe('retries', () => {
  test.each(['OVERLOADED', 'NO_LEASE', 'NOT_READY', 'NOT_ENOUGH_REPLICAS'] as const)(
    'after %s the same number is sent again',
    async (code) => {
      let left = 3
      cluster.intercept = () => (left-- > 0 ? new GridError(code, 'not now') : undefined)
      await map.put(cluster.keyIn(0), 7)
      expect(numbers(seen(0))).toEqual([2, 2, 2, 2])
      const doubtful = code === 'NOT_ENOUGH_REPLICAS'
      expect(seen(0).map(({ flags }) => flags)).toEqual(doubtful ? [0, AGAIN, AGAIN, AGAIN] : [0, 0, 0, 0])
      expect(grid.metrics.retries).toBe(3)
    },
  )

  test.each(['STORE_FULL', 'PARTITION_LOST', 'PROCESSOR_FAILED', 'ERA_CHANGED'] as const)(
    '%s is reported at once',
    async (code) => {
      cluster.intercept = () => new GridError(code, 'so it is')
      await expect(map.put(cluster.keyIn(0), 7)).rejects.toMatchObject({ code })
      expect(seen(0).length).toBe(1)
    },
  )

  test('a connection cut in mid-call: sent again with its number, and applied once', async () => {
    const key = cluster.keyIn(0)
    cluster.processors.set('bump', (value) => ({
      value: (value as number) + 1,
      result: (value as number) + 1,
    }))
    let first = true
    cluster.intercept = ({ member }) => {
      if (!first) return undefined
      first = false
      queueMicrotask(() => member.cut())
      return 'loseReply'
    }
    expect(await map.invoke(key, 'bump')).toBe(1)
    expect(await map.get(key)).toBe(1)
    const invokes = seen(0).filter(({ operation }) => operation === Operation.invoke)
    expect(numbers(invokes)).toEqual([2, 2])
    expect(invokes.map(({ flags }) => flags)).toEqual([0, AGAIN])
    expect(grid.metrics.connectionsLost).toBe(1)
  })

  test('a member that dies: its calls go to the next owner', async () => {
    const [first, second] = cluster.members
    cluster.intercept = ({ member }) => (member === first ? 'loseReply' : undefined)
    const puts = [1, 2, 3].map((value) => map.put(cluster.keyIn(0), value))
    await cluster.until(() => seen(0).length === 3)
    for (const [p, { owner }] of cluster.partitions.entries()) if (owner === first) cluster.move(p, second)
    await first!.close()
    cluster.pushView()
    await Promise.all(puts)
    expect(await map.get(cluster.keyIn(0))).toBe(3)
    const again = seen(0).filter(({ member, operation }) => member === second && operation === Operation.put)
    expect(numbers(again)).toEqual([2, 3, 4])
    expect(again.every(({ flags }) => (flags & FLAG_RETRY) !== 0)).toBe(true)
  })

  test('reads are never marked as retries', async () => {
    let first = true
    cluster.intercept = ({ member }) => {
      if (!first) return undefined
      first = false
      queueMicrotask(() => member.cut())
      return 'drop'
    }
    expect(await map.get(cluster.keyIn(0))).toBe(0)
    expect(seen(0).map(({ flags }) => flags)).toEqual([0, 0])
  })

  test('later calls queue behind one that waits, and go out in order', async () => {
    const key = cluster.keyIn(0)
    let refusing = true
    const taken: number[] = []
    cluster.intercept = ({ call }) => {
      if (refusing) return new GridError('NOT_READY', 'wait')
      taken.push(call)
      return undefined
    }
    const puts = [map.put(key, 1)]
    await cluster.until(() => seen(0).length === 2) // The first refusal has been read.
    for (let value = 2; value <= 20; value++) puts.push(map.put(key, value))
    await cluster.until(() => seen(0).length >= 30)
    refusing = false
    await Promise.all(puts)
    expect(taken).toEqual(Array.from({ length: 20 }, (_, n) => n + 2))
    expect(await map.get(key)).toBe(20)
  })

  test('pipelined calls that are all refused arrive in order at the new owner', async () => {
    const key = cluster.keyIn(0)
    cluster.move(0, cluster.members[1])
    await Promise.all(Array.from({ length: 50 }, (_, value) => map.put(key, value)))
    const there = seen(0).filter(({ member }) => member.name === 'm2')
    expect(numbers(there)).toEqual(Array.from({ length: 50 }, (_, n) => n + 2))
    expect(await map.get(key)).toBe(49)
  })

  test('a refusal by a former owner does not disturb the attempt at the new one', async () => {
    const key = cluster.keyIn(0)
    const held: SeenCall[] = []
    cluster.intercept = (call) => {
      if (call.member.name === 'm2') return undefined
      held.push(call)
      return 'drop'
    }
    const put = map.put(key, 9)
    await cluster.until(() => held.length === 1)
    cluster.move(0, cluster.members[1])
    const arrived = cluster.until(() => seen(0).some(({ member }) => member.name === 'm2'))
    cluster.pushView()
    await arrived
    const error = (w: { u8(n: number): void; text(s: string): void }): void => {
      w.u8(21)
      w.u8(0)
      w.text('too late')
    }
    held[0]!.member.reply(held[0]!, ReplyStatus.error, error)
    await put
    expect(numbers(seen(0))).toEqual([2, 2])
  })
})

describe('what members may have forgotten', () => {
  test('a deadline longer than they remember is refused', async () => {
    expect(TIMEOUT_MAX_MS * 4).toBeLessThanOrEqual(SESSION_IDLE_MS)
    await map.get('a', { timeoutMs: TIMEOUT_MAX_MS })
    const tooLong = map.get('a', { timeoutMs: TIMEOUT_MAX_MS + 1 })
    await expect(tooLong).rejects.toMatchObject({ code: 'BAD_OPTION', applied: 'no' })
    const members = [cluster.members[0]!.address]
    const grid = connect({ cluster: 'test', members, transport: network.transport(), timeoutMs: 600_000 })
    await expect(grid).rejects.toThrow(/timeoutMs is 600000; must be 1 to 150000/)
  })

  test.each([
    [1, AGAIN],
    [0, FLAG_RETRY],
  ])('a clear that removed %d is a write of the session', async (count, flags) => {
    const other = await open()
    const there = other.map<string, number>('m')
    const key = cluster.keyIn(0)
    if (count === 0) await map.clear()
    expect(await there.clear()).toBe(count * 4)
    let left = 1
    cluster.intercept = () => (left-- > 0 ? new GridError('NOT_ENOUGH_REPLICAS', 'wait') : undefined)
    await there.put(key, 1)
    expect(seen(0).at(-1)!.flags).toBe(flags)
    await other.close()
  })

  test('after the machine has slept, what may have taken effect is not sent again', async () => {
    const key = cluster.keyIn(0)
    cluster.intercept = () => 'loseReply'
    const put = map.put(key, 5)
    await cluster.until(() => seen(0).length === 1)
    cluster.intercept = () => undefined
    const wallMs = Date.now()
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => wallMs + 700_000)
    cluster.members[0]!.cut()
    await expect(put).rejects.toMatchObject({ code: 'TIMEOUT', applied: 'unknown' })
    await expect(put).rejects.toThrow(/slept for about \d+ s/)
    clock.mockRestore()
    expect(await map.get(key)).toBe(5)
    expect(seen(0).map(({ operation }) => operation)).toEqual([Operation.put, Operation.get])
  })
})

describe('the window', () => {
  test('ackUpTo stops below a call that is not answered, and passes it when it is', async () => {
    const key = cluster.keyIn(0)
    const held: SeenCall[] = []
    cluster.intercept = (call) => {
      if (call.call !== 2) return undefined
      held.push(call)
      return 'drop'
    }
    const stuck = map.get(key)
    for (let i = 0; i < 40; i++) await map.put(key, i)
    expect(
      seen(0)
        .slice(1)
        .every(({ ackUpTo }) => ackUpTo === 1),
    ).toBe(true)
    held[0]!.member.reply(held[0]!, ReplyStatus.ok, () => {})
    expect(await stuck).toBeUndefined()
    await map.put(key, 1)
    expect(seen(0).at(-1)).toMatchObject({ call: 43, ackUpTo: 42 })
  })

  test('a call that was given up does not hold it back', async () => {
    const key = cluster.keyIn(0)
    cluster.intercept = ({ call }) => (call === 2 ? 'drop' : undefined)
    await expect(map.put(key, 1, { timeoutMs: 60 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    await map.put(key, 2)
    expect(seen(0).at(-1)).toMatchObject({ call: 3, ackUpTo: 2 })
  })

  test('is never exceeded; more calls wait, then are refused', async () => {
    const small = await open({ callsPerPartitionMax: 8, waitingCallsMax: 16 })
    const narrow = small.map<string, number>('m')
    const key = cluster.keyIn(0)
    await narrow.get(key)
    cluster.calls.length = 0
    let holding = true
    const held: SeenCall[] = []
    cluster.intercept = (call) => {
      if (!holding) return undefined
      held.push(call)
      return 'drop'
    }
    const gets = Array.from({ length: 24 }, () => narrow.get(key))
    await expect(narrow.get(key)).rejects.toMatchObject({ code: 'OVERLOADED', applied: 'no' })
    await cluster.until(() => held.length === 8)
    holding = false
    for (const call of held) call.member.reply(call, ReplyStatus.ok, () => {})
    await Promise.all(gets)
    const spans = seen(0).map(({ call, ackUpTo }) => call - ackUpTo)
    expect(Math.max(...spans)).toBe(8)
    expect(numbers(seen(0))).toEqual(Array.from({ length: 24 }, (_, n) => n + 2))
    await small.close()
  })
})

describe('giving up', () => {
  afterEach(() => void vi.useRealTimers())

  test('calls that were given up in the queue leave their room and their bytes', async () => {
    const small = await open({ callsPerPartitionMax: 4, waitingCallsMax: 16 })
    const narrow = small.map<string, number>('m')
    const key = cluster.keyIn(0)
    await narrow.get(key)
    cluster.intercept = () => 'drop'
    const filling = Promise.allSettled(Array.from({ length: 4 }, () => narrow.get(key)))
    for (let round = 0; round < 3; round++) {
      const late = await Promise.allSettled(
        Array.from({ length: 16 }, () => narrow.get(key, { timeoutMs: 60 })),
      )
      for (const outcome of late) expect(outcome).toMatchObject({ reason: { code: 'TIMEOUT' } })
    }
    await small.close()
    await filling
  })

  test('calls between those that were given up keep their order', () => {
    const lane = new Lane(0, { callsPerPartitionMax: 1, waitingCallsMax: 100 })
    const make = (): PendingCall =>
      new PendingCall(0, Operation.get, () => 0, 'k', 1, 1, Buffer.alloc(64), 0, 64, lane)
    const calls = Array.from({ length: 41 }, make)
    for (const call of calls) lane.enqueue(call)
    expect(lane.queued).toBe(40)
    const kept = calls.filter((call, n) => {
      if (n === 0 || n % 4 === 1) return n > 0
      call.done = true
      lane.remove(call)
      return false
    })
    expect(lane.queued).toBe(10)
    expect(calls.filter(({ bytes }) => bytes.length > 0).length).toBe(11)
    expect(lane.calls()).toEqual([calls[0], ...kept])
    const atGate = make()
    atGate.done = true
    lane.remove(atGate)
    expect(lane.queued).toBe(10)
    for (const call of kept) {
      call.done = true
      lane.remove(call)
    }
    expect(lane.queued).toBe(0)
    expect(lane.hungry).toBe(true) // The one that has a number.
  })

  test('a deadline: unknown for a write that was sent, no for a read', async () => {
    cluster.intercept = () => 'drop'
    const key = cluster.keyIn(0)
    const options = { timeoutMs: 60 }
    await expect(map.put(key, 1, options)).rejects.toMatchObject({ code: 'TIMEOUT', applied: 'unknown' })
    await expect(map.get(key, options)).rejects.toMatchObject({ code: 'TIMEOUT', applied: 'no' })
    expect(grid.metrics.timeouts).toBe(2)
    expect(grid.pendingCalls).toBe(0)
  })

  test('a deadline after clean refusals: not applied, with the refusal as cause', async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    })
    const patient = await open({})
    const waiting = patient.map<string, number>('m')
    await waiting.get(cluster.keyIn(0))
    cluster.intercept = () => new GridError('NO_LEASE', 'no lease')
    // Attempts come after 1, 2, 4 … 128 ms and then every 200: at this deadline the call waits, and is not under way.
    const put = waiting.put(cluster.keyIn(0), 1, { timeoutMs: 350 })
    const refused = expect(put).rejects.toMatchObject({
      code: 'TIMEOUT',
      applied: 'no',
      cause: { code: 'NO_LEASE' },
    })
    while (patient.pendingCalls > 0) {
      vi.advanceTimersByTime(1)
      // A call and its answer take a turn each.
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    await refused
    expect(cluster.calls.length).toBeGreaterThan(5)
    vi.useRealTimers()
    await patient.close()
  })

  test('a deadline while no member can be reached', async () => {
    const events = grid.events()
    for (const member of cluster.members) await member.close()
    await events.next()
    const put = map.put(cluster.keyIn(0), 1, { timeoutMs: 120 })
    await expect(put).rejects.toMatchObject({
      code: 'TIMEOUT',
      applied: 'no',
      cause: { code: 'UNREACHABLE' },
    })
  })

  test('an abort: no before sending, unknown after', async () => {
    const key = cluster.keyIn(0)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(map.put(key, 1, { signal })).rejects.toMatchObject({ code: 'ABORTED', applied: 'no' })
    expect(cluster.calls.length).toBe(0)
    cluster.intercept = () => 'drop'
    const controller = new AbortController()
    const put = map.put(key, 1, { signal: controller.signal })
    const get = map.get(key, { signal: controller.signal })
    await cluster.until(() => cluster.calls.length === 2)
    controller.abort()
    await expect(put).rejects.toMatchObject({ code: 'ABORTED', applied: 'unknown' })
    await expect(get).rejects.toMatchObject({ code: 'ABORTED', applied: 'no' })
  })

  test('a reply to a call that was given up is dropped', async () => {
    const key = cluster.keyIn(0)
    cluster.intercept = () => 'drop'
    await expect(map.get(key, { timeoutMs: 60 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    cluster.intercept = () => undefined
    const [late] = seen(0)
    late!.member.reply(late!, ReplyStatus.ok, () => {})
    expect(await map.get(key)).toBe(0)
    expect(grid.metrics.lateReplies).toBe(1)
  })

  test('close settles everything', async () => {
    cluster.intercept = () => 'drop'
    const put = map.put(cluster.keyIn(0), 1)
    const get = map.get(cluster.keyIn(1))
    const settled = Promise.allSettled([put, get])
    await cluster.until(() => cluster.calls.length === 2)
    await grid.close()
    const [a, b] = await settled
    expect(a).toMatchObject({ reason: { code: 'CLOSED', applied: 'unknown' } })
    expect(b).toMatchObject({ reason: { code: 'CLOSED', applied: 'no' } })
    await expect(map.get('a')).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

test('a reply from before what had been seen is refused and counted', async () => {
  const key = cluster.keyIn(0)
  await map.put(key, 1)
  cluster.intercept = (call) => {
    call.member.reply(call, ReplyStatus.ok, () => {}, { ...cluster.partitions[0]!, epoch: 1, seq: 1 })
    return 'drop'
  }
  await expect(map.get(key)).rejects.toMatchObject({ code: 'INTERNAL' })
  expect(grid.metrics.staleReplies).toBe(1)
  ;(grid.metrics as { staleReplies: number }).staleReplies = 0
})

test('an answer that cannot be read says of a write that it may have taken effect', async () => {
  cluster.intercept = (call) => {
    call.member.reply(call, ReplyStatus.ok, () => {})
    return 'drop'
  }
  const key = cluster.keyIn(0)
  await expect(map.putIfAbsent(key, 1)).rejects.toMatchObject({ code: 'MALFORMED', applied: 'unknown' })
  await expect(map.has(key)).rejects.toMatchObject({ code: 'MALFORMED', applied: 'no' })
})

test('when all members are gone the client finds those that come back', async () => {
  const events = grid.events()
  const { address } = cluster.members[0]!
  for (const member of cluster.members) await member.close()
  expect((await events.next()).value).toMatchObject({ type: 'connectionLost' })
  const get = map.get(cluster.keyIn(0))
  const fresh = await cluster.add(address)
  for (let p = 0; p < 4; p++) cluster.move(p, fresh)
  expect((await events.next()).value).toEqual({ type: 'connectionRestored', address })
  expect(await get).toBe(0)
  expect(grid.members()).toEqual([{ id: fresh.id, name: 'm3', address }])
})

test('a client that writes more than a member takes waits for it', async () => {
  const bytes = grid.map<string, Uint8Array>('m')
  const value = new Uint8Array(512 * 1024)
  const key = cluster.keyIn(0)
  await Promise.all(Array.from({ length: 60 }, () => bytes.put(key, value)))
  expect(numbers(seen(0))).toEqual(Array.from({ length: 60 }, (_, n) => n + 2))
  expect(grid.metrics.connectionsLost).toBe(0)
})

test('more calls than may wait for a map to be opened are refused and leave nothing behind', async () => {
  cluster.onOpenMap = () => 'drop'
  const fresh = grid.map<string, number>('fresh')
  const { signal } = new AbortController()
  setMaxListeners(0, signal)
  const listened = vi.spyOn(signal, 'addEventListener')
  const heard = vi.spyOn(signal, 'removeEventListener')
  const puts = Array.from({ length: 17_000 }, (_, n) => fresh.put(`k${n}`, n, { signal }))
  const outcomes = Promise.allSettled(puts)
  expect(grid.pendingCalls).toBe(16_384)
  await grid.close()
  expect(grid.pendingCalls).toBe(0)
  expect(heard.mock.calls.length).toBe(listened.mock.calls.length)
  const codes = (await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.code)
  expect(codes.filter((code) => code === 'OVERLOADED').length).toBe(616)
  expect(codes.filter((code) => code === 'CLOSED').length).toBe(16_384)
})

test('a bulk operation waits where a single call would be refused', async () => {
  const small = await open({ outputBytesMax: 100_000 })
  const bytes = small.map<string, Uint8Array>('m')
  const entries = Array.from({ length: 300 }, (_, n) => [`k${n}`, new Uint8Array(10_000)] as const)
  await bytes.putAll(entries)
  expect(await bytes.size()).toBe(304)
  await small.close()
})

test('bytes that await their answers are bounded', async () => {
  const small = await open({ outputBytesMax: 100_000 })
  const bytes = small.map<string, Uint8Array>('m')
  await bytes.get('a')
  cluster.intercept = () => 'drop'
  const value = new Uint8Array(10_000)
  const puts = Array.from({ length: 60 }, (_, n) => bytes.put(`k${n}`, value))
  const outcomes = Promise.allSettled(puts)
  await expect(puts[50]).rejects.toMatchObject({ code: 'OVERLOADED', applied: 'no' })
  await small.close()
  const codes = (await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.code)
  expect(codes.slice(0, 40)).toEqual(new Array(40).fill('CLOSED'))
})

test('whatever refuses, loses and moves: each call takes effect once, and those on a key in order', async () => {
  const random = seededRandom(20)
  cluster.processors.set('bump', (value) => ({
    value: ((value as number) ?? 0) + 1,
    result: ((value as number) ?? 0) + 1,
  }))
  const refusals = ['OVERLOADED', 'NO_LEASE', 'NOT_READY', 'NOT_ENOUGH_REPLICAS'] as const
  let budget = 400
  cluster.intercept = ({ member, operation }) => {
    if (operation !== Operation.invoke || random.next() > 0.2 || budget-- <= 0) return undefined
    const choice = randomInt(random, 8)
    if (choice === 0) cluster.move(randomInt(random, 4), cluster.members[randomInt(random, 2)])
    if (choice === 1) cluster.pushView()
    if (choice > 1 && choice < 5) {
      queueMicrotask(() => member.cut())
      return choice === 2 ? 'drop' : 'loseReply'
    }
    return choice < 2 ? 'notOwner' : new GridError(refusals[randomInt(random, 4)]!, 'not now')
  }
  const keys = Array.from({ length: 8 }, (_, n) => `counter-${n}`)
  const count = 150
  const workers = keys.map(async (key) => {
    const results: unknown[] = []
    for (let n = 0; n < count; n++) results.push(await map.invoke(key, 'bump'))
    return results
  })
  const inOrder = Array.from({ length: count }, (_, n) => n + 1)
  for (const results of await Promise.all(workers)) expect(results).toEqual(inOrder)
  expect(budget).toBeLessThanOrEqual(250)
  expect(grid.pendingCalls).toBe(0)
})
