/** What every transport promises, run over each of them; then what is special to one. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createServer as createHttpServer } from 'node:http'
import { createConnection, createServer, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits, outputPauseBytes } from '../../src/core/base/limits.ts'
import { randomInt, seededRandom } from '../../src/core/base/random.ts'
import { SIGN_OF_LIFE, sealFrame } from '../../src/transport/frame.ts'
import { encodeHello, HelloReader } from '../../src/transport/hello.ts'
import type { LinkLimits } from '../../src/transport/link.ts'
import { LoopbackNetwork } from '../../src/transport/loopback.ts'
import { ROUND_MS, SIGN_EVERY_MS, SILENT_ROUNDS, Silence } from '../../src/transport/silence.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import type { Hello, Link, LinkHandler, Listener, Transport } from '../../src/transport/transport.ts'

const member: Hello = { role: 'member', cluster: 'green', id: 'a'.repeat(32) }
const client: Hello = { role: 'client', cluster: 'green', id: 'c'.repeat(32) }

/** Keeps what arrives, and lets a test wait for it. */
class Recorder implements LinkHandler {
  readonly frames: Buffer[] = []
  readonly closes: (GridError | undefined)[] = []
  bytes = 0
  #waiting: [() => boolean, () => void][] = []

  onFrame(_link: Link, bytes: Buffer, start: number, end: number): void {
    this.frames.push(Buffer.from(bytes.subarray(start, end)))
    this.add(end - start)
  }

  add(count: number): void {
    this.bytes += count
    this.#check()
  }

  onClose(_link: Link, reason: GridError | undefined): void {
    this.closes.push(reason)
    this.#check()
  }

  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push([holds, resolve])
      this.#check()
    })
  }

  closed(): Promise<void> {
    return this.until(() => this.closes.length > 0)
  }

  received(bytes: number): Promise<void> {
    return this.until(() => this.bytes >= bytes)
  }

  text(): string {
    return Buffer.concat(this.frames).toString()
  }

  #check(): void {
    for (const [holds, resolve] of this.#waiting) if (holds()) resolve()
    this.#waiting = this.#waiting.filter(([holds]) => !holds())
  }
}

const echo: LinkHandler = {
  onFrame(link, bytes, start, end) {
    link.out.bytes(bytes, start, end)
    link.wake()
  },
  onClose() {},
}

const tight: LinkLimits = { ...defaultLimits, outputBytesMax: 1 << 23 }
const ANSWER_BYTES = 100_000
/** What may be unread at most: the pause, one answer above it, and the answers to one more read of small frames. */
const BOUNDED_BYTES = 2 * outputPauseBytes(tight)

/** Turns of the event loop until `holds`; the test's own timeout is the bound. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

/** Answers each byte with 100 kB, and notes how much was unread at most. */
class Answers implements LinkHandler {
  asked = ''
  link: Link | undefined
  queuedBytesMax = 0
  readonly closes: (GridError | undefined)[] = []
  postpones = false

  onFrame(link: Link, bytes: Buffer, start: number, end: number): void {
    this.link = link
    for (let at = start; at < end; at++) {
      if (this.postpones && link.queuedBytes > outputPauseBytes(tight)) {
        link.postpone(bytes, at, end)
        return
      }
      this.asked += String.fromCharCode(bytes[at]!)
      send(link, Buffer.alloc(ANSWER_BYTES))
      this.queuedBytesMax = Math.max(this.queuedBytesMax, link.queuedBytes)
    }
  }

  onClose(_link: Link, reason: GridError | undefined): void {
    this.closes.push(reason)
  }
}

/** Counts what arrives and keeps nothing. */
class Count extends Recorder {
  override onFrame(_link: Link, _bytes: Buffer, start: number, end: number): void {
    this.add(end - start)
  }
}

const listeners: Listener[] = []

async function listen(
  transport: Transport,
  accept: (link: Link) => LinkHandler,
  address = '127.0.0.1:0',
): Promise<Listener> {
  const listener = await transport.listen(address, member, accept)
  listeners.push(listener)
  return listener
}

afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.close()))
})

function send(link: Link, text: string | Buffer): void {
  link.out.bytes(Buffer.from(text))
  link.wake()
}

async function failure(promise: Promise<unknown>): Promise<GridError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(GridError)
  return error as GridError
}

