/** The log in a real nats-server: crashes, lost and rolled back stores, and the ways in which NATS can be unusable. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Control } from '../../src/control/control.ts'
import { NatsControl, observeNats } from '../../src/control/nats.ts'
import { NatsAnnouncements } from '../../src/control/nats-announcements.ts'
import { connectNats, type NatsOptions, natsTarget } from '../../src/control/nats-connect.ts'
import { findNatsServer, startNatsServer } from '../../src/control/nats-server.ts'
import { GridError } from '../../src/core/base/errors.ts'
import { build, isAlive } from '../support/cli.ts'
import { ControlRecorder } from '../support/control-recorder.ts'
import { TestNatsServer } from '../support/nats-server.ts'

const cleanups: (() => Promise<void>)[] = []

beforeAll(build, 120_000)

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function started(options?: Parameters<typeof TestNatsServer.start>[0]): Promise<TestNatsServer> {
  const server = await TestNatsServer.start(options)
  cleanups.push(() => server.remove())
  return server
}

async function opened(control: Control): Promise<{ control: Control; told: ControlRecorder }> {
  cleanups.push(() => control.close())
  const told = new ControlRecorder()
  await control.open(told)
  return { control, told }
}

function member(server: TestNatsServer, more?: Partial<NatsOptions>) {
  return opened(new NatsControl({ servers: server.url, cluster: 'test', ...more }))
}

async function admin(server: TestNatsServer): Promise<NatsConnection> {
  const connection = await connect({ servers: server.url })
  cleanups.push(() => connection.close())
  return connection
}

const bytes = (text: string): Uint8Array => Buffer.from(text)

async function appended(to: { control: Control; told: ControlRecorder }, text: string): Promise<void> {
  to.control.append(bytes(text), text, to.told.lastSeq)
  await to.told.until(() => to.told.texts.includes(text))
}

/** The error of an `open` that must fail. */
async function refusal(control: Control): Promise<GridError> {
  const told = new ControlRecorder()
  const error = await control.open(told).catch((error: unknown) => error)
  await control.close()
  expect(told.calls).toEqual([])
  expect(error).toBeInstanceOf(GridError)
  expect(error).toMatchObject({ code: 'CONTROL_UNAVAILABLE', retryable: true })
  return error as GridError
}

test('entries survive a kill -9 of the server; the store is known to be another incarnation', async () => {
  const server = await started()
  const { control, told } = await member(server)
  for (const text of ['one', 'two', 'three']) await appended({ control, told }, text)
  const pid = server.pid
  await server.kill()
  await told.until(() => told.downs.length === 1)
  await server.restart()
  expect(server.pid).not.toBe(pid)
  await told.until(() => told.evidences.length === 2 && told.caughtUp)
  expect(told.texts).toEqual(['one', 'two', 'three'])
  expect(new Set(told.evidences).size).toBe(2)
  expect(told.calls.filter((call) => !call.startsWith('entries'))).toEqual(['open', 'down', 'open'])
  await appended({ control, told }, 'four')
})

test('a restart without the store: members make the log anew, and it is empty', async () => {
  const server = await started()
  const one = await member(server)
  const two = await member(server)
  await appended(one, 'gone')
  await server.loseStore()
  await server.restart()
  for (const { told } of [one, two]) {
    await told.until(() => told.evidences.length === 2 && told.caughtUp)
    expect(told.entries).toEqual([])
    expect(told.checkpoint).toBeUndefined()
    expect(new Set(told.evidences).size).toBe(2)
  }
  await appended(two, 'first')
  await one.told.until(() => one.told.texts.includes('first'))
  expect(one.told.entries.map(({ seq }) => seq)).toEqual([1])
})

test('a store that was rolled back: a shorter log, and the checkpoint of its own time', async () => {
  const server = await started()
  const before = await member(server)
  await appended(before, 'one')
  before.control.checkpoint(bytes('fold of one'), before.told.lastSeq)
  await appended(before, 'two')
  await before.control.close()
  const copy = await server.copyStore()
  await server.restart()
  const { control, told } = await member(server)
  await told.until(() => told.texts.includes('two'))
  await appended({ control, told }, 'three')
  control.checkpoint(bytes('fold of three'), told.lastSeq)
  await appended({ control, told }, 'four')
  await server.rollBack(copy)
  await server.restart()
  await told.until(() => told.evidences.length === 2 && told.caughtUp)
  expect(told.checkpoint).toMatchObject({ seq: 1, bytes: new Uint8Array(bytes('fold of one')) })
  expect(told.texts).toEqual(['two'])
  await appended({ control, told }, 'other three')
})

