/**
 * Links inside one process, for embedded clusters and for tests.
 *
 * Everything is encoded as it would be for a socket and arrives as a copy, in order, in a later turn of the event
 * loop (`setImmediate`: two sides that only answer each other must not starve timers and sockets, as they would with
 * microtasks or ticks). What a handler has read is overwritten after the call, so that one that keeps a view of it
 * is found out here and not over TCP.
 *
 * For tests: `cut` and `heal` part two processes as a network would, `kill` ends one as a crash would.
 */

import { GridError } from '../core/base/errors.ts'
import { formatAddress, parseAddress } from './address.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'
import { checkCluster, encodeHello, HelloReader } from './hello.ts'
import { abortedBy, asGridError, FramedLink, type LinkLimits, type Wire } from './link.ts'
import type { Hello, Link, LinkHandler, Listener, Transport } from './transport.ts'

const FIRST_FREE_PORT = 49_152

/** The network that the members and clients of one process share. Frames have no checksum: they never leave memory. */
export class LoopbackNetwork {
  readonly #limits: LinkLimits
  readonly #listeners = new Map<string, LoopbackListener>()
  readonly #ends = new Set<LoopbackEnd>()
  readonly #cuts = new Set<string>()
  readonly #dead = new Set<string>()
  #nextPort = FIRST_FREE_PORT
  #turn: (() => void)[] = []

  constructor(options: { readonly limits: LinkLimits }) {
    this.#limits = options.limits
  }

  transport(): Transport {
    return {
      listen: async (address, hello, accept) => this.#listen(address, hello, accept),
      connect: (address, hello, handler, signal) => this.#connect(address, hello, handler, signal),
    }
  }

  /**
   * Parts two processes, each named by its id or an address that it listens at: what they send each other vanishes,
   * new links are refused. Neither is told.
   */
  cut(a: string, b: string): void {
    this.#cuts.add(pair(this.#idOf(a), this.#idOf(b)))
  }