const subjects: [string, (limits: LinkLimits) => Transport][] = [
  ['tcp', (limits) => new TcpTransport({ limits })],
  ['loopback', (limits) => new LoopbackNetwork({ limits }).transport()],
]

describe.each(subjects)('%s', (_name, create) => {
  it('tells each side who the other is', async () => {
    const transport = create(defaultLimits)
    const accepted: Link[] = []
    const { address } = await listen(transport, (link) => {
      accepted.push(link)
      return echo
    })
    const link = await transport.connect(address, client, new Recorder())
    expect(link.peer).toMatchObject(member)
    expect(link.remote).toBe(address)
    expect(accepted[0]?.peer).toMatchObject(client)
    expect(accepted[0]?.remote).not.toBe('')
  })

  it('echoes thousands of messages of any size in order', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, () => echo)
    const got = new Recorder()
    const link = await transport.connect(address, client, got)
    const random = seededRandom(7)
    const sent: Buffer[] = []
    let sentBytes = 0
    for (let i = 0; i < 5000; i++) {
      const size = i % 250 === 0 ? 60_000 + randomInt(random, 150_000) : 1 + randomInt(random, 300)
      const message = Buffer.alloc(size)
      for (let at = 0; at < size; at += 1 + (at >> 5)) message[at] = randomInt(random, 256)
      sent.push(message)
      sentBytes += size
      send(link, message)
      if (randomInt(random, 50) === 0) await got.received(sentBytes - 200_000)
    }
    await got.received(sentBytes)
    expect(Buffer.concat(got.frames).equals(Buffer.concat(sent))).toBe(true)
    expect(link.queuedBytes).toBe(0)
  })

  it('sends everything appended within one tick as one frame, promises included', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, () => echo)
    const got = new Recorder()
    const link = await transport.connect(address, client, got)
    send(link, 'a')
    send(link, 'b')
    await Promise.all(
      ['c', 'd', 'e'].map(async (text) => {
        await null
        send(link, text)
      }),
    )
    expect(link.queuedBytes).toBe(5)
    await got.received(5)
    expect(got.frames.map(String)).toEqual(['abcde'])
  })

  it('never changes bytes that were handed out', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, () => echo)
    const got = new Recorder()
    const link = await transport.connect(address, client, got)
    const held: [Buffer, number][] = []
    let sentBytes = 0
    for (let i = 0; i < 400; i++) {
      const size = 1 + ((i * 97) % 5000)
      const { out } = link
      out.bytes(Buffer.alloc(size, i))
      held.push([out.buffer.subarray(out.length - size, out.length), i & 0xff])
      link.wake()
      sentBytes += size
      if (i % 3 === 0) await got.received(sentBytes)
    }
    for (const [slice, value] of held) expect(slice.every((byte) => byte === value)).toBe(true)
  })

  it('delivers what was sent from within accept, after the hello', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, (link) => {
      send(link, Buffer.alloc(600_000, 'w'))
      send(link, '!')
      return echo
    })
    const got = new Recorder()
    await transport.connect(address, client, got)
    await got.received(600_001)
    expect(got.text().endsWith('www!')).toBe(true)
  })

  it('refuses another cluster and names both', async () => {
    const transport = create(defaultLimits)
    let accepted = 0
    const { address } = await listen(transport, () => {
      accepted++
      return echo
    })
    const error = await failure(transport.connect(address, { ...client, cluster: 'blue' }, echo))
    expect(error.code).toBe('WRONG_CLUSTER')
    expect(error.message).toContain('"green"')
    expect(error.message).toContain('"blue"')
    expect(accepted).toBe(0)
  })

  it('says that nobody listens, and where', async () => {
    const transport = create(defaultLimits)
    const listener = await listen(transport, () => echo)
    await listener.close()
    const error = await failure(transport.connect(listener.address, client, echo))
    expect(error.code).toBe('UNREACHABLE')
    expect(error.message).toContain(listener.address)
  })

  it('says that a port is taken, and which', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, () => echo)
    const error = await failure(transport.listen(address, member, () => echo))
    expect(error.code).toBe('PORT_IN_USE')
    expect(error.message).toContain(address.split(':')[1])
  })

  it.each(['', 'host', 'host:', ':1', 'host:65536', 'host:1x', '::1:80', '[::1]', 'a b:1', 'http://a:1'])(
    'refuses %j as an address',
    async (address) => {
      const transport = create(defaultLimits)
      expect((await failure(transport.connect(address, client, echo))).code).toBe('BAD_OPTION')
      expect((await failure(transport.listen(address, member, () => echo))).code).toBe('BAD_OPTION')
    },
  )

  it('refuses an own hello that has no encoding', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, () => echo)
    for (const wrong of [{ id: 'xyz' }, { cluster: '' }, { cluster: 'n'.repeat(256) }])
      expect((await failure(transport.connect(address, { ...client, ...wrong }, echo))).code).toBe(
        'BAD_OPTION',
      )
  })

  it('takes IPv6 addresses in brackets', async () => {
    const transport = create(defaultLimits)
    const { address } = await listen(transport, () => echo, '[::1]:0')
    expect(address).toMatch(/^\[::1\]:\d+$/)
    const got = new Recorder()
    send(await transport.connect(address, client, got), 'six')
    await got.received(3)
  })

  it('refuses the link when accept throws, and takes the next', async () => {
    const transport = create(defaultLimits)
    let calls = 0
    const { address } = await listen(transport, () => {
      if (calls++ === 0) throw new GridError('OVERLOADED', 'not now')
      return echo
    })
    const error = await failure(transport.connect(address, client, echo))
    expect(error.code).toBe('UNREACHABLE')
    expect(error.message).toContain('refused')
    const got = new Recorder()
    send(await transport.connect(address, client, got), 'next')
    await got.received(4)
  })

  it('closes only the link whose handler threw', async () => {
    const transport = create(defaultLimits)
    const server = new Recorder()
    const { address } = await listen(transport, () => ({
      onFrame(link, bytes, start, end) {
        if (bytes.toString('utf8', start, end) === 'bad') throw new Error('a bug')
        echo.onFrame(link, bytes, start, end)
      },
      onClose: (link, reason) => server.onClose(link, reason),
    }))
    const [bad, good] = [new Recorder(), new Recorder()]
    const badLink = await transport.connect(address, client, bad)
    const goodLink = await transport.connect(address, client, good)
    send(badLink, 'bad')
    await Promise.all([bad.closed(), server.closed()])
    expect(server.closes[0]).toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('a bug') })
    send(goodLink, 'good')
    await good.received(4)
    expect(badLink.closed).toBe(true)
    expect([bad.closes.length, server.closes.length, good.closes.length]).toEqual([1, 1, 0])
  })

  it('hands over what was appended before it closes, and reports the end once to each side', async () => {
    const transport = create(defaultLimits)
    const server = new Recorder()
    const { address } = await listen(transport, () => server)
    const own = new Recorder()
    const link = await transport.connect(address, client, own)
    send(link, Buffer.alloc(700_000, 1))
    link.out.bytes(Buffer.from('last'))
    const reason = new GridError('CLOSED', 'enough')
    link.close(reason)
    link.close()
    expect(link.closed).toBe(true)
    expect(own.closes).toEqual([]) // never from within close
    await Promise.all([own.closed(), server.closed()])
    expect(server.bytes).toBe(700_004)
    expect(server.text().endsWith('last')).toBe(true)
    expect(own.closes).toEqual([reason])
    expect(server.closes).toEqual([undefined])
  })

  it('forgets what is appended to a closed link', async () => {
    const transport = create(defaultLimits)
    const server = new Recorder()
    const { address } = await listen(transport, () => server)
    const own = new Recorder()
    const link = await transport.connect(address, client, own)
    link.close()
    for (let i = 0; i < 100; i++) send(link, Buffer.alloc(100_000))
    await Promise.all([own.closed(), server.closed()])
    expect(link.out.buffer.length).toBeLessThan(1_000_000)
    expect(link.queuedBytes).toBe(0)
    expect(server.bytes).toBe(0)
  })

  it('closes a link that accept closed', async () => {
    const transport = create(defaultLimits)
    const server = new Recorder()
    const reason = new GridError('FORBIDDEN', 'not you')
    const { address } = await listen(transport, (link) => {
      link.close(reason)
      return server
    })
    const own = new Recorder()
    await transport.connect(address, client, own)
    await Promise.all([own.closed(), server.closed()])
    expect(server.closes).toEqual([reason])
    expect(own.closes).toEqual([undefined])
  })

  it('cuts a peer that does not keep up', async () => {
    const transport = create({ ...defaultLimits, outputBytesMax: 1 << 20 })
    const server = new Recorder()
    const { address } = await listen(transport, () => server)
    const own = new Recorder()
    const link = await transport.connect(address, client, own)
    for (let i = 0; i < 400 && !link.closed; i++) send(link, Buffer.alloc(100_000))
    expect(link.closed).toBe(true)
    await Promise.all([own.closed(), server.closed()])
    expect(own.closes.map((reason) => reason?.code)).toEqual(['OVERLOADED'])
    expect(server.closes.length).toBe(1)
  })

  it('stops reading while its peer leaves much unread, between the frames of one turn', async () => {
    const transport = create(tight)
    const server = new Answers()
    const { address } = await listen(transport, () => server)
    const own = new Count()
    const link = await transport.connect(address, client, own)
    for (let i = 0; i < 300; i++) {
      send(link, '?')
      await null // a frame each
      await new Promise(process.nextTick)
    }
    await own.received(300 * ANSWER_BYTES)
    expect(server.queuedBytesMax).toBeLessThan(BOUNDED_BYTES)
    expect([own.closes, server.closes]).toEqual([[], []])
  })

  it('stops in the middle of a frame for a handler that postpones the rest of it', async () => {
    const transport = create(tight)
    const server = new Answers()
    server.postpones = true
    const { address } = await listen(transport, () => server)
    const own = new Count()
    const link = await transport.connect(address, client, own)
    send(link, '?'.repeat(300))
    send(link, '!')
    await own.received(301 * ANSWER_BYTES)
    expect(server.asked).toBe(`${'?'.repeat(300)}!`)
    expect(server.queuedBytesMax).toBeLessThan(BOUNDED_BYTES)
    expect([own.closes, server.closes]).toEqual([[], []])
  })

  it('sees the end of a peer that it does not read from', async () => {
    const transport = create(tight)
    const server = new Answers()
    const { address } = await listen(transport, () => server)
    const own = new Count()
    const link = await transport.connect(address, client, own)
    send(link, '?'.repeat(15))
    await own.received(1)
    link.close()
    await until(() => own.closes.length + server.closes.length === 2)
    expect(server.closes).toEqual([undefined])
  })

  it('gives up connecting when its signal is aborted, and leaves nothing behind', async () => {
    const transport = create(defaultLimits)
    let accepted = 0
    const { address } = await listen(transport, () => {
      accepted++
      return echo
    })
    const reason = new Error('enough')
    const early = await failure(transport.connect(address, client, echo, AbortSignal.abort(reason)))
    const controller = new AbortController()
    const attempt = failure(transport.connect(address, client, echo, controller.signal))
    controller.abort(reason)
    for (const error of [early, await attempt])
      expect(error).toMatchObject({ code: 'ABORTED', applied: 'no', cause: reason })
    const later = new AbortController()
    const got = new Recorder()
    const link = await transport.connect(address, client, got, later.signal)
    later.abort()
    send(link, 'still open')
    await got.received(10)
    expect(accepted).toBe(1)
  })

  it('sends messages up to the frame limit, and none above', async () => {
    const transport = create({ ...defaultLimits, frameBytesMax: 1 << 20 })
    const { address } = await listen(transport, () => echo)
    const own = new Recorder()
    const link = await transport.connect(address, client, own)
    send(link, Buffer.alloc(1 << 20))
    await own.received(1 << 20)
    expect(own.frames.length).toBe(1)
    send(link, Buffer.alloc((1 << 20) + 1))
    await own.closed()
    expect(own.closes[0]?.code).toBe('TOO_LARGE')
  })

  it('closes its links with the listener, and frees the port', async () => {
    const transport = create(defaultLimits)
    const server = new Recorder()
    const listener = await listen(transport, () => server)
    const own = new Recorder()
    await transport.connect(listener.address, client, own)
    await Promise.all([listener.close(), listener.close(), own.closed(), server.closed()])
    expect(server.closes.map((reason) => reason?.code)).toEqual(['CLOSED'])
    await listen(transport, () => echo, listener.address)
    const got = new Recorder()
    send(await transport.connect(listener.address, client, got), 'again')
    await got.received(5)
  })

  it('does not call a handler after the link was closed in the middle of a batch', async () => {
    const transport = create(defaultLimits)
    const server = new Recorder()
    const { address } = await listen(transport, () => ({
      onFrame(link, bytes, start, end) {
        server.onFrame(link, bytes, start, end)
        link.close()
      },
      onClose: (link, reason) => server.onClose(link, reason),
    }))
    const own = new Recorder()
    const link = await transport.connect(address, client, own)
    for (let i = 0; i < 5; i++) send(link, Buffer.alloc(70_000))
    await Promise.all([own.closed(), server.closed()])
    expect(server.frames.length).toBe(1)
  })
})

