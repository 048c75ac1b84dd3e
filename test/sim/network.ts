/**
 * A virtual network: processes, and links between them that behave as TCP does.
 *
 * A link is a queue of frames in each direction. A frame is what a process appended in one turn. A direction that is
 * cut holds its frames back (TCP sends them again) until the cut heals or the link breaks; what was under way when it
 * breaks is lost, or still arrives before the other side notices: after the cut, maybe, and after what was sent on a
 * newer link. Two links between the same two processes know nothing of each other's order.
 */

import { ByteWriter } from '../../src/core/base/bytes.ts'
import type { Outlet } from '../../src/core/partition/context.ts'
import type { World } from './world.ts'

/** Something that handles one input at a time, and none at all while it is stopped. */
export class Process {
  readonly world: World
  readonly network: Network
  /** Where it runs; cuts are between hosts. */
  readonly host: string
  /** Of the member's incarnation or the client's session. */
  readonly id: string
  alive = true
  pausedUntilMs = 0
  readonly #inbox: (() => void)[] = []

  constructor(network: Network, host: string, id: string) {
    this.network = network
    this.world = network.world
    this.host = host
    this.id = id
  }

  get paused(): boolean {
    return this.world.nowMs < this.pausedUntilMs
  }

  /** Handles one input, now or when this process runs again. */
  exec(turn: () => void): void {
    if (!this.alive) return
    if (this.paused || this.#inbox.length > 0) this.#inbox.push(turn)
    else this.run(turn)
  }

  /** Stops it for a while: nothing is handled, what arrives waits. What this turn has written leaves afterwards. */
  pause(durationMs: number): void {
    this.pausedUntilMs = Math.max(this.pausedUntilMs, this.world.nowMs + durationMs)
    this.world.after(this.pausedUntilMs - this.world.nowMs, () => this.#resume())
  }

  #resume(): void {
    while (this.alive && !this.paused) {
      const turn = this.#inbox.shift()
      if (!turn) return
      this.run(turn)
    }
  }

  protected run(turn: () => void): void {
    turn()
    this.network.flush(this)
  }

  die(): void {
    this.alive = false
    this.#inbox.length = 0
    this.network.died(this)
  }

  /** Somebody wants a link. Returns what handles it. */
  accept(_end: LinkEnd, _from: Process): EndHandler {
    throw new Error('this process does not listen')
  }
}

export interface EndHandler {
  onFrame(bytes: Buffer): void
  onClose(): void
}

/** What a process appends goes into slabs of this size, and leaves from there without being copied, as in production. */
const SLAB_BYTES = 8 * 1024

/** One side of a link. */
export class LinkEnd implements Outlet {
  readonly peer: { readonly id: string }
  readonly process: Process
  readonly link: Link
  readonly out = new ByteWriter(SLAB_BYTES)
  queuedBytes = 0
  closed = false
  handler: EndHandler | undefined
  dirty = false
  // of the direction that begins here
  lastArrivalMs = 0
  readonly held: Buffer[] = []
  heldSinceMs = 0
  lost = false

  constructor(link: Link, process: Process, peer: string) {
    this.link = link
    this.process = process
    this.peer = { id: peer }
  }

  get other(): LinkEnd {
    return this.link.ends[0] === this ? this.link.ends[1] : this.link.ends[0]
  }

  wake(): void {
    if (this.dirty) return
    this.dirty = true
    this.process.network.dirty.push(this)
  }

  /** This side closes. What it has sent may still arrive. */
  close(): void {
    if (this.closed) return
    this.link.breakFrom(this, this.process.world.chance(0.5))
  }
}

export class Link {
  readonly ends: [LinkEnd, LinkEnd]
  broken = false

  constructor(dialler: Process, acceptor: Process) {
    this.ends = [new LinkEnd(this, dialler, acceptor.id), new LinkEnd(this, acceptor, dialler.id)]
  }

  /** The link breaks; `first` notices at once, the other side in a while. */
  breakFrom(first: LinkEnd, late: boolean): void {
    if (this.broken) return
    this.broken = true
    const { network, world } = first.process
    if (!late) network.links.delete(this)
    network.stats.breaks++
    world.log(`break ${this.ends[0].process.host}>${this.ends[1].process.host}`)
    for (const end of this.ends) if (!late) end.lost = true
    world.after(0, () => first.process.exec(() => this.#end(first)))
    this.#notice(first.other, world.chance(0.8) ? world.between(0.1, 20) : world.between(20, 4000))
  }

  /** The end of the stream comes after what was sent before it. */
  #notice(end: LinkEnd, delayMs: number): void {
    const { world } = end.process
    world.after(delayMs, () => {
      if (!end.process.alive) return this.#end(end)
      end.process.exec(() => {
        if (!end.other.lost && end.other.held.length > 0) this.#notice(end, world.between(1, 100))
        else this.#end(end)
      })
    })
  }

  #end(end: LinkEnd): void {
    if (end.closed) return
    end.closed = true
    end.other.lost = true
    if (end.other.closed || !end.other.process.alive) end.process.network.links.delete(this)
    if (end.process.alive) end.handler?.onClose()
  }
}

export interface NetworkStats {
  frames: number
  breaks: number
  dials: number
}

export class Network {
  readonly world: World
  readonly links = new Set<Link>()
  readonly dirty: LinkEnd[] = []
  readonly stats: NetworkStats = { frames: 0, breaks: 0, dials: 0 }
  /** `a>b`: what a sends to b does not arrive. */
  readonly #cuts = new Map<string, number>()
  readonly #listening = new Map<string, Process>()
  /** How often a frame takes long. */
  slowProbability = 0.002
  slowMs = 200