  /**
   * Undoes `cut`. Links that lost something on the way close now, on both sides: no link may have a gap. The others
   * go on.
   */
  heal(a: string, b: string): void {
    this.#cuts.delete(pair(this.#idOf(a), this.#idOf(b)))
    for (const end of [...this.#ends])
      if ((end.lossy || end.other.lossy) && !this.severed(end)) end.breakOff('the network was cut')
  }

  /**
   * Ends the process that listens at `address`, as a crash does: what has not arrived is lost, its links close on
   * both sides, and its id can neither listen nor connect again.
   */
  kill(address: string): void {
    const id = this.#idOf(address)
    this.#dead.add(id)
    for (const [at, listener] of this.#listeners) if (listener.hello.id === id) this.#listeners.delete(at)
    for (const end of [...this.#ends]) if (end.ownId === id) end.breakOff('the process has ended')
  }

  #listen(address: string, hello: Hello, accept: (link: Link) => LinkHandler): Listener {
    const wanted = parseAddress(address)
    encodeHello(hello)
    this.#checkAlive(hello)
    const at = formatAddress(wanted.host, wanted.port === 0 ? this.#nextPort++ : wanted.port)
    if (this.#listeners.has(at)) throw new GridError('PORT_IN_USE', `${at} is taken`)
    const listener = new LoopbackListener(at, hello, accept, (reason) => {
      if (this.#listeners.get(at) === listener) this.#listeners.delete(at)
      for (const end of [...this.#ends]) if (end.listener === listener) end.link.close(reason)
    })
    this.#listeners.set(at, listener)
    return listener
  }

  async #connect(
    address: string,
    hello: Hello,
    handler: LinkHandler,
    signal: AbortSignal | undefined,
  ): Promise<Link> {
    parseAddress(address)
    const bytes = encodeHello(hello)
    this.#checkAlive(hello)
    await this.#turnOrAbort(address, signal)
    const listener = this.#listeners.get(address)
    if (listener === undefined) throw new GridError('UNREACHABLE', `${address}: nobody listens there`)
    if (this.#cuts.has(pair(hello.id, listener.hello.id)))
      throw new GridError('UNREACHABLE', `${address}: the network is cut`)
    const peer = new HelloReader(hello.id).push(bytes)!
    checkCluster(hello, listener.hello, address)
    const near = new LoopbackEnd(this, hello.id)
    const far = new LoopbackEnd(this, listener.hello.id, listener)
    near.link = new FramedLink(listener.hello, address, near, this.#limits)
    far.link = new FramedLink(peer, `loopback:${hello.id.slice(0, 8)}`, far, this.#limits)
    near.other = far
    far.other = near
    let accepted: LinkHandler
    try {
      accepted = far.link.acceptedBy(listener.accept)
    } catch (error) {
      throw new GridError('UNREACHABLE', `${address} refused the link`, { cause: asGridError(error) })
    }
    for (const end of [near, far]) this.#ends.add(end)
    near.link.open(handler)
    far.link.open(accepted)
    return near.link
  }

  async #turnOrAbort(address: string, signal: AbortSignal | undefined): Promise<void> {
    let onAbort = (): void => {}
    const turn = new Promise<void>((resolve, reject) => {
      onAbort = () => reject(abortedBy(signal!, address))
      signal?.addEventListener('abort', onAbort)
      this.post(resolve)
    })
    if (!signal?.aborted) await turn.finally(() => signal?.removeEventListener('abort', onAbort))
    if (signal?.aborted) throw abortedBy(signal, address)
  }

  #checkAlive(hello: Hello): void {
    if (this.#dead.has(hello.id)) throw new GridError('UNREACHABLE', `process ${hello.id} has been killed`)
  }

  #idOf(name: string): string {
    return this.#listeners.get(name)?.hello.id ?? name
  }

  /** Runs `what` in the next turn of the event loop, after everything posted before. */
  post(what: () => void): void {
    if (this.#turn.push(what) > 1) return
    setImmediate(() => {
      const turn = this.#turn
      this.#turn = []
      for (const step of turn) step()
    })
  }

  severed(end: LoopbackEnd): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(pair(end.ownId, end.other.ownId))
  }

  remove(end: LoopbackEnd): void {
    this.#ends.delete(end)
  }
}

class LoopbackListener implements Listener {
  readonly address: string
  readonly hello: Hello
  readonly accept: (link: Link) => LinkHandler
  readonly #forget: (reason: GridError) => void

  constructor(
    address: string,
    hello: Hello,
    accept: (link: Link) => LinkHandler,
    forget: (reason: GridError) => void,
  ) {
    this.address = address
    this.hello = hello
    this.accept = accept
    this.#forget = forget
  }

  async close(): Promise<void> {
    this.#forget(new GridError('CLOSED', `the listener at ${this.address} has been closed`))
  }
}

/** One side of a link, as the wire of that side. */
class LoopbackEnd implements Wire {
  readonly ownId: string
  /** The listener that took the link; only the side that was connected to has one. */
  readonly listener: LoopbackListener | undefined
  link!: FramedLink
  other!: LoopbackEnd
  queuedBytes = 0
  /** Something that this side sent has vanished in a cut. */
  lossy = false
  #destroyed = false
  #paused = false
  /** What has arrived while reading was paused. */
  #inbox: (() => void)[] = []
  readonly #network: LoopbackNetwork

  constructor(network: LoopbackNetwork, ownId: string, listener?: LoopbackListener) {
    this.#network = network
    this.ownId = ownId
    this.listener = listener
  }

  write(bytes: Buffer, start: number, end: number, onTaken: () => void): void {
    if (this.#vanishes()) return
    const body = Buffer.from(bytes.subarray(start + FRAME_HEADER_BYTES, end))
    this.queuedBytes += body.length
    this.#arriveThere(() => {
      this.queuedBytes -= body.length
      if (this.#destroyed) return
      this.other.link.receive(body, 0, body.length)
      body.fill(0xdd)
      onTaken()
    })
  }

  end(): void {
    this.#network.remove(this)
    if (!this.#vanishes()) this.#arriveThere(() => this.other.link.abort(undefined))
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#network.post(() => {
      while (!this.#paused && this.#inbox.length > 0) this.#inbox.shift()!()
    })
  }

  #arriveThere(step: () => void): void {
    const { other } = this
    this.#network.post(() => {
      if (other.#paused || other.#inbox.length > 0) other.#inbox.push(step)
      else step()
    })
  }

  destroy(): void {
    this.#destroyed = true
  }

  /** Closes both sides at once, as a broken connection does. */
  breakOff(why: string): void {
    for (const end of [this, this.other])
      end.link.abort(new GridError('UNREACHABLE', `link to ${end.link.remote} lost: ${why}`))
  }

  #vanishes(): boolean {
    if (!this.#network.severed(this)) return false
    this.lossy = true
    return true
  }
}

function pair(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
