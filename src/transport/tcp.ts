/**
 * Links over TCP, for members and clients.
 *
 * One socket a link, TCP_NODELAY (a frame is a whole tick's work already; waiting for more would only add delay) and
 * keepalive; the side that dialled finds out sooner than that whether the other is gone (silence.ts). Each side sends
 * its hello first; a listener parses nothing else before, holds at most 280 bytes of it, waits at most 5 s, and for at
 * most 256 connections at once.
 */

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type ErrorCode, GridError } from '../core/base/errors.ts'
import { formatAddress, parseAddress } from './address.ts'
import { FrameParser, type OnFrame, SIGN_OF_LIFE, sealFrame } from './frame.ts'
import {
  checkCluster,
  checkReply,
  encodeHello,
  HELLO_OK,
  HelloReader,
  type PeerHello,
  statusOf,
} from './hello.ts'
import { abortedBy, asGridError, FramedLink, type LinkLimits, type Wire } from './link.ts'
import { ROUND_MS, SIGN_EVERY_MS, SILENT_ROUNDS, Silence } from './silence.ts'
import type { Hello, Link, LinkHandler, Listener, Transport } from './transport.ts'

const HELLO_TIMEOUT_MS = 5000
const LINGER_TIMEOUT_MS = 1000
const KEEPALIVE_DELAY_MS = 10_000
/** Connections of one listener that have not sent their hello; one more and the oldest is refused. */
const WAITING_CONNECTIONS_MAX = 256
const READ_BUFFER_BYTES = 64 * 1024

const SOCKET_OPTIONS = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
} as const

export interface TcpOptions {
  readonly limits: LinkLimits
  // `tls` goes here: certificates for both sides of node:tls, whose sockets have the same face.
}

export class TcpTransport implements Transport {
  readonly #limits: LinkLimits

  constructor(options: TcpOptions) {
    this.#limits = options.limits
  }

  async listen(address: string, hello: Hello, accept: (link: Link) => LinkHandler): Promise<Listener> {
    const { host, port } = parseAddress(address)
    encodeHello(hello)
    const listener = new TcpListener(host, hello, accept, this.#limits)
    await listener.open(port)
    return listener
  }

  async connect(address: string, hello: Hello, handler: LinkHandler, signal?: AbortSignal): Promise<Link> {
    const { host, port } = parseAddress(address)
    if (port === 0) throw new GridError('BAD_OPTION', `${address}: port 0 cannot be connected to`)
    const ownHello = encodeHello(hello)
    if (signal?.aborted) throw abortedBy(signal, address)
    return new Promise((resolve, reject) => {
      const socket = connect({
        ...SOCKET_OPTIONS,
        host,
        port,
        // One buffer for the life of the socket, where 'data' events take 64 KiB anew for each
        // read: 1.0 µs less in a round trip of 20 µs. Accepted sockets do not have this option.
        onread: {
          buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
          callback: (count, buffer) => {
            connection.receive((buffer as Buffer).subarray(0, count))
            return true
          },
        },
      })
      const onAbort = (): void => connection.fail(abortedBy(signal!, address))
      const connection: Connection = new Connection(socket, address, this.#limits, {
        greet: (reply) => {
          checkReply(hello, reply, address)
          signal?.removeEventListener('abort', onAbort)
          const link = new FramedLink(reply, address, connection, this.#limits)
          link.open(handler)
          connection.listenForSilence()
          resolve(link)
          return link
        },
        refuse: (error) => {
          signal?.removeEventListener('abort', onAbort)
          socket.destroy()
          reject(unreachable(address, error))
        },
        gone: () => {},
      })
      signal?.addEventListener('abort', onAbort)
      socket.write(ownHello)
    })
  }
}

class TcpListener implements Listener {
  address = ''
  readonly #host: string
  readonly #hello: Hello
  readonly #accept: (link: Link) => LinkHandler
  readonly #limits: LinkLimits
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  /** Those that have not sent their hello, the oldest first. */
  readonly #waiting = new Set<Connection>()
  #closing: Promise<void> | undefined

  constructor(host: string, hello: Hello, accept: (link: Link) => LinkHandler, limits: LinkLimits) {
    this.#host = host
    this.#hello = hello
    this.#accept = accept
    this.#limits = limits
    this.#server = createServer(SOCKET_OPTIONS, (socket) => this.#take(socket))
  }