test('a log that was deleted and made anew behind the members is noticed on a living connection', async () => {
  const server = await started()
  const { control, told } = await member(server)
  for (const text of ['one', 'two']) await appended({ control, told }, text)
  const manager = await jetstreamManager(await admin(server))
  const { config } = await manager.streams.info('ACTORGRID_test')
  const makeAnew = async (texts: readonly string[]) => {
    await manager.streams.delete('ACTORGRID_test')
    await manager.streams.add(config)
    for (const text of texts) await manager.jetstream().publish('actorgrid.test.config', text)
    control.read()
  }
  await makeAnew(['a', 'b', 'c'])
  await told.until(() => told.texts.includes('c'))
  expect(told.texts).toEqual(['a', 'b', 'c'])
  expect(told.evidences.length).toBe(2)
  await makeAnew([])
  await told.until(() => told.evidences.length === 3 && told.caughtUp)
  expect(told.texts).toEqual([])
  expect(new Set(told.evidences).size).toBe(3)
})

test('an entry whose hint was missed is made up by the poll', async () => {
  const server = await started()
  const { told } = await member(server)
  await told.until(() => told.caughtUp)
  await jetstream(await admin(server)).publish('actorgrid.test.config', 'unannounced')
  await told.until(() => told.texts.includes('unannounced'))
  expect(told.calls.at(-1)).toBe('entries 1 end')
})

test('a checkpoint of a history that was lost is not believed', async () => {
  const server = await started()
  const writer = await member(server)
  await appended(writer, 'one')
  writer.control.checkpoint(bytes('good'), writer.told.lastSeq)
  await appended(writer, 'two')
  const js = jetstream(await admin(server))
  for (const covers of ['3 2020-01-01T00:00:00.000000000Z', '77 2020-01-01T00:00:00Z', 'nonsense', '']) {
    const mark = headers()
    mark.set('Actorgrid-Covers', covers)
    await js.publish('actorgrid.test.checkpoint', 'bad', { headers: mark })
    const { told } = await member(server)
    expect(told.checkpoint).toMatchObject({ seq: 1, bytes: new Uint8Array(bytes('good')) })
    await told.until(() => told.caughtUp)
    expect(told.texts).toEqual(['two'])
  }
})

test('writes beyond what may wait are dropped, as are those that NATS cannot take; neither harms the rest', async () => {
  const server = await started()
  const logged: string[] = []
  const mine = await member(server, { log: (message) => logged.push(message) })
  await mine.told.until(() => mine.told.caughtUp)
  for (let i = 0; i < 400; i++) mine.control.append(bytes(`${i}`), `${i}`, 0)
  mine.control.announce(new Uint8Array(2_000_000))
  await mine.told.until(() => mine.told.entries.length > 0)
  expect(mine.told.texts).toEqual(['0'])
  expect(logged.filter((message) => message.startsWith('append dropped')).length).toBe(400 - 256)
  // Answers come in the order of the requests, so when this one is read all those before it have been answered.
  await appended(mine, 'next')
  mine.control.append(new Uint8Array(2_000_000), 'too large', mine.told.lastSeq)
  await appended(mine, 'last')
  expect(mine.told.texts).toEqual(['0', 'next', 'last'])
  expect(logged.filter((message) => /^append failed: .*size/.test(message)).length).toBe(1)
  expect(mine.told.downs).toEqual([])
})

test('a server that hangs counts as down, and is read again when it goes on', async () => {
  const server = await started()
  const { control, told } = await member(server)
  await appended({ control, told }, 'one')
  process.kill(server.pid, 'SIGSTOP')
  await told.until(() => told.downs.length === 1)
  process.kill(server.pid, 'SIGCONT')
  await told.until(() => told.evidences.length === 2 && told.caughtUp)
  expect(told.texts).toEqual(['one'])
  // The same process with the same store: nothing happened to it.
  expect(new Set(told.evidences).size).toBe(1)
})

test('several servers: those that do not answer are passed over', async () => {
  const gone = await started()
  await gone.stop()
  const server = await started()
  const { told } = await opened(
    new NatsControl({ servers: [gone.url, server.url, gone.url], cluster: 'test' }),
  )
  expect(told.evidences.length).toBe(1)
})