  constructor(world: World) {
    this.world = world
  }

  listen(address: string, process: Process): void {
    this.#listening.set(address, process)
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.size > 0 && (this.#cuts.get(`${from}>${to}`) ?? 0) > 0
  }

  /** Cuts directions for a while. Links across them may break meanwhile. */
  cut(pairs: readonly (readonly [string, string])[], durationMs: number): void {
    for (const [from, to] of pairs) this.#count(from, to, 1)
    for (const link of this.links) {
      const [a, b] = link.ends
      if (!this.isCut(a.process.host, b.process.host) && !this.isCut(b.process.host, a.process.host)) continue
      if (this.world.chance(0.5)) continue
      const end = this.world.pick(link.ends)
      const late = this.world.chance(0.3)
      this.world.after(this.world.between(50, 8000), () => {
        if (this.isCut(a.process.host, b.process.host) || this.isCut(b.process.host, a.process.host))
          link.breakFrom(end, late)
      })
    }
    this.world.after(durationMs, () => {
      for (const [from, to] of pairs) this.#count(from, to, -1)
      this.#releaseAll()
    })
  }

  #count(from: string, to: string, by: number): void {
    const key = `${from}>${to}`
    const count = Math.max(0, (this.#cuts.get(key) ?? 0) + by)
    if (count === 0) this.#cuts.delete(key)
    else this.#cuts.set(key, count)
  }

  heal(): void {
    this.#cuts.clear()
    this.#releaseAll()
  }

  #releaseAll(): void {
    for (const link of this.links) for (const end of link.ends) if (end.held.length > 0) this.#release(end)
  }

  /** TCP waits longer and longer before it tries again: up to as long as it could not send. */
  #release(end: LinkEnd): void {
    const { world } = this
    const waitMs = world.chance(0.3) ? Math.max(300, world.nowMs - end.heldSinceMs) : 300
    world.after(world.between(0, waitMs), () => {
      while (end.held.length > 0 && !end.lost) {
        if (this.isCut(end.process.host, end.other.process.host)) return
        this.#hand(end, end.held.shift()!)
      }
    })
  }

  /** Sends what a turn has written. */
  flush(process: Process): void {
    for (const end of this.dirty) {
      end.dirty = false
      const { out } = end
      if (out.length === out.start) continue
      if (end.closed) {
        out.length = out.start
        continue
      }
      const bytes = out.buffer.subarray(out.start, out.length)
      out.start = out.length
      const departMs = Math.max(0, process.pausedUntilMs - this.world.nowMs)
      this.#send(end, bytes, departMs)
    }
    this.dirty.length = 0
  }

  #send(end: LinkEnd, bytes: Buffer, departMs: number): void {
    const { world } = this
    end.queuedBytes += bytes.length
    let delayMs = departMs + world.between(0.1, 1.5)
    if (world.chance(this.slowProbability)) delayMs += world.between(0, this.slowMs)
    end.lastArrivalMs = Math.max(end.lastArrivalMs, world.nowMs + delayMs)
    world.after(end.lastArrivalMs - world.nowMs, () => {
      if (end.lost) return
      if (end.held.length > 0 || this.isCut(end.process.host, end.other.process.host)) {
        if (end.held.length === 0) end.heldSinceMs = world.nowMs
        end.held.push(bytes)
      } else this.#hand(end, bytes)
    })
  }

  #hand(end: LinkEnd, bytes: Buffer): void {
    const to = end.other
    to.process.exec(() => {
      end.queuedBytes -= bytes.length
      if (to.closed) return
      this.stats.frames++
      this.world.logBytes(bytes)
      to.handler?.onFrame(bytes)
    })
  }

  /** Opens a link. `up` and `failed` are turns of the dialler. */
  dial(
    dialler: Process,
    address: string,
    handler: EndHandler,
    up: (end: LinkEnd) => void,
    failed: () => void,
  ): void {
    const { world } = this
    this.stats.dials++
    let settled = false
    const once = (outcome: () => void): void => {
      if (settled) return
      settled = true
      outcome()
    }
    const fail = (delayMs: number): void => world.after(delayMs, () => dialler.exec(() => once(failed)))
    // Whoever is dialled may be stopped for long, or die without a word.
    fail(5000)
    world.after(world.between(0.2, 3), () => {
      const target = this.#listening.get(address)
      if (!target?.alive) return fail(world.between(0.2, 50))
      if (this.isCut(dialler.host, target.host) || this.isCut(target.host, dialler.host))
        return fail(world.between(20, 2000))
      target.exec(() => {
        if (!dialler.alive) return
        const link = new Link(dialler, target)
        this.links.add(link)
        link.ends[1].handler = target.accept(link.ends[1], dialler)
        world.after(world.between(0.2, 3), () =>
          dialler.exec(() => {
            if (settled) link.ends[0].close()
            else if (link.ends[0].closed || link.broken) once(failed)
            else
              once(() => {
                link.ends[0].handler = handler
                up(link.ends[0])
              })
          }),
        )
      })
    })
  }

  /** The kernel of a process that has ended closes its links. */
  died(process: Process): void {
    for (const link of [...this.links]) {
      const end = link.ends.find((e) => e.process === process)
      if (end) link.breakFrom(end, this.world.chance(0.5))
    }
  }
}