  open(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(cannotListen(this.#host, port, error)))
      this.#server.listen({ host: this.#host, port }, () => {
        this.#server.removeAllListeners('error')
        // No descriptor left for one connection: that one fails, the listener goes on.
        this.#server.on('error', () => {})
        this.address = formatAddress(this.#host, (this.#server.address() as AddressInfo).port)
        resolve()
      })
    })
  }

  /** Closes the port and every link that came in through it. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const connection of this.#connections)
        connection.fail(new GridError('CLOSED', `the listener at ${this.address} has been closed`))
    })
    return this.#closing
  }

  #take(socket: Socket): void {
    const remote = formatAddress(socket.remoteAddress ?? 'unknown', socket.remotePort ?? 0)
    const connection: Connection = new Connection(socket, remote, this.#limits, {
      greet: (peer) => this.#greet(connection, peer),
      refuse: (error) => {
        this.#waiting.delete(connection)
        if (socket.destroyed) return
        socket.write(encodeHello(this.#hello, statusOf(error)))
        connection.end()
      },
      gone: () => {
        this.#waiting.delete(connection)
        this.#connections.delete(connection)
      },
    })
    socket.on('data', (chunk) => connection.receive(chunk))
    this.#connections.add(connection)
    if (this.#waiting.size >= WAITING_CONNECTIONS_MAX) {
      const [oldest] = this.#waiting
      oldest?.fail(new GridError('OVERLOADED', 'too many connections await their hello'))
    }
    this.#waiting.add(connection)
  }

  #greet(connection: Connection, peer: PeerHello): FramedLink {
    checkCluster(this.#hello, peer, connection.remote)
    const link = new FramedLink(peer, connection.remote, connection, this.#limits)
    const handler = link.acceptedBy(this.#accept)
    this.#waiting.delete(connection)
    connection.socket.write(encodeHello(this.#hello, HELLO_OK))
    link.open(handler)
    return link
  }
}

interface Side {
  /** The peer's hello has arrived: makes the link, or throws why not. */
  greet(peer: PeerHello): FramedLink
  /** There will be no link. */
  refuse(error: GridError): void
  /** The socket is closed. */
  gone(): void
}