describe('tcp hello', () => {
  /** Writes `bytes` to a listener and returns everything that it says until it closes. */
  async function answerTo(bytes: Buffer): Promise<Buffer> {
    const { address } = await listen(new TcpTransport({ limits: defaultLimits }), () => echo)
    const socket = createConnection(Number(address.split(':')[1]), '127.0.0.1')
    socket.write(bytes)
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  }

  it('tells a peer of another version which one it speaks', async () => {
    const other = encodeHello(client)
    other.writeUInt16LE(99, 4)
    const answer = await answerTo(other)
    expect(answer.subarray(0, 7)).toEqual(Buffer.from([...Buffer.from('AGRD'), 1, 0, 1]))
    expect(() => new HelloReader('x').push(other)).toThrow(/PROTOCOL_VERSION.*version 99/)
  })

  it('throws PROTOCOL_VERSION when the listener is of another version', async () => {
    const newer = encodeHello(member, 1)
    newer.writeUInt16LE(2, 4)
    const server = createServer((socket) => socket.resume().end(newer.subarray(0, 7))).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const transport = new TcpTransport({ limits: defaultLimits })
    const error = await failure(transport.connect(`127.0.0.1:${port}`, client, echo))
    expect(error.code).toBe('PROTOCOL_VERSION')
    expect(error.message).toContain(`127.0.0.1:${port}`)
    await new Promise((resolve) => server.close(resolve))
  })

  it('says that a port belongs to something else', async () => {
    const server = createHttpServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const transport = new TcpTransport({ limits: defaultLimits })
    const error = await failure(transport.connect(`127.0.0.1:${port}`, client, echo))
    expect(error.code).toBe('UNREACHABLE')
    expect(error.message).toContain('actorgrid protocol')
    await new Promise((resolve) => server.close(resolve))
  })

  it('reads a hello that comes byte by byte, and frames behind it', () => {
    const bytes = Buffer.concat([encodeHello(client), Buffer.from('rest')])
    const reader = new HelloReader('x')
    for (let i = 0; i < bytes.length - 5; i++) expect(reader.push(bytes.subarray(i, i + 1))).toBeUndefined()
    expect(reader.push(bytes.subarray(bytes.length - 5))).toMatchObject(client)
    expect(reader.rest).toBe(1)
  })
})

