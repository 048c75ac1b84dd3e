/**
 * The edge of a simulated member: what member/runtime.ts is in production, on virtual links, a virtual log and two clocks
 * that run a little wrong.
 */

import { GridError } from '../../src/core/base/errors.ts'
import { Engine } from '../../src/core/engine/engine.ts'
import type { Effects, Settings } from '../../src/core/engine/settings.ts'
import type { MemberId } from '../../src/core/membership/config.ts'
import type { Now } from '../../src/core/partition/context.ts'
import { ControlHandle, type ControlStore } from './control-store.ts'
import { type EndHandler, type LinkEnd, type Network, Process } from './network.ts'
import { Violation } from './world.ts'

const TICK_MS = 50
const DIAL_AGAIN_MS = 100
const DIAL_AGAIN_MAX_MS = 2000
const WALL_START_MS = 1_750_000_000_000

interface Dialled {
  address: string
  end: LinkEnd | undefined
  waitMs: number
}

export interface MemberOptions {
  readonly network: Network
  readonly store: ControlStore
  readonly host: string
  readonly settings: Settings
  readonly secret: string
  /** Of the monotonic clock, near 1. */
  readonly rate: number
  readonly wallOffsetMs: number
  /** Between two portions of long work. */
  readonly workMs: number
  /** After each turn. */
  readonly observe: (member: SimMember) => void
  readonly ended: (member: SimMember, reason: string) => void
  /** This replica had no room, and gave up what it held. */
  readonly emptied: (member: SimMember, partition: number) => void
}

export class SimMember extends Process {
  readonly engine: Engine
  readonly secret: string
  readonly address: string
  readonly notes: string[] = []
  /** Set by the leave of this member. */
  leaving = false
  readonly #options: MemberOptions
  readonly #control: ControlHandle
  readonly #dialled = new Map<MemberId, Dialled>()
  #suspendedMs = 0
  wallStepMs = 0
  /** When a fault of its clocks began last. */
  clockFaultMs = Number.NEGATIVE_INFINITY
  #working = false
  /** Frames of clients that had to wait because the client read too slowly. */
  framesHeld = 0
  readonly #startMs: number