/** One socket, first while it awaits the peer's hello, then as the wire of a link. */
class Connection implements Wire {
  readonly socket: Socket
  readonly remote: string
  readonly #side: Side
  readonly #hello: HelloReader
  readonly #parser: FrameParser
  #link: FramedLink | undefined
  #refused = false
  #timer: NodeJS.Timeout
  readonly #onFrame: OnFrame = (bytes, start, end) => {
    if (start < end) this.#link?.receive(bytes, start, end)
  }
  /** Whether this side has dialled. */
  #dialled = false
  /** Why nothing is read: the link does not want to, or others are to have their turn. */
  #paused = false
  #resting = false
  /** When this side, which was dialled, last showed that it is there. */
  #answeredMs = Number.NEGATIVE_INFINITY

  constructor(socket: Socket, remote: string, limits: LinkLimits, side: Side) {
    this.socket = socket
    this.remote = remote
    this.#side = side
    this.#hello = new HelloReader(remote)
    this.#parser = new FrameParser(limits)
    this.#timer = setTimeout(
      () => this.fail(new GridError('UNREACHABLE', `no hello within ${HELLO_TIMEOUT_MS} ms`)),
      HELLO_TIMEOUT_MS,
    )
    socket.on('error', (error) => this.#lost(unreachable(remote, error)))
    socket.on('end', () => this.#lost(undefined))
    socket.on('close', () => {
      this.#lost(undefined)
      clearTimeout(this.#timer)
      side.gone()
    })
  }

  receive(chunk: Buffer): void {
    if (chunk.length >= READ_BUFFER_BYTES) this.#rest()
    if (this.#refused || this.#link?.closed) return
    try {
      if (this.#link === undefined) this.#greet(chunk)
      else {
        this.#parser.push(chunk, this.#onFrame)
        if (!this.#dialled) this.#answer()
      }
    } catch (error) {
      this.fail(asGridError(error))
    }
  }

  /**
   * A read that has filled its buffer is not followed by another one before everything else has had its turn. The event
   * loop would go on with the same socket up to 32 times: 2 MiB of writes are some 40 ms in which no timer runs and nobody
   * else is read.
   */
  #rest(): void {
    this.#resting = true
    this.socket.pause()
    setImmediate(() => {
      this.#resting = false
      if (!this.#paused) this.socket.resume()
    })
  }

  #answer(): void {
    const nowMs = performance.now()
    if (nowMs - this.#answeredMs < SIGN_EVERY_MS) return
    this.#answeredMs = nowMs
    this.#show()
  }

  /** Shows that this side is there, unless something else is on its way that does. */
  #show(): void {
    if (!this.#link?.closed && this.socket.writableLength === 0) this.socket.write(SIGN_OF_LIFE)
  }

  #greet(chunk: Buffer): void {
    const peer = this.#hello.push(chunk)
    if (peer === undefined) return
    clearTimeout(this.#timer)
    this.#link = this.#side.greet(peer)
    if (this.#hello.rest < chunk.length) this.#parser.push(chunk.subarray(this.#hello.rest), this.#onFrame)
  }

  /** For the side that dialled: closes the link when its peer is gone. */
  listenForSilence(): void {
    this.#dialled = true
    const silence = new Silence()
    this.#timer = setInterval(() => {
      const heard = silence.round(this.socket.bytesRead)
      if (heard === 'ask') this.#show()
      else if (heard === 'gone') this.#giveUp()
    }, ROUND_MS)
  }

  /** Nothing of what waits here or in the kernel is to arrive yet, after what is sent on the next link. */
  #giveUp(): void {
    this.socket.resetAndDestroy()
    this.#link?.abort(
      new GridError(
        'UNREACHABLE',
        `${this.remote}: nothing heard for ${(SILENT_ROUNDS * ROUND_MS) / 1000} s`,
      ),
    )
  }

  /** Ends the link, or the attempt at one, because of something on this side. */
  fail(error: GridError): void {
    if (this.#link !== undefined) this.#link.close(error)
    else this.#refuse(error)
  }

  /** Nothing more can arrive. */
  #lost(error: GridError | undefined): void {
    if (this.#link !== undefined) this.#link.abort(error)
    else
      this.#refuse(error ?? new GridError('UNREACHABLE', 'the peer closed the connection before its hello'))
  }

  #refuse(error: GridError): void {
    if (this.#refused) return
    this.#refused = true
    clearTimeout(this.#timer)
    this.#side.refuse(error)
  }

  get queuedBytes(): number {
    return this.socket.writableLength
  }

  write(bytes: Buffer, start: number, end: number, onTaken: () => void): void {
    sealFrame(bytes, start, end)
    this.socket.write(bytes.subarray(start, end), onTaken)
  }

  pause(): void {
    this.#paused = true
    this.socket.pause()
  }

  resume(): void {
    this.#paused = false
    if (!this.#resting) this.socket.resume()
  }

  end(): void {
    this.socket.end()
    // A peer that does not read must not keep the socket and what is queued on it.
    clearTimeout(this.#timer)
    if (!this.socket.destroyed) this.#timer = setTimeout(() => this.socket.destroy(), LINGER_TIMEOUT_MS)
  }

  destroy(): void {
    this.socket.destroy()
  }
}

const PASSED_ON: readonly string[] = ['PROTOCOL_VERSION', 'WRONG_CLUSTER', 'ABORTED'] satisfies ErrorCode[]

function unreachable(address: string, error: Error): GridError {
  if (error instanceof GridError && PASSED_ON.includes(error.code)) return error
  const why = (error as NodeJS.ErrnoException).code ?? error.message
  return new GridError('UNREACHABLE', `${address}: ${error instanceof GridError ? error.message : why}`, {
    cause: error,
  })
}

function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): GridError {
  const address = formatAddress(host, port)
  if (error.code === 'EADDRINUSE')
    return new GridError('PORT_IN_USE', `port ${port} is taken at ${host}`, { cause: error })
  return new GridError('BAD_OPTION', `cannot listen at ${address}: ${error.code ?? error.message}`, {
    cause: error,
  })
}
