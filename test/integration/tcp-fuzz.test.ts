/** A listener among peers that send anything: it closes them, keeps nothing of them and serves the good ones. */

import { createConnection, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ErrorCode } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { sealFrame } from '../../src/transport/frame.ts'
import { encodeHello, HELLO_REFUSED } from '../../src/transport/hello.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import type { Hello, Listener } from '../../src/transport/transport.ts'

const member: Hello = { role: 'member', cluster: 'green', id: 'a'.repeat(32) }
const client: Hello = { role: 'client', cluster: 'green', id: 'c'.repeat(32) }
const transport = new TcpTransport({ limits: defaultLimits })

let listener: Listener
let port: number
let opened = 0
/** Codes, not errors: an error's stack keeps alive whatever it came from. */
const reasons: (ErrorCode | undefined)[] = []

async function listen(): Promise<void> {
  listener = await transport.listen('127.0.0.1:0', member, () => {
    opened++
    return {
      onFrame(link, bytes, start, end) {
        link.out.bytes(bytes, start, end)
        link.wake()
      },
      onClose: (_link, reason) => reasons.push(reason?.code),
    }
  })
  port = Number(listener.address.split(':')[1])
}

beforeEach(async () => {
  opened = 0
  reasons.length = 0
  await listen()
})

afterEach(async () => {
  vi.useRealTimers()
  await listener.close()
})

function randomBytes(random: Random, sizeMax: number): Buffer {
  const bytes = Buffer.alloc(1 + randomInt(random, sizeMax))
  for (let i = 0; i < bytes.length; i++) bytes[i] = randomInt(random, 256)
  return bytes
}

function frame(body: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), body])
  sealFrame(bytes, 0, bytes.length)
  return bytes
}

function damage(random: Random, bytes: Buffer): Buffer {
  for (let i = 0; i <= randomInt(random, 3); i++)
    bytes[randomInt(random, bytes.length)]! ^= 1 + randomInt(random, 255)
  return bytes
}

const hello = encodeHello(client)

/** What the ill-behaved peers say. */
const speeches: ((random: Random) => Buffer)[] = [
  (random) => randomBytes(random, 3000),
  () => Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  (random) => hello.subarray(0, randomInt(random, hello.length)),
  (random) => damage(random, Buffer.from(hello)),
  (random) => Buffer.concat([hello, randomBytes(random, 3000)]),
  (random) => {
    const large = Buffer.alloc(200)
    large.writeUInt32LE(randomInt(random, 2) ? 0xffff_ffff : defaultLimits.frameBytesMax)
    return Buffer.concat([hello, large])
  },
  (random) =>
    Buffer.concat([hello, frame(Buffer.from('fine')), damage(random, frame(randomBytes(random, 3000)))]),
  (random) => {
    const whole = frame(randomBytes(random, 100_000))
    return Buffer.concat([hello, whole.subarray(0, randomInt(random, whole.length))])
  },
]

/** One connection that says its piece in a few writes and goes, in one of three ways. */
function misbehave(random: Random): Promise<void> {
  const bytes = speeches[randomInt(random, speeches.length)]!(random)
  const way = randomInt(random, 3)
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.on('connect', () => {
      const middle = randomInt(random, bytes.length + 1)
      socket.write(bytes.subarray(0, middle))
      setImmediate(() => {
        if (way === 0) socket.resetAndDestroy()
        else if (way === 1) socket.end(bytes.subarray(middle))
        else socket.write(bytes.subarray(middle), () => socket.destroy())
      })
    })
    socket.resume()
  })
}

async function rounds(random: Random, count: number): Promise<void> {
  for (let i = 0; i < count; i += 50) await Promise.all(Array.from({ length: 50 }, () => misbehave(random)))
}

/** A client that behaves: resolves once its message has come back. */
async function echoes(text: string): Promise<void> {
  let arrived = ''
  const { promise, resolve } = withResolvers()
  const link = await transport.connect(listener.address, client, {
    onFrame(_link, bytes, start, end) {
      arrived += bytes.toString('utf8', start, end)
      if (arrived === text) resolve()
    },
    onClose() {},
  })
  link.out.bytes(Buffer.from(text))
  link.wake()
  await promise
  link.close()
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {}
  const promise = new Promise<void>((r) => {
    resolve = r
  })
  return { promise, resolve }
}

/** Turns of the event loop until `holds`; the test's own timeout is the bound. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Memory in use once the last connection of the listener is gone; a new one takes its place. */
async function settledMemoryBytes(): Promise<number> {
  await listener.close()
  await listen()
  for (let i = 0; i < 3; i++) {
    collectGarbage()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** A connection that says nothing, and what it hears until it is closed. */
function silent(): { socket: Socket; heard: Promise<Buffer> } {
  const socket = createConnection(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {})
  return { socket, heard: new Promise((r) => socket.on('close', () => r(Buffer.concat(chunks)))) }
}

describe('a listener among ill-behaved peers', () => {
  it('lives through 2,000 of them, keeps no memory and still serves', async () => {
    const random = seededRandom(20)
    await rounds(random, 500)
    const before = await settledMemoryBytes()
    await rounds(random, 1500)
    const growth = (await settledMemoryBytes()) - before
    expect(opened).toBeGreaterThan(500)
    expect(reasons.filter((code) => code === 'MALFORMED').length).toBeGreaterThan(200)
    expect(reasons.length).toBe(opened)
    expect(growth).toBeLessThan(2 << 20) // 1.4 KiB a connection
    await echoes('still here')
  })

  it('closes by itself a peer that sends no hello or damaged frames', async () => {
    const damaged = frame(Buffer.from('body'))
    damaged[10]! ^= 1
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'x', Buffer.concat([hello, damaged])]) {
      const { socket, heard } = silent()
      socket.write(bytes)
      expect((await heard).subarray(0, 4).toString()).toBe('AGRD')
    }
  })

  it('closes a peer that says nothing for 5 s, and no other', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { heard } = silent()
    await until(() => vi.getTimerCount() === 1)
    await echoes('meanwhile')
    vi.advanceTimersByTime(4999)
    await echoes('meanwhile')
    vi.advanceTimersByTime(1)
    expect((await heard)[6]).toBe(HELLO_REFUSED)
    await until(() => vi.getTimerCount() === 0)
  })

  it('bounds the connections that await their hello, and serves among them', async () => {
    const crowd = Array.from({ length: 300 }, silent)
    const refused = await Promise.all(crowd.slice(0, 20).map(({ heard }) => heard))
    for (const answer of refused) expect(answer[6]).toBe(HELLO_REFUSED)
    await echoes('through the crowd')
    for (const { socket } of crowd) socket.destroy()
    await Promise.all(crowd.map(({ heard }) => heard))
  })
})