describe('tcp peers that send much', () => {
  /** Has a thread of its own, so that it sends while this one is busy. */
  const SENDER = `
    const { workerData: { port, first, frame, count } } = require('node:worker_threads')
    const socket = require('node:net').connect(port, '127.0.0.1')
    socket.write(first)
    socket.write(Buffer.concat(Array.from({ length: count }, () => frame)))`

  it('do not keep the event loop from everything else', async () => {
    const server = new Recorder()
    const { address } = await listen(new TcpTransport({ limits: defaultLimits }), () => server)
    const frame = Buffer.alloc(16 * 1024, '!')
    sealFrame(frame, 0, frame.length)
    const [port, count] = [Number(address.split(':')[1]), 1024]
    const workerData = { port, first: encodeHello(client), frame, count }
    const sender = new Worker(SENDER, { eval: true, workerData })
    const busy = new Int32Array(new SharedArrayBuffer(4))
    let most = 0
    for (let bytes = 0; bytes < count * (frame.length - 8); ) {
      bytes = server.bytes
      // Meanwhile there comes more than one turn may read.
      Atomics.wait(busy, 0, 0, 2)
      await new Promise((resolve) => setImmediate(resolve))
      most = Math.max(most, server.bytes - bytes)
    }
    expect(most).toBeLessThanOrEqual(256 * 1024)
    await sender.terminate()
  })
})

