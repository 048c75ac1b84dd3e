import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { seededRandom } from '../../src/core/base/random.ts'
import { type ProxyOptions, TcpProxy } from './proxy.ts'
import { HELD_BYTES_MAX, spansOf } from './proxy-stream.ts'

/** The most that Node reads at once. */
const READ_BYTES = 64 * 1024

interface Ends {
  readonly proxy: TcpProxy
  readonly client: Socket
  readonly target: Socket
}

const servers: Server[] = []
const proxies: TcpProxy[] = []
const sockets: Socket[] = []

/** A connection through a proxy, both ends in hand. */
async function through(options: Partial<ProxyOptions> = {}): Promise<Ends> {
  const server = createServer({ allowHalfOpen: true })
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const proxy = await TcpProxy.open(`127.0.0.1:${(server.address() as AddressInfo).port}`, {
    seed: 1,
    ...options,
  })
  proxies.push(proxy)
  const [host, port] = proxy.address.split(':')
  const client = connect({ host: host!, port: Number(port), allowHalfOpen: true })
  const [target] = (await once(server, 'connection')) as [Socket]
  for (const socket of [client, target]) {
    sockets.push(socket)
    socket.on('error', () => {}) // what a test cares about it waits for
  }
  return { proxy, client, target }
}

/** The next bytes that arrive, exactly so many. */
function read(socket: Socket, count: number, onData = (_bytes: number): void => {}): Promise<Buffer> {
  const chunks: Buffer[] = []
  let missing = count
  return new Promise((resolve) => {
    const take = (chunk: Buffer): void => {
      chunks.push(chunk.subarray(0, missing))
      const over = chunk.length - missing
      missing -= Math.min(missing, chunk.length)
      onData(chunk.length)
      if (missing > 0) return
      socket.off('data', take).pause()
      if (over > 0) socket.unshift(chunk.subarray(chunk.length - over))
      resolve(Buffer.concat(chunks))
    }
    socket.on('data', take).resume()
  })
}

function noise(count: number): Buffer {
  const random = seededRandom(7)
  return Buffer.from(Array.from({ length: count }, () => random.next() * 256))
}

/** Resolves with the code of the error that ends the socket, or undefined if it ends well. */
function endOf(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    socket.once('close', () => resolve(undefined))
    socket.resume()
  })
}

afterEach(async () => {
  for (const proxy of proxies.splice(0)) await proxy.close()
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) server.close()
})

test('a perfect link passes on the bytes of both directions, and their ends', async () => {
  const { client, target, proxy } = await through()
  const sent = noise(300_000)
  client.end(sent)
  expect((await read(target, sent.length)).equals(sent)).toBe(true)
  target.end('answer')
  expect(String(await read(client, 6))).toBe('answer')
  await Promise.all([endOf(client), endOf(target)])
  expect(proxy.connections).toBe(0)
})

test('chances hang on the seed, the connection and the direction, and on nothing else', () => {
  const draw = (...of: Parameters<typeof spansOf>) => Array.from({ length: 50 }, spansOf(...of))
  expect(draw(3, 4, 'client')).toEqual(draw(3, 4, 'client'))
  for (const other of [draw(4, 4, 'client'), draw(3, 5, 'client'), draw(3, 4, 'target')])
    expect(other).not.toEqual(draw(3, 4, 'client'))
})

test('delay and throttling take the time they say', async () => {
  const conditions = { delayMs: 80, bytesPerSecond: 1_000_000 }
  const { client, target } = await through({ conditions })
  const startedMs = performance.now()
  client.write(noise(100_000))
  await read(target, 1)
  expect(performance.now() - startedMs).toBeGreaterThan(79)
  await read(target, 99_999)
  expect(performance.now() - startedMs).toBeGreaterThan(179)
})

test('jitter and stalls keep every byte in its place', async () => {
  const conditions = { jitterMs: 3, stallShare: 0.1, stallMs: 10 }
  const { client, target } = await through({ conditions })
  const sent = noise(200_000)
  client.write(sent)
  target.write(sent)
  expect((await read(target, sent.length)).equals(sent)).toBe(true)
  expect((await read(client, sent.length)).equals(sent)).toBe(true)
})

test('a narrow link reads no more than it can hold', async () => {
  const { client, target, proxy } = await through({ conditions: { bytesPerSecond: 10_000_000 } })
  const sent = noise(3_000_000)
  client.write(sent)
  let mostBytes = 0
  await read(target, sent.length, () => {
    mostBytes = Math.max(mostBytes, proxy.heldBytes)
  })
  expect(mostBytes).toBeGreaterThan(HELD_BYTES_MAX / 2)
  expect(mostBytes).toBeLessThan(HELD_BYTES_MAX + READ_BYTES)
})

test('what is swallowed vanishes in one direction only, and is not missed silently', async () => {
  const { proxy, client, target } = await through()
  const heal = proxy.swallow('client')
  client.write('lost')
  target.write('heard')
  expect(String(await read(client, 5))).toBe('heard')
  await swallowed(proxy, client)
  const ends = [endOf(client), endOf(target)]
  heal()
  expect(await Promise.all(ends)).toEqual(['ECONNRESET', 'ECONNRESET'])
})

test('what is held arrives whole when it is let go', async () => {
  const { proxy, client, target } = await through()
  const release = proxy.hold('client')
  client.write('later')
  target.write('now')
  expect(String(await read(client, 3))).toBe('now')
  expect(target.readableLength).toBe(0)
  release()
  expect(String(await read(target, 5))).toBe('later')
})

test('one side is torn off and the other does not know', async () => {
  const { proxy, client, target } = await through()
  client.write('x')
  await read(target, 1)
  const end = endOf(target)
  proxy.abandon('target')
  expect(await end).toBe('ECONNRESET')
  expect(proxy.halfOpen).toBe(1)
  await new Promise<void>((resolve) => client.write('to nobody', () => resolve()))
  expect(client.destroyed).toBe(false)
  client.end()
  await endOf(client)
  expect(proxy.connections).toBe(0)
})

test('a reset reaches both sides', async () => {
  const { proxy, client, target } = await through()
  client.write('x')
  await read(target, 1)
  const ends = [endOf(client), endOf(target)]
  proxy.reset()
  expect(await Promise.all(ends)).toEqual(['ECONNRESET', 'ECONNRESET'])
})

test('nobody behind the proxy: the connection is reset', async () => {
  const proxy = await TcpProxy.open('127.0.0.1:1', { seed: 1 })
  proxies.push(proxy)
  const client = connect(Number(proxy.address.split(':')[1]), '127.0.0.1')
  sockets.push(client)
  expect(await endOf(client)).toBe('ECONNRESET')
})

/** Resolves when the proxy has read what the client wrote: it has told of nothing, so the kernel is asked. */
async function swallowed(proxy: TcpProxy, client: Socket): Promise<void> {
  while (proxy.swallowedBytes === 0 && !client.destroyed)
    await new Promise((resolve) => setImmediate(resolve))
  expect(client.destroyed).toBe(false)
}