test('a server without JetStream', async () => {
  const server = await started({ jetStream: false })
  const error = await refusal(new NatsControl({ servers: server.url, cluster: 'test' }))
  expect(error.message).toContain(`${server.url.slice(7)} has no JetStream: start nats-server with -js`)
  // Announcements need none.
  const announcements = new NatsAnnouncements({ servers: server.url, cluster: 'test' })
  cleanups.push(() => announcements.close())
  const heard = new Promise<string>((resolve) => {
    announcements
      .open((message) => resolve(Buffer.from(message).toString()))
      .then(() => {
        announcements.announce(bytes('hello'))
      })
  })
  expect(await heard).toBe('hello')
})

test('no server', async () => {
  const server = await started()
  await server.stop()
  const error = await refusal(new NatsControl({ servers: server.url, cluster: 'test' }))
  expect(error.message).toContain(`NATS at ${server.url.slice(7)} cannot be reached`)
})

/** A server that accepts and says nothing, and the sockets that it has taken. */
async function muteServer(): Promise<{ url: string; sockets: Socket[]; connections: () => Promise<number> }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket.resume())).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sockets,
    connections: () =>
      new Promise((resolve, reject) => server.getConnections((e, n) => (e ? reject(e) : resolve(n)))),
  }
}

test('a server that accepts and says nothing: no socket is left of an attempt', async () => {
  const { url, sockets, connections } = await muteServer()
  const target = natsTarget({ servers: url, cluster: 'test' })
  const hasty = { ...target, connection: { ...target.connection, timeout: 100 } }
  for (let i = 0; i < 3; i++) {
    await expect(connectNats(hasty)).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' })
    const socket = sockets[i]!
    if (!socket.closed) await once(socket, 'close')
  }
  expect(sockets.length).toBe(3)
  expect(await connections()).toBe(0)
})

test('announcements that are closed while they connect leave nothing behind', async () => {
  const { url, sockets, connections } = await muteServer()
  const announcements = new NatsAnnouncements({ servers: url, cluster: 'test' })
  const opening = announcements.open(() => {}).catch((error: unknown) => error)
  while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await announcements.close()
  expect(await opening).toMatchObject({ code: 'CLOSED' })
  if (!sockets[0]!.closed) await once(sockets[0]!, 'close')
  expect(await connections()).toBe(0)
})

test('announcements are heard again after a server that refused them for a while', async () => {
  const server = await started({ jetStream: false })
  const logged: string[] = []
  let changed = (): void => {}
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        changed = resolve
      })
    }
  }
  const log = (message: string): void => {
    logged.push(message)
    changed()
  }
  const announcements = new NatsAnnouncements({ servers: server.url, cluster: 'test', log })
  cleanups.push(() => announcements.close())
  const heard: string[] = []
  await announcements.open((message) => {
    heard.push(Buffer.from(message).toString())
    changed()
  })
  await server.stop()
  // The NATS client by itself gives up for good on the second refusal.
  const port = Number(new URL(server.url).port)
  const stranger = await startNatsServer({
    port,
    storeDir: '/nonexistent',
    jetStream: false,
    args: ['--user', 'u', '--pass', 'p'],
  })
  await until(() => logged.filter((message) => message.includes('refuses the credentials')).length >= 3)
  await stranger.stop()
  await server.restart()
  const admins = await admin(server)
  const say = setInterval(() => admins.publish('actorgrid.test.announce', 'back'), 20)
  await until(() => heard.includes('back'))
  clearInterval(say)
})

test('credentials: wrong, missing, right, and in the URL', async () => {
  const server = await started({ args: ['--user', 'grid', '--pass', 'p:w@'] })
  const wrong = { servers: server.url, cluster: 'test', user: 'grid', pass: 'secret' }
  const error = await refusal(new NatsControl(wrong))
  expect(error.message).toContain('refuses the credentials')
  expect(error.message).not.toContain('secret')
  await refusal(new NatsControl({ servers: server.url, cluster: 'test' }))
  await opened(new NatsControl({ ...wrong, pass: 'p:w@' }))
  await opened(new NatsControl({ servers: server.url.replace('//', '//grid:p%3Aw%40@'), cluster: 'test' }))
})

test('an observer does not make a log where there is none', async () => {
  const server = await started()
  const error = await refusal(observeNats({ servers: server.url, cluster: 'nowhere' }))
  expect(error.message).toContain('no cluster named nowhere')
  const manager = await jetstreamManager(await admin(server))
  await expect(manager.streams.info('ACTORGRID_nowhere')).rejects.toThrow('stream not found')
})