describe('tcp peers that are slow', () => {
  async function asking(server: Answers, count: number): Promise<Socket> {
    const { address } = await listen(new TcpTransport({ limits: tight }), () => server)
    const socket = createConnection(Number(address.split(':')[1]), '127.0.0.1')
    socket.pause()
    socket.write(encodeHello(client))
    const frame = Buffer.alloc(9, '?')
    sealFrame(frame, 0, 9)
    for (let i = 0; i < count; i++) {
      socket.write(frame)
      // Reads of a few frames each: what is in one read is answered whole.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return socket
  }

  it('serves one that reads slowly at its own pace', async () => {
    const server = new Answers()
    const socket = await asking(server, 1000)
    let bytes = 0
    for (let turn = 0; bytes < 1000 * (8 + ANSWER_BYTES); turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (turn % 4 === 0) bytes += (socket.read() as Buffer | null)?.length ?? 0
    }
    expect(server.asked.length).toBe(1000)
    expect(server.queuedBytesMax).toBeLessThan(tight.outputBytesMax / 2)
    expect(server.closes).toEqual([])
    socket.destroy()
    await until(() => server.closes.length === 1)
  })

  it('answers no more to one that never reads, and cuts it at the bound', async () => {
    const server = new Answers()
    const socket = await asking(server, 1000)
    await until(() => (server.link?.queuedBytes ?? 0) > outputPauseBytes(tight))
    expect(server.asked.length).toBeLessThan(500)
    const link = server.link!
    let queuedBytes = 0
    while (!link.closed) {
      queuedBytes = link.queuedBytes
      send(link, Buffer.alloc(ANSWER_BYTES))
    }
    expect(queuedBytes).toBeGreaterThan(tight.outputBytesMax - 2 * ANSWER_BYTES)
    expect(queuedBytes).toBeLessThanOrEqual(tight.outputBytesMax)
    await until(() => server.closes.length === 1)
    expect(server.closes[0]?.code).toBe('OVERLOADED')
    socket.destroy()
  })

  it('destroys the socket of an attempt that was given up', async () => {
    const sockets: Socket[] = []
    const mute = createServer((socket) => sockets.push(socket.resume())).listen(0, '127.0.0.1')
    await new Promise((resolve) => mute.once('listening', resolve))
    const { port } = mute.address() as { port: number }
    const controller = new AbortController()
    const transport = new TcpTransport({ limits: defaultLimits })
    const attempt = failure(transport.connect(`127.0.0.1:${port}`, client, echo, controller.signal))
    await until(() => sockets.length === 1)
    controller.abort()
    expect((await attempt).code).toBe('ABORTED')
    // Waits for every connection to have ended.
    await new Promise((resolve) => mute.close(resolve))
  })
})

describe('tcp peers that are gone without a word', () => {
  afterEach(() => void vi.useRealTimers())

  it('closes a link on which nothing comes any more, and not before it has asked', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] })
    let asked = 0
    const mute = createServer((socket) => {
      socket.on('error', () => {}) // It is reset in the end.
      socket.write(encodeHello(member))
      const hello = encodeHello(client).length
      socket.on('data', (chunk) => {
        asked += chunk.length
      })
      asked -= hello
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => mute.once('listening', resolve))
    const { port } = mute.address() as { port: number }
    const recorder = new Recorder()
    await new TcpTransport({ limits: defaultLimits }).connect(`127.0.0.1:${port}`, client, recorder)
    for (let round = 1; round <= SILENT_ROUNDS; round++) {
      expect(recorder.closes).toEqual([])
      vi.advanceTimersByTime(ROUND_MS)
      // The first round has heard the hello; the last one asks no more.
      if (round > 1) await until(() => asked === (round - 1) * SIGN_OF_LIFE.length)
    }
    vi.advanceTimersByTime(ROUND_MS)
    await recorder.closed()
    expect(recorder.closes[0]?.code).toBe('UNREACHABLE')
    expect(recorder.closes[0]?.message).toContain('nothing heard for 5 s')
    vi.advanceTimersByTime(ROUND_MS)
    await new Promise((resolve) => mute.close(resolve))
  })

  it('shows that it is there when something comes, now and then, and tells no handler', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const server = new Recorder()
    const { address } = await listen(new TcpTransport({ limits: defaultLimits }), () => server)
    const socket = createConnection(Number(address.split(':')[1]), '127.0.0.1')
    let heard = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      heard = Buffer.concat([heard, chunk])
    })
    socket.write(encodeHello(client))
    const hello = encodeHello(member)
    await until(() => heard.length >= hello.length)
    const part = Buffer.concat([SIGN_OF_LIFE, Buffer.from([1, 0])])
    socket.write(part)
    await until(() => heard.length >= hello.length + 8)
    // The rest of a frame, too soon after the first sign; then something when the time has come.
    const body = Buffer.alloc(9, '!')
    sealFrame(body, 0, 9)
    socket.write(body.subarray(2))
    await server.received(1)
    vi.advanceTimersByTime(SIGN_EVERY_MS)
    socket.write(SIGN_OF_LIFE)
    await until(() => heard.length >= hello.length + 16)
    expect(heard).toEqual(Buffer.concat([hello, SIGN_OF_LIFE, SIGN_OF_LIFE]))
    expect(server.text()).toBe('!')
    socket.destroy()
    await server.closed()
  })

  /** A link through a proxy that lets pass what it is told to, and the socket of the side that dialled. */
  async function narrow(): Promise<{
    link: Link
    recorder: Recorder
    socket: Socket
    pass: (bytes: number) => Promise<void>
    close: () => Promise<void>
  }> {
    vi.useFakeTimers({
      toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'],
    })
    const { address } = await listen(new TcpTransport({ limits: defaultLimits }), () => new Count())
    const ends: Socket[] = []
    const proxy = createServer((near) => {
      const far = createConnection(Number(address.split(':')[1]), '127.0.0.1')
      for (const end of [near, far]) end.on('error', () => {})
      ends.push(near.pause(), far)
      far.pipe(near)
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => proxy.once('listening', resolve))
    const pass = async (bytes: number): Promise<void> => {
      await until(() => ends[0] !== undefined && ends[0].readableLength >= bytes)
      ends[1]!.write(ends[0]!.read(bytes) as Buffer)
    }
    const sockets: Socket[] = []
    const onSocket = (message: unknown): void => {
      sockets.push((message as { socket: Socket }).socket)
    }
    subscribe('net.client.socket', onSocket)
    const recorder = new Recorder()
    const { port } = proxy.address() as { port: number }
    const transport = new TcpTransport({ limits: defaultLimits })
    const connecting = transport.connect(`127.0.0.1:${port}`, client, recorder)
    await pass(encodeHello(client).length)
    const link = await connecting
    unsubscribe('net.client.socket', onSocket)
    const close = async (): Promise<void> => {
      link.close()
      for (const end of ends) end.destroy()
      await new Promise((resolve) => proxy.close(resolve))
    }
    return { link, recorder, socket: sockets[0]!, pass, close }
  }

  it('keeps an idle link to one who is there', async () => {
    const { recorder, socket, pass, close } = await narrow()
    vi.advanceTimersByTime(ROUND_MS)
    for (let round = 1; round <= 2 * SILENT_ROUNDS; round++) {
      const before = socket.bytesRead
      vi.advanceTimersByTime(ROUND_MS)
      await pass(SIGN_OF_LIFE.length)
      await until(() => socket.bytesRead > before)
      vi.advanceTimersByTime(ROUND_MS)
    }
    expect(recorder.closes).toEqual([])
    await close()
  })

  it('keeps a narrow link that has much to carry, whatever still waits', async () => {
    const { link, recorder, socket, pass, close } = await narrow()
    for (let i = 0; i < 64; i++) send(link, Buffer.alloc(100_000))
    await until(() => socket.writableLength > 1_000_000)
    for (let round = 1; round <= 3 * SILENT_ROUNDS; round++) {
      const before = socket.bytesRead
      vi.advanceTimersByTime(ROUND_MS)
      await pass(10_000)
      await until(() => socket.bytesRead > before)
    }
    expect(socket.writableLength).toBeGreaterThan(1_000_000)
    expect(recorder.closes).toEqual([])
    await close()
  })

  it('closes a busy link of which nothing arrives', async () => {
    const { link, recorder, socket, close } = await narrow()
    for (let i = 0; i < 64; i++) send(link, Buffer.alloc(100_000))
    await until(() => socket.writableLength > 1_000_000)
    vi.advanceTimersByTime((SILENT_ROUNDS + 1) * ROUND_MS)
    await recorder.closed()
    expect(recorder.closes[0]?.code).toBe('UNREACHABLE')
    await close()
  })
})

