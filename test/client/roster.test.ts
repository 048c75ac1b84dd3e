/** Finding members: when to look for them, how often, and for how long. */

import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { Roster, type RosterHandler } from '../../src/client/roster.ts'
import type { Announcements } from '../../src/control/control.ts'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { AnnouncementKind, readAnnouncement, writeAnnouncement } from '../../src/core/wire/message.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { FakeCluster } from './fake-cluster.ts'

let network: LoopbackNetwork
let cluster: FakeCluster

beforeEach(async () => {
  network = new LoopbackNetwork({ limits: defaultLimits })
  cluster = new FakeCluster(() => network.transport())
  await cluster.add()
})

afterEach(() => cluster.close())

/** Takes connections and says nothing. */
async function mute(): Promise<{ server: Server; port: number; arrived: Promise<Socket> }> {
  let take!: (socket: Socket) => void
  const arrived = new Promise<Socket>((resolve) => {
    take = resolve
  })
  const server = createServer((socket) => {
    socket.on('error', () => {})
    take(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, port: (server.address() as { port: number }).port, arrived }
}

async function end(server: Server, socket: Socket): Promise<void> {
  socket.destroy()
  await new Promise((resolve) => server.close(resolve))
}

test('a mute NATS does not hold up the deadline of connect, nor its signal', async () => {
  const { server, port, arrived } = await mute()
  const nats = `nats://127.0.0.1:${port}`
  const startMs = performance.now()
  const late = connect({ cluster: 'test', nats, timeoutMs: 100 })
  await expect(late).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' })
  const controller = new AbortController()
  const given = connect({ cluster: 'test', nats, signal: controller.signal })
  const socket = await arrived
  controller.abort()
  await expect(given).rejects.toMatchObject({ code: 'ABORTED' })
  expect(performance.now() - startMs).toBeLessThan(2500)
  await end(server, socket)
})

test('a mute member is let go of when connecting is given up', async () => {
  const { server, port, arrived } = await mute()
  const controller = new AbortController()
  const given = connect({ cluster: 'test', members: [`127.0.0.1:${port}`], signal: controller.signal })
  const socket = await arrived
  const startMs = performance.now()
  const gone = new Promise((resolve) => socket.on('close', resolve))
  socket.resume()
  controller.abort()
  await expect(given).rejects.toMatchObject({ code: 'ABORTED' })
  await gone
  expect(performance.now() - startMs).toBeLessThan(1500)
  await end(server, socket)
})

test('another cluster of the same name ends calls, and is not connected to in a storm', async () => {
  const { address } = cluster.members[0]!
  const grid = await connect({ cluster: 'test', members: [address], transport: network.transport() })
  const map = grid.map<string, number>('m')
  await map.put('a', 1)
  cluster.intercept = () => 'drop'
  const sent = map.put('a', 2)
  await cluster.until(() => cluster.calls.length === 2)
  await cluster.close()
  const waiting = map.put('b', 1)
  const startMs = performance.now()
  const other = new FakeCluster(() => network.transport())
  const member = await other.add(address)
  await expect(sent).rejects.toMatchObject({ code: 'WRONG_CLUSTER', applied: 'unknown' })
  await expect(waiting).rejects.toMatchObject({ code: 'WRONG_CLUSTER' })
  await other.until(() => member.accepted === 5)
  expect(performance.now() - startMs).toBeGreaterThan(200)
  await grid.close()
  await other.close()
})

test('announcements are listened to only while no member is connected', async () => {
  const [member] = cluster.members
  const steps: string[] = []
  let heard = (): void => {}
  const announcements = (): Announcements => {
    let told = (_: Uint8Array): void => {}
    return {
      open: async (onAnnouncement) => {
        steps.push('open')
        heard()
        told = onAnnouncement
      },
      announce: (bytes) => {
        expect(readAnnouncement(new ByteReader(bytes)).kind).toBe(AnnouncementKind.who)
        const w = new ByteWriter(64)
        const { id, address } = member!
        writeAnnouncement(w, { kind: AnnouncementKind.member, id, address, info: new Uint8Array(0) })
        told(w.take())
      },
      close: async () => {
        steps.push('close')
      },
    }
  }
  let opened = (): void => {}
  const handler: RosterHandler = {
    onFrame: () => {},
    onOpen: (peer) => {
      roster.proven(peer)
      opened()
    },
    onLost: () => {},
  }
  const roster = new Roster(
    {
      hello: { role: 'client', cluster: 'test', id: 'c'.repeat(32) },
      transport: network.transport(),
      seeds: [],
      announcements,
      queueBytesMax: 1e6,
      nowMs: () => performance.now(),
    },
    handler,
  )
  await roster.reach(performance.now() + 5000)
  expect(steps).toEqual(['open', 'close'])
  const { address } = member!
  const listening = new Promise<void>((resolve) => {
    heard = resolve
  })
  const again = new Promise<void>((resolve) => {
    opened = resolve
  })
  await member!.close()
  await listening
  await member!.listen('test', address)
  await again
  expect(steps).toEqual(['open', 'close', 'open', 'close'])
  await roster.close()
})