test('a stream of that name which was made for something else is left alone', async () => {
  const server = await started()
  const manager = await jetstreamManager(await admin(server))
  await manager.streams.add({ name: 'ACTORGRID_test', subjects: ['other.>'] })
  const error = await refusal(new NatsControl({ servers: server.url, cluster: 'test' }))
  expect(error.message).toContain('was not made for actorgrid: its subjects are other.>')
})

test('three copies need a NATS cluster', async () => {
  const server = await started()
  const error = await refusal(new NatsControl({ servers: server.url, cluster: 'test', replicas: 3 }))
  expect(error.message).toContain('set replicas to 1')
})

test('clusters of one NATS do not see each other', async () => {
  const server = await started()
  const [a, b] = [await member(server, { cluster: 'a' }), await member(server, { cluster: 'b' })]
  a.control.announce(bytes('for a'))
  await appended(a, 'of a')
  await appended(b, 'of b')
  expect(a.told.texts).toEqual(['of a'])
  expect(b.told.texts).toEqual(['of b'])
  await a.told.until(() => a.told.announcements.length === 1)
  expect(b.told.announcements).toEqual([])
})

test('options out of bounds', () => {
  const bad = expect.objectContaining({ code: 'BAD_OPTION' })
  const servers = 'nats://127.0.0.1:4222'
  for (const cluster of ['', 'a.b', 'a b', 'a'.repeat(65), 'ü', '*']) {
    expect(() => new NatsControl({ servers, cluster })).toThrow(bad)
  }
  for (const wrong of ['', 'http://localhost', 'nats://', 'nats://h:99999', []]) {
    expect(() => new NatsControl({ servers: wrong, cluster: 'test' })).toThrow(bad)
  }
  expect(() => new NatsControl({ servers, cluster: 'test', replicas: 2 as 1 })).toThrow(bad)
  expect(() => new NatsAnnouncements({ servers, cluster: 'a.b' })).toThrow(bad)
  expect(() => new NatsControl({ servers: 'http://u:secret@h', cluster: 'test' })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('secret') }),
  )
})

test('where there is no nats-server the error says what to install', () => {
  const unavailable = (message: string) =>
    expect.objectContaining({ code: 'CONTROL_UNAVAILABLE', message: expect.stringContaining(message) })
  expect(() => findNatsServer({ PATH: '/nonexistent' }, [])).toThrow(
    unavailable('apt-get install nats-server'),
  )
  expect(() => findNatsServer({ PATH: '/nonexistent' }, [])).toThrow(unavailable('NATS_SERVER_BIN'))
  expect(() => findNatsServer({ NATS_SERVER_BIN: '/nonexistent/nats' })).toThrow(
    unavailable('/nonexistent/nats'),
  )
  expect(findNatsServer({ NATS_SERVER_BIN: process.execPath })).toBe(process.execPath)
})

describe.each(['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGKILL', 'exit'] as const)(
  'a process that ends by %s',
  (how) => {
    test('takes its nats-server along', async () => {
      const code = `
      import { startNatsServer } from ${JSON.stringify(new URL('../../dist/control/nats-server.js', import.meta.url).href)}
      const { pid } = await startNatsServer({ storeDir: '/nonexistent', jetStream: false })
      process.once('message', () => process.exit(0))
      process.send(pid)`
      const host = spawn(process.execPath, ['--input-type=module', '-e', code], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      const [pid] = (await once(host, 'message')) as [number]
      const ended = once(host, 'exit')
      if (how === 'exit') host.send('exit')
      else host.kill(how)
      // Its signals do what they do in any program.
      expect(await ended).toEqual(how === 'exit' ? [0, null] : [null, how])
      while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve))
    })
  },
)

test('a server that has ended leaves no watch behind and keeps no process from ending', async () => {
  const code = `
    import { startNatsServer } from ${JSON.stringify(new URL('../../dist/control/nats-server.js', import.meta.url).href)}
    const server = await startNatsServer({ storeDir: '/nonexistent', jetStream: false })
    await server.stop()`
  const host = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' })
  expect(await once(host, 'exit')).toEqual([0, null])
})

test('a taken port is named as such', async () => {
  const server = await started()
  const port = Number(new URL(server.url).port)
  await expect(startNatsServer({ port, storeDir: '/nonexistent', jetStream: false })).rejects.toMatchObject({
    code: 'PORT_IN_USE',
  })
})
