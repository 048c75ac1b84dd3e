/**
 * A TCP proxy in front of one address, which makes of a good link a bad one: late, uneven, narrow, stalling, half-open
 * or torn.
 *
 * What it does by itself hangs on the seed, on the number of the connection, and on how many bytes have passed; not on
 * how the kernel cut them into reads. It holds at most `HELD_BYTES_MAX` a direction and then reads no more, so that a narrow
 * link fills the sender's buffers as a real one does. Bytes never come out of order, and none is left out of a stream that
 * goes on: a connection that has swallowed some is torn down when that heals.
 */

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import {
  type Conditions,
  PERFECT,
  type Sender,
  type Span,
  Stream,
  type Surroundings,
  spansOf,
} from './proxy-stream.ts'

export interface ProxyOptions {
  readonly seed: number
  /** Where to listen. Default `127.0.0.1`. */
  readonly host?: string
  readonly conditions?: Partial<Conditions>
}

export class TcpProxy {
  readonly address: string
  conditions: Conditions
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #swallowed = { client: 0, target: 0 }
  readonly #held = { client: 0, target: 0 }

  private constructor(server: Server, conditions: Conditions) {
    const { address, port } = server.address() as AddressInfo
    this.address = `${address}:${port}`
    this.conditions = conditions
    this.#server = server
  }

  /** `target` is `host:port`, or what gives it once somebody connects. */
  static open(target: string | (() => string), options: ProxyOptions): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: options.host ?? '127.0.0.1', port: 0 }, () => {
        const proxy = new TcpProxy(server, { ...PERFECT, ...options.conditions })
        let accepted = 0
        server.on('connection', (client) => {
          const at = typeof target === 'string' ? target : target()
          proxy.#accept(client, at, (sender) => spansOf(options.seed, accepted, sender))
          accepted++
        })
        resolve(proxy)
      })
    })
  }

  /** Connections that are open on at least one side. */
  get connections(): number {
    return this.#connections.size
  }

  /** Bytes that have been thrown away, on connections that are still open. */
  get swallowedBytes(): number {
    return this.#sum((connection) => connection.swallowedBytes)
  }

  /** Bytes that are on their way. */
  get heldBytes(): number {
    return this.#sum((connection) => connection.heldBytes)
  }

  #sum(of: (connection: Connection) => number): number {
    let sum = 0
    for (const connection of this.#connections) sum += of(connection)
    return sum
  }

  /** Connections of which one side is closed and the other does not know. */
  get halfOpen(): number {
    return [...this.#connections].filter((connection) => connection.abandoned).length
  }

  /** From now on what one side sends is taken and thrown away, on connections to come too. Returns what ends that. */
  swallow(sender: Sender): () => void {
    return this.#whileIn(this.#swallowed, sender)
  }

  /** From now on what one side sends waits here, and then in the kernel's buffers. Returns what ends that. */
  hold(sender: Sender): () => void {
    return this.#whileIn(this.#held, sender)
  }

  /** Closes the side of `sender` on every connection, and lets the other one go on as if nothing were. */
  abandon(sender: Sender): void {
    for (const connection of this.#connections) connection.abandon(sender)
  }

  /** Resets the connections, both sides at once: all of them, or a share chosen by `chosen`. */
  reset(chosen: () => boolean = () => true): void {
    for (const connection of [...this.#connections]) if (chosen()) connection.reset()
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.reset()
    })
  }

  #accept(client: Socket, target: string, spans: (sender: Sender) => () => Span): void {
    const connection = new Connection(client, target, spans, {
      conditions: () => this.conditions,
      swallows: (sender) => this.#swallowed[sender] > 0,
      holds: (sender) => this.#held[sender] > 0,
      gone: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }

  #whileIn(counts: Record<Sender, number>, sender: Sender): () => void {
    counts[sender]++
    let ended = false
    return () => {
      if (ended) return
      ended = true
      counts[sender]--
      for (const connection of [...this.#connections]) connection.changed()
    }
  }
}

class Connection {
  abandoned = false
  readonly #sockets: Readonly<Record<Sender, Socket>>
  readonly #streams: Readonly<Record<Sender, Stream>>
  readonly #around: Surroundings

  constructor(client: Socket, address: string, spans: (sender: Sender) => () => Span, around: Surroundings) {
    const split = address.lastIndexOf(':')
    const to = { host: address.slice(0, split), port: Number(address.slice(split + 1)) }
    const target = connect({ ...to, allowHalfOpen: true, noDelay: true })
    this.#around = around
    this.#sockets = { client, target }
    const reset = (): void => this.reset()
    this.#streams = {
      client: new Stream('client', client, target, spans('client'), around, reset),
      target: new Stream('target', target, client, spans('target'), around, reset),
    }
    for (const sender of ['client', 'target'] as const) {
      const socket = this.#sockets[sender]
      socket.on('error', () => {}) // `close` follows
      socket.on('close', (failed) => this.#closed(failed))
    }
  }

  get swallowedBytes(): number {
    return this.#streams.client.lostBytes + this.#streams.target.lostBytes
  }

  get heldBytes(): number {
    return this.#streams.client.heldBytes + this.#streams.target.heldBytes
  }

  /** One side is gone: the other is told, unless it is to believe that all is well. */
  #closed(failed: boolean): void {
    const { client, target } = this.#sockets
    if (client.destroyed && target.destroyed) this.#around.gone()
    else if (failed && !this.abandoned) this.reset()
    // The last of a stream may still be on its way here.
    else if (!this.abandoned) for (const stream of Object.values(this.#streams)) stream.pump()
  }

  abandon(sender: Sender): void {
    if (this.abandoned) return
    this.abandoned = true
    for (const stream of Object.values(this.#streams)) stream.swallow()
    this.#sockets[sender].resetAndDestroy()
  }

  reset(): void {
    this.abandoned = false
    for (const stream of Object.values(this.#streams)) stream.stop()
    for (const socket of Object.values(this.#sockets)) {
      // A socket that is not yet connected knows no reset.
      if (socket.connecting) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  /** A fault of the whole proxy has ended. */
  changed(): void {
    const { client, target } = this.#streams
    const misses = (stream: Stream): boolean => stream.lost && !this.#around.swallows(stream.sender)
    // Those that were swallowed will be missed.
    if (!this.abandoned && (misses(client) || misses(target))) this.reset()
    for (const stream of Object.values(this.#streams)) stream.pump()
  }
}
