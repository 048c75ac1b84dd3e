/**
 * The edge of a member: real links, a real clock and a real configuration log around the engine, which has none.
 *
 * It does four things and decides nothing: hands frames to the engine as they arrive, keeps a link to each member
 * that the engine wants one to, ticks, and runs long work in portions of at most 1 ms between turns of the event loop.
 */

import type { Control } from '../control/control.ts'
import { AssertionFailed } from '../core/base/assert.ts'
import { GridError } from '../core/base/errors.ts'
import { Engine } from '../core/engine/engine.ts'
import type { Effects, Settings } from '../core/engine/settings.ts'
import type { MemberId } from '../core/membership/config.ts'
import type { CallView, ReplyView } from '../core/wire/message.ts'
import type { Hello, Link, LinkHandler, Listener, Transport } from '../transport/transport.ts'
import { readClocks } from './clock.ts'

const TICK_MS = 50
/** Long work between two turns of the event loop, at most. */
const WORK_MS = 1
const DIAL_AGAIN_MS = 100
const DIAL_AGAIN_MAX_MS = 2000

export interface Edge {
  readonly transport: Transport
  readonly control: Control
  readonly cluster: string
  /** A line for the operator. */
  readonly note: (kind: string, detail: string, partition?: number) => void
}

/** A link that this member keeps to another. */
interface Dialled {
  address: string
  link: Link | undefined
  timer: NodeJS.Timeout | undefined
  waitMs: number
}

export class Runtime {
  readonly engine: Engine
  readonly #edge: Edge
  readonly #hello: Hello
  readonly #dialled = new Map<MemberId, Dialled>()
  readonly #links = new Set<Link>()
  #listener: Listener | undefined
  #ticker: NodeJS.Timeout | undefined
  #working = false
  #stopped = false
  /** The engine is at work on an input. */
  #turning = false
  controlConnected = false
  readonly ended: Promise<string>
  #end: (reason: string) => void = () => {}
  readonly #waiting: (() => void)[] = []