describe('silence', () => {
  it('counts rounds in which nothing came, and starts again when something does', () => {
    const silence = new Silence()
    const rounds = (bytes: number): string[] =>
      Array.from({ length: SILENT_ROUNDS }, () => silence.round(bytes))
    expect(rounds(0)).toEqual(['ask', 'ask', 'ask', 'ask', 'gone'])
    expect(silence.round(1)).toBe('heard')
    expect(rounds(1)).toEqual(['ask', 'ask', 'ask', 'ask', 'gone'])
  })
})

describe('loopback network', () => {
  const other: Hello = { ...member, id: 'b'.repeat(32) }

  async function linked(): Promise<{
    network: LoopbackNetwork
    address: string
    server: Recorder
    own: Recorder
    link: Link
  }> {
    const network = new LoopbackNetwork({ limits: defaultLimits })
    const server = new Recorder()
    const { address } = await listen(network.transport(), () => server)
    const own = new Recorder()
    const link = await network.transport().connect(address, other, own)
    return { network, address, server, own, link }
  }

  it('loses what is sent across a cut, and closes the link when it heals', async () => {
    const { network, address, server, own, link } = await linked()
    network.cut(other.id, address)
    send(link, 'lost')
    expect((await failure(network.transport().connect(address, other, echo))).code).toBe('UNREACHABLE')
    expect([server.bytes, own.closes.length, server.closes.length]).toEqual([0, 0, 0])
    network.heal(address, other.id)
    await Promise.all([own.closed(), server.closed()])
    expect(own.closes[0]?.code).toBe('UNREACHABLE')
    const again = await network.transport().connect(address, other, new Recorder())
    send(again, 'found')
    await server.received(5)
    expect(server.text()).toBe('found')
  })

  it('keeps links that lost nothing', async () => {
    const { network, address, server, own, link } = await linked()
    network.cut(other.id, address)
    network.heal(other.id, address)
    send(link, 'fine')
    await server.received(4)
    expect(own.closes).toEqual([])
  })

  it('does not tell the other side of a close across a cut before it heals', async () => {
    const { network, address, server, own, link } = await linked()
    network.cut(member.id, other.id)
    link.close()
    await own.closed()
    expect((await failure(network.transport().connect(address, other, echo))).code).toBe('UNREACHABLE')
    expect(server.closes).toEqual([])
    network.heal(member.id, other.id)
    await server.closed()
  })

  it('ends the links, the listener and the id of a killed process', async () => {
    const { network, address, server, own, link } = await linked()
    send(link, 'under way')
    network.kill(address)
    await Promise.all([own.closed(), server.closed()])
    expect(own.closes[0]?.code).toBe('UNREACHABLE')
    expect(server.bytes).toBe(0)
    const transport = network.transport()
    expect((await failure(transport.connect(address, other, echo))).code).toBe('UNREACHABLE')
    expect((await failure(transport.listen(address, member, () => echo))).code).toBe('UNREACHABLE')
    const next = await transport.listen(address, { ...member, id: 'd'.repeat(32) }, () => echo)
    const got = new Recorder()
    send(await transport.connect(address, other, got), 'back')
    await got.received(4)
    await next.close()
  })

  it('overwrites what a handler has read', async () => {
    const network = new LoopbackNetwork({ limits: defaultLimits })
    const views: Buffer[] = []
    const { address } = await listen(network.transport(), () => ({
      onFrame(link, bytes, start, end) {
        views.push(bytes.subarray(start, end))
        echo.onFrame(link, bytes, start, end)
      },
      onClose() {},
    }))
    const got = new Recorder()
    send(await network.transport().connect(address, client, got), 'abc')
    await got.received(3)
    expect(got.text()).toBe('abc')
    expect(views[0]?.toString('hex')).toBe('dddddd')
  })
})
