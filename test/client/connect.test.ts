import { createServer } from 'node:net'
import { connect as connectNats } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { GridEvent } from '../../src/client/grid-event.ts'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { AnnouncementKind, readAnnouncement, writeAnnouncement } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { TestNatsServer } from '../support/nats-server.ts'
import { FakeCluster, FakeMember } from './fake-cluster.ts'

// One suite over both transports.
describe.each(['loopback', 'tcp'] as const)('connect over %s', (kind) => {
  let transport: Transport
  let cluster: FakeCluster

  beforeEach(async () => {
    const network = new LoopbackNetwork({ limits: defaultLimits })
    transport = kind === 'tcp' ? new TcpTransport({ limits: defaultLimits }) : network.transport()
    cluster = new FakeCluster(() => transport)
    await cluster.add()
    await cluster.add()
  })

  afterEach(() => cluster.close())

  test('through any member that answers', async () => {
    const single = await connect({ cluster: 'test', members: cluster.members[0]!.address, transport })
    await single.close()
    const members = ['127.0.0.1:1', cluster.members[1]!.address]
    const grid = await connect({ cluster: 'test', members, transport })
    expect(grid.members().map(({ name }) => name)).toEqual(['m1', 'm2'])
    expect(grid.partitions().map(({ owner }) => owner?.name)).toEqual(['m1', 'm2', 'm1', 'm2'])
    const map = grid.map<string, number>('m')
    await map.putAll([
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['d', 4],
    ])
    expect(await map.size()).toBe(4)
    await grid.close()
  })

  test('nobody there: UNREACHABLE names the addresses', async () => {
    const members = ['127.0.0.1:1', '127.0.0.1:2']
    const attempt = connect({ cluster: 'test', members, transport, timeoutMs: 100 })
    await expect(attempt).rejects.toMatchObject({ code: 'UNREACHABLE' })
    await expect(attempt).rejects.toThrow(/127\.0\.0\.1:1.*127\.0\.0\.1:2/)
  })

  test('another cluster is not waited for', async () => {
    const members = [cluster.members[0]!.address]
    const attempt = connect({ cluster: 'other', members, transport, timeoutMs: 60_000 })
    await expect(attempt).rejects.toMatchObject({ code: 'WRONG_CLUSTER' })
  })

  test('a cluster without partitions: NOT_READY, unless they come in time', async () => {
    const partitions = cluster.partitions.splice(0)
    const members = [cluster.members[0]!.address]
    const late = connect({ cluster: 'test', members, transport, timeoutMs: 80 })
    await expect(late).rejects.toMatchObject({ code: 'NOT_READY' })
    const attempt = connect({ cluster: 'test', members, transport })
    await cluster.until(() => cluster.members[0]!.links.size > 0)
    cluster.partitions.push(...partitions)
    const pushed = setInterval(() => cluster.pushView(), 5)
    const grid = await attempt
    clearInterval(pushed)
    expect(grid.partitions().length).toBe(4)
    await grid.close()
  })

  test('an abort', async () => {
    const controller = new AbortController()
    const members = ['127.0.0.1:1']
    const attempt = connect({ cluster: 'test', members, transport, signal: controller.signal })
    controller.abort()
    await expect(attempt).rejects.toMatchObject({ code: 'ABORTED', applied: 'no' })
    await expect(
      connect({ cluster: 'test', members, transport, signal: controller.signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('events: members come and go', async () => {
    const grid = await connect({ cluster: 'test', members: [cluster.members[0]!.address], transport })
    const events = grid.events()
    const third = await cluster.add()
    const seen: GridEvent[] = []
    for await (const event of events) {
      seen.push(event)
      if (event.type === 'memberJoined') {
        third.gone = true
        for (const [p, { owner }] of cluster.partitions.entries())
          if (owner === third) cluster.move(p, undefined)
        cluster.version++
        cluster.pushView()
      }
      if (event.type === 'partitionsLost') break
    }
    expect(seen.map(({ type }) => type)).toEqual([
      'memberJoined',
      'partitionsMoved',
      'memberLeft',
      'partitionsLost',
    ])
    await grid.close()
    expect(await grid.events().next()).toEqual({ value: undefined, done: true })
  })
})

test('the await using of languages that have it closes', async () => {
  const network = new LoopbackNetwork({ limits: defaultLimits })
  const cluster = new FakeCluster(() => network.transport())
  const member = await cluster.add()
  const grid = await connect({ cluster: 'test', members: [member.address], transport: network.transport() })
  await grid[Symbol.asyncDispose]()
  await expect(grid.map('m').get('a')).rejects.toMatchObject({ code: 'CLOSED' })
  await cluster.close()
})

test('a member that has become another process is not taken for the old one', async () => {
  const network = new LoopbackNetwork({ limits: defaultLimits })
  const cluster = new FakeCluster(() => network.transport())
  const member = await cluster.add()
  const grid = await connect({ cluster: 'test', members: [member.address], transport: network.transport() })
  const map = grid.map<string, number>('m')
  await map.put('a', 1)
  await member.close()
  const other = new FakeMember(cluster, 'other')
  await other.listen('test', member.address)
  cluster.members.push(other)
  const put = map.put('a', 2)
  for (let p = 0; p < 4; p++) cluster.move(p, other)
  cluster.pushView()
  await put
  expect(cluster.calls.at(-1)!.member).toBe(other)
  await grid.close()
  await cluster.close()
})

test('NATS that is not there: CONTROL_UNAVAILABLE names it', async () => {
  const server = createServer()
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  await new Promise((resolve) => server.close(resolve))
  const attempt = connect({ cluster: 'test', nats: `nats://127.0.0.1:${port}`, timeoutMs: 200 })
  await expect(attempt).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' })
  await expect(attempt).rejects.toThrow(`127.0.0.1:${port}`)
})

test('members are found through NATS, also when the client comes first', async () => {
  const server = await TestNatsServer.start({ jetStream: false })
  const transport = new TcpTransport({ limits: defaultLimits })
  const cluster = new FakeCluster(() => transport)
  const attempt = connect({ cluster: 'test', nats: server.url })
  const member = await cluster.add()
  const nats = await connectNats({ servers: server.url })
  nats.subscribe('actorgrid.test.announce', {
    callback: (_, message) => {
      const { kind } = readAnnouncement(new ByteReader(message.data))
      if (kind !== AnnouncementKind.who) return
      const w = new ByteWriter(64)
      const { id, address } = member
      writeAnnouncement(w, { kind: AnnouncementKind.member, id, address, info: new Uint8Array(0) })
      nats.publish('actorgrid.test.announce', w.take())
    },
  })
  const grid = await attempt
  const map = grid.map<string, number>('m')
  await map.put('a', 1)
  expect(await map.get('a')).toBe(1)
  await grid.close()
  await nats.close()
  await cluster.close()
  await server.remove()
})

describe('options', () => {
  test.each([
    [{ members: ['a:1'] }, /cluster is undefined/],
    [{ cluster: 'a b', members: ['a:1'] }, /cluster is "a b"/],
    [{ cluster: 'c' }, /nats .* or members/],
    [{ cluster: 'c', member: ['a:1'] }, /unknown option "member": did you mean members/],
    [{ cluster: 'c', members: [5] }, /5 is no address/],
    [{ cluster: 'c', members: ['a:1', 'b'] }, /"b" is no address; write host:port/],
    [{ cluster: 'c', members: 'a:0' }, /"a:0" has port 0/],
    [{ cluster: 'c', nats: 'http://a', members: ['a:1'] }, /is not nats:/],
    [{ cluster: 'c', members: ['a:1'], timeoutMs: 0 }, /timeoutMs is 0/],
    [
      { cluster: 'c', members: ['a:1'], limits: { keyBytes: 1 } },
      /unknown limit "keyBytes": did you mean keyBytesMax/,
    ],
    [{ cluster: 'c', members: ['a:1'], limits: { keyBytesMax: 1e6 } }, /at most 65,535/],
    [{ cluster: 'c', members: ['a:1'], limits: { depthMax: 0 } }, /depthMax is 0/],
  ])('%j is refused', async (options, message) => {
    const attempt = connect(options as never)
    await expect(attempt).rejects.toMatchObject({ code: 'BAD_OPTION' })
    await expect(attempt).rejects.toThrow(message)
  })
})