  constructor(settings: Settings, edge: Edge) {
    this.#edge = edge
    this.#hello = { role: 'member', cluster: edge.cluster, id: settings.self.id }
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.engine = new Engine(settings, this.#effects())
  }

  /** Listens for members and clients. Returns the address. @throws GridError `PORT_IN_USE`, `BAD_OPTION` */
  async listen(address: string): Promise<string> {
    this.#listener = await this.#edge.transport.listen(address, this.#hello, (link) => this.#accept(link))
    return this.#listener.address
  }

  /** Reads the configuration log and begins to take part. @throws GridError `CONTROL_UNAVAILABLE` */
  async join(): Promise<void> {
    const { engine } = this
    this.#ticker = setInterval(() => this.#guard(() => engine.tick(readClocks())), TICK_MS)
    await this.#edge.control.open({
      onOpen: (evidence, checkpoint) => {
        this.controlConnected = true
        this.#guard(() => engine.controlOpen(evidence, checkpoint))
      },
      onEntries: (entries, caughtUp) => {
        this.#guard(() => engine.controlEntries(entries, caughtUp, readClocks()))
        this.#changed()
      },
      onDown: (reason) => {
        this.controlConnected = false
        this.#guard(() => engine.controlDown(reason))
      },
      onAnnouncement: (bytes) =>
        this.#guard(() => {
          try {
            engine.announcement(bytes, readClocks())
          } catch (error) {
            if (!(error instanceof GridError)) throw error
            this.#edge.note('announcement', error.message)
          }
        }),
    })
  }

  /** Settles when the configuration log has been read on, or this member has stopped. */
  viewChanged(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Stops at once: what is under way is lost to this member, and found by the others. */
  async stop(reason: string): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#ticker)
    for (const id of [...this.#dialled.keys()]) this.#hangUp(id)
    for (const link of [...this.#links]) link.close()
    await this.#listener?.close()
    await this.#edge.control.close()
    this.engine.close()
    this.#end(reason)
    this.#changed()
  }

  // ---- links

  #accept(link: Link): LinkHandler {
    this.#links.add(link)
    const { engine } = this
    if (link.peer.role === 'client') {
      engine.clientUp(link)
      return {
        onFrame: (_, bytes, start, end) =>
          this.#frame(() => {
            const stop = engine.clientFrame(link, bytes, start, end, readClocks())
            if (stop < end) link.postpone(bytes, stop, end)
          }),
        onClose: () => {
          this.#links.delete(link)
          this.#guard(() => engine.clientDown(link))
        },
      }
    }
    const from = link.peer.id
    return {
      onFrame: (_, bytes, start, end) =>
        this.#frame(() => engine.peerFrame(from, bytes, start, end, readClocks())),
      onClose: () => this.#links.delete(link),
    }
  }

  /** A bad frame closes its link; a contradiction of our own stops the member before it answers anyone. */
  #frame(handle: () => void): void {
    if (this.#stopped) return
    try {
      this.#turn(handle)
    } catch (error) {
      if (error instanceof GridError) throw error
      this.#fail(error)
    }
  }

  /** A read by a client in this process; see `LocalReader`. From within a turn, as by a processor, none is answered. */
  readLocal(call: CallView, answer: ReplyView): boolean {
    if (this.#stopped || this.#turning) return false
    try {
      return this.engine.reads.answer(call, readClocks(), answer)
    } catch (error) {
      // Over a link the caller is told, and in full.
      if (!(error instanceof GridError)) this.#fail(error)
      return false
    }
  }

  #dial(id: MemberId, address: string): void {
    const known = this.#dialled.get(id)
    if (known) {
      known.address = address
      return
    }
    const dialled: Dialled = { address, link: undefined, timer: undefined, waitMs: DIAL_AGAIN_MS }
    this.#dialled.set(id, dialled)
    void this.#connect(id, dialled)
  }

  async #connect(id: MemberId, dialled: Dialled): Promise<void> {
    const { engine } = this
    let up: Link | undefined
    const again = (): void => {
      dialled.link = undefined
      if (this.#stopped || this.#dialled.get(id) !== dialled) return
      dialled.timer = setTimeout(() => void this.#connect(id, dialled), dialled.waitMs)
      dialled.waitMs = Math.min(dialled.waitMs * 2, DIAL_AGAIN_MAX_MS)
    }
    try {
      const link = await this.#edge.transport.connect(dialled.address, this.#hello, {
        // The other member sends on its own link to this one; here it only listens.
        onFrame: () => {
          throw new GridError('FORBIDDEN', 'members answer on their own links')
        },
        onClose: (closed) => {
          this.#guard(() => engine.peerDown(closed))
          if (up) again()
        },
      })
      up = link
      if (link.peer.id !== id) {
        // Another process has taken the address: the member that this was is gone or has moved.
        link.close()
        return
      }
      if (this.#stopped || this.#dialled.get(id) !== dialled) {
        link.close()
        return
      }
      if (link.closed) {
        again()
        return
      }
      dialled.link = link
      dialled.waitMs = DIAL_AGAIN_MS
      this.#guard(() => engine.peerUp(link, readClocks()))
    } catch (error) {
      if (!(error instanceof GridError)) this.#fail(error)
      again()
    }
  }

  #hangUp(id: MemberId): void {
    const dialled = this.#dialled.get(id)
    if (!dialled) return
    this.#dialled.delete(id)
    clearTimeout(dialled.timer)
    dialled.link?.close()
  }

  // ---- time

  /** Long work: portions of at most `WORK_MS`, with a turn of the event loop between them. */
  #work = (): void => {
    if (this.#stopped) return
    const until = performance.now() + WORK_MS
    this.#guard(() => {
      let more = true
      while (more && performance.now() < until) more = this.engine.work(readClocks())
      this.#working = more
      if (more) setImmediate(this.#work)
    })
  }

  // ---- effects

  #effects(): Effects {
    const { control } = this.#edge
    return {
      append: (bytes, id, expectedSeq) => control.append(bytes, id, expectedSeq),
      checkpoint: (bytes, seq) => control.checkpoint(bytes, seq),
      announce: (bytes) => control.announce(bytes),
      verify: () => control.verify(),
      dial: (id, address) => this.#dial(id, address),
      hangUp: (id) => this.#hangUp(id),
      background: () => {
        if (this.#working) return
        this.#working = true
        setImmediate(this.#work)
      },
      // The engine is in the middle of a turn: it is stopped after it.
      ended: (reason) => setImmediate(() => void this.stop(reason)),
      note: (event) =>
        this.#edge.note(event.kind, event.detail, 'partition' in event ? event.partition : undefined),
    }
  }

  #guard(handle: () => void): void {
    if (this.#stopped) return
    try {
      this.#turn(handle)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** One turn may lie in another: a link that is closed in one says so at once. */
  #turn(handle: () => void): void {
    const outer = this.#turning
    this.#turning = true
    try {
      handle()
    } finally {
      this.#turning = outer
    }
  }

  /** The state can no longer be trusted: the member stops, and the others go on without it. */
  #fail(error: unknown): void {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#edge.note(error instanceof AssertionFailed ? 'assertion' : 'failure', what)
    void this.stop(`failed: ${error instanceof Error ? error.message : what}`)
  }
}