  constructor(options: MemberOptions) {
    super(options.network, options.host, options.settings.self.id)
    this.#options = options
    this.secret = options.secret
    this.address = options.settings.self.address
    this.#startMs = this.world.nowMs
    this.engine = new Engine(options.settings, this.#effects())
    this.network.listen(this.address, this)
    this.#control = new ControlHandle(options.store, this, {
      opened: (evidence, checkpoint) => this.engine.controlOpen(evidence, checkpoint),
      entries: (entries, caughtUp) => this.engine.controlEntries(entries, caughtUp, this.clocks()),
      down: (reason) => this.engine.controlDown(reason),
      announced: (bytes) => this.engine.announcement(bytes, this.clocks()),
    })
    this.#tick()
  }

  clocks(): Now {
    const { rate, wallOffsetMs } = this.#options
    const { nowMs } = this.world
    const monoMs = 1000 + rate * (nowMs - this.#startMs - this.#suspendedMs)
    return { monoMs, wallMs: Math.floor(WALL_START_MS + rate * nowMs + wallOffsetMs + this.wallStepMs) }
  }

  /** The machine sleeps: nothing runs, and the monotonic clock does not count it. */
  suspend(durationMs: number): void {
    this.pause(durationMs)
    this.world.after(durationMs, () => {})
    this.#suspendedMs += durationMs
  }

  protected override run(turn: () => void): void {
    try {
      turn()
    } catch (error) {
      if (error instanceof Violation) throw error
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      throw new Violation(`${this.host} failed: ${what.split('\n').slice(0, 6).join(' | ')}`)
    }
    if (this.alive) this.#options.observe(this)
    this.network.flush(this)
  }

  #tick(): void {
    const { world } = this
    // An interval fires once after a pause, however many ticks it has missed.
    world.after(world.between(TICK_MS, TICK_MS + 2) + Math.max(0, this.pausedUntilMs - world.nowMs), () => {
      if (!this.alive) return
      const tick = (): void => this.exec(() => this.engine.tick(this.clocks()))
      // Whoever wakes up may find frames before it finds its timer.
      if (this.paused && world.chance(0.5))
        world.after(this.pausedUntilMs - world.nowMs + world.between(0, 5), tick)
      else tick()
      this.#tick()
    })
  }

  #work = (): void => {
    this.#working = false
    let more = true
    for (let slices = 1 + this.world.int(4); more && slices > 0; slices--)
      more = this.engine.work(this.clocks())
    if (more) this.#workLater()
  }

  #workLater(): void {
    if (this.#working) return
    this.#working = true
    this.world.after(this.world.between(0.02, this.#options.workMs), () => this.exec(this.#work))
  }

  // ---- links

  override accept(end: LinkEnd, from: Process): EndHandler {
    if (from instanceof SimMember) {
      return {
        onFrame: (bytes) => this.engine.peerFrame(from.id, bytes, 0, bytes.length, this.clocks()),
        onClose: () => {},
      }
    }
    this.engine.clientUp(end)
    const waiting: Buffer[] = []
    return {
      onFrame: (bytes) => {
        waiting.push(bytes)
        if (waiting.length === 1) this.#takeFrames(end, waiting)
      },
      onClose: () => {
        waiting.length = 0
        this.engine.clientDown(end)
      },
    }
  }

  /** A client that leaves too much unread is not read from: the rest of its frames waits. */
  #takeFrames(end: LinkEnd, waiting: Buffer[]): void {
    while (waiting.length > 0) {
      const bytes = waiting[0]!
      const stopped = this.engine.clientFrame(end, bytes, 0, bytes.length, this.clocks())
      if (stopped === bytes.length) {
        waiting.shift()
        continue
      }
      this.framesHeld++
      waiting[0] = bytes.subarray(stopped)
      this.world.after(this.world.between(1, 20), () => this.exec(() => this.#takeFrames(end, waiting)))
      return
    }
  }

  #dial(id: MemberId, address: string): void {
    const known = this.#dialled.get(id)
    if (known) {
      known.address = address
      return
    }
    const dialled: Dialled = { address, end: undefined, waitMs: DIAL_AGAIN_MS }
    this.#dialled.set(id, dialled)
    this.#connect(id, dialled)
  }

  #connect(id: MemberId, dialled: Dialled): void {
    const again = (): void => {
      dialled.end = undefined
      if (this.#dialled.get(id) !== dialled) return
      this.world.after(dialled.waitMs, () => this.exec(() => this.#redial(id, dialled)))
      dialled.waitMs = Math.min(dialled.waitMs * 2, DIAL_AGAIN_MAX_MS)
    }
    let up: LinkEnd | undefined
    const handler: EndHandler = {
      onFrame: () => {
        throw new GridError('FORBIDDEN', 'members answer on their own links')
      },
      onClose: () => {
        if (!up) return
        this.engine.peerDown(up)
        again()
      },
    }
    this.network.dial(
      this,
      dialled.address,
      handler,
      (end) => {
        if (end.peer.id !== id || this.#dialled.get(id) !== dialled) {
          end.close()
          return
        }
        up = end
        dialled.end = end
        dialled.waitMs = DIAL_AGAIN_MS
        this.engine.peerUp(end, this.clocks())
      },
      again,
    )
  }

  #redial(id: MemberId, dialled: Dialled): void {
    if (this.#dialled.get(id) === dialled) this.#connect(id, dialled)
  }

  #hangUp(id: MemberId): void {
    const dialled = this.#dialled.get(id)
    if (!dialled) return
    this.#dialled.delete(id)
    dialled.end?.close()
  }

  #effects(): Effects {
    return {
      append: (bytes, id, expectedSeq) => this.#control.append(bytes.slice(), id, expectedSeq),
      checkpoint: (bytes, seq) => this.#control.checkpoint(bytes.slice(), seq),
      announce: (bytes) => this.#control?.announce(bytes.slice()),
      dial: (id, address) => this.#dial(id, address),
      hangUp: (id) => this.#hangUp(id),
      verify: () => this.#control.verify(),
      background: () => this.#workLater(),
      ended: (reason) => {
        this.world.after(0.01, () => {
          if (this.alive) this.#options.ended(this, reason)
        })
      },
      note: (event) => {
        this.notes.push(event.kind)
        if (event.kind === 'refused') this.#options.emptied(this, event.partition)
        this.world.log(
          `${this.host} ${event.kind} ${'partition' in event ? event.partition : ''} ${event.detail}`,
        )
      },
    }
  }
}
