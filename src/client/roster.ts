/**
 * The members and the connections to them: one for each, opened when somebody needs it, and always at least one.
 *
 * While no member is connected, the roster goes on looking until it is closed: at the addresses of the last view, at
 * those that `connect` was given, and at those that members announce through the control plane when they are asked. Announcements are listened to only while
 * it looks: every one of them goes to every listener, and a client that is connected needs none.
 */

import type { Announcements } from '../control/control.ts'
import { ByteReader, ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { AnnouncementKind, readAnnouncement, writeAnnouncement } from '../core/wire/message.ts'
import type { Hello, Link, LinkHandler, Transport } from '../transport/transport.ts'
import { Peer } from './peer.ts'

/** One attempt at one address may take this long, so that a dead address does not use up the whole deadline. */
const ATTEMPT_MS = 2000
/** How long to wait for the first answer to "who is there". */
const ANSWER_MS = 300
const PAUSE_FIRST_MS = 20
const PAUSE_MAX_MS = 1000
/** Announcements through which no member was found for so long are opened anew: they may have ended for good. */
const REOPEN_MS = 30_000
/** Addresses kept of those that were announced. */
const FOUND_MAX = 256

interface Ear {
  readonly announcements: Announcements
  readonly opened: Promise<void>
  readonly sinceMs: number
}

/** A member as views name it. */
interface Named {
  readonly id: string
  readonly address: string
  readonly name: string
}

export interface RosterHandler {
  onFrame(peer: Peer, link: Link, bytes: Buffer, start: number, end: number): void
  onOpen(peer: Peer): void
  onLost(peer: Peer, link: Link, reason: GridError | undefined): void
}

export interface RosterOptions {
  readonly hello: Hello
  readonly transport: Transport
  readonly seeds: readonly string[]
  /** Makes a way to hear where members are; used once, and made anew for the next time. */
  readonly announcements: (() => Announcements) | undefined
  readonly queueBytesMax: number
  readonly nowMs: () => number
}

export class Roster {
  readonly peers = new Map<string, Peer>()
  readonly #options: RosterOptions
  readonly #handler: RosterHandler
  readonly #found = new Set<string>()
  /** Links that are open, also those of members that a view has not named yet. */
  #open = 0
  #closed = false
  #seeking: Promise<void> | undefined
  #ear: Ear | undefined
  /** Before the next round of attempts; 0 after a connection that has lived. */
  #pauseMs = 0
  /** Aborted when the roster is closed. */
  readonly #end = new AbortController()
  readonly #naps = new Set<() => void>()

  constructor(options: RosterOptions, handler: RosterHandler) {
    this.#options = options
    this.#handler = handler
  }

  get connected(): boolean {
    return this.#open > 0
  }

  /** Some connected member, for what any of them can answer: by chance, since one may be behind the others. */
  anyPeer(): Peer | undefined {
    const open = [...this.peers.values()].filter(({ link }) => link !== undefined && !link.closed)
    return open[Math.floor(Math.random() * open.length)]
  }

  /** Every open link. */
  get links(): Link[] {
    return [...this.peers.values()].flatMap(({ link }) => (link === undefined || link.closed ? [] : [link]))
  }

  get(id: string): Peer | undefined {
    return this.peers.get(id)
  }

  #connectedBut(peer: Peer): Peer[] {
    return [...this.peers.values()].filter(({ id, link }) => id !== peer.id && link !== undefined)
  }

  hasOther(peer: Peer): boolean {
    return this.#connectedBut(peer).length > 0
  }

  /** The boots that all connected members but one have shown last. */
  bootsBut(peer: Peer): (string | undefined)[] {
    return this.#connectedBut(peer).map(({ boot }) => boot)
  }

  /** A member that owns something; with `learn` it is made known whether or not the newest view names it. */
  find({ id, address, name }: Named, learn: boolean): Peer | undefined {
    const known = this.peers.get(id)
    if (known || !learn) return known
    const peer = this.#peer(id, address)
    peer.name = name
    return peer
  }

  /** Makes the members of a new view known, and lets go of those that are no more. */
  adopt(members: readonly Named[]): void {
    const present = new Set(members.map((member) => member.id))
    for (const member of members) {
      const peer = this.#peer(member.id, member.address)
      peer.address = member.address
      peer.name = member.name
      peer.listed = true
    }
    for (const peer of [...this.peers.values()]) {
      if (present.has(peer.id)) continue
      if (peer.link === undefined) this.peers.delete(peer.id)
      // A member that is only about to join is the best that a client may have.
      else if (peer.listed) peer.link.close()
    }
  }

  /** Opens the link to a member unless it is open, being opened, or failed a moment ago. */
  connect(peer: Peer): void {
    const { nowMs } = this.#options
    if (this.#closed || peer.link !== undefined || peer.connecting || nowMs() < peer.nextAttemptMs) return
    peer.connecting = true
    this.#attempt(peer.address).then(
      (link) => {
        peer.connecting = false
        if (link.peer.id === peer.id) return
        const error = `${peer.address} is now another member; ${peer.id} is gone`
        peer.failed(new GridError('UNREACHABLE', error), nowMs(), Math.random())
      },
      (error) => peer.failed(error, nowMs(), Math.random()),
    )
  }

  /** Resolves when some member is connected. Gives up at `deadlineMs`, or at once where no retry can help. */
  async reach(deadlineMs: number): Promise<void> {
    const { nowMs } = this.#options
    const tried = new Map<string, GridError>()
    if (this.#pauseMs > 0) await this.#nap(this.#pauseMs)
    for (;;) {
      if (await this.#tryAll(deadlineMs, tried)) return
      if (this.#options.announcements !== undefined && !this.#closed) {
        const known = this.#found.size
        const failure = await this.#ask(deadlineMs)
        if (failure !== undefined) tried.set('NATS', failure)
        else tried.delete('NATS')
        if (this.#found.size > known) continue
      }
      if (this.#closed) throw new GridError('CLOSED', 'the client has been closed')
      const errors = [...tried.values()]
      const wrong = errors.find(({ code }) => code === 'WRONG_CLUSTER' || code === 'PROTOCOL_VERSION')
      if (wrong !== undefined && Number.isFinite(deadlineMs)) throw wrong
      this.#slowDown()
      if (nowMs() + this.#pauseMs >= deadlineMs) throw unreachable(tried)
      await this.#nap(this.#pauseMs)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#end.abort()
    for (const wake of this.#naps) wake()
    for (const peer of this.peers.values()) peer.link?.close()
    await this.#unhear()
  }

  /** The member has shown itself to be one of this cluster. */
  proven(peer: Peer): void {
    peer.proven = true
    void this.#unhear()
  }

  /** The next round of attempts comes after a longer pause than the last one. */
  #slowDown(): void {
    this.#pauseMs = Math.min(PAUSE_MAX_MS, Math.max(PAUSE_FIRST_MS, this.#pauseMs * 2))
  }

  /** Ends the announcements. One that is still being opened is not waited for; it ends itself. */
  async #unhear(): Promise<void> {
    const ear = this.#ear
    this.#ear = undefined
    await ear?.announcements.close().catch(() => {})
  }

  async #tryAll(deadlineMs: number, tried: Map<string, GridError>): Promise<boolean> {
    const addresses = new Set<string>()
    for (const peer of this.peers.values()) addresses.add(peer.address)
    for (const address of this.#options.seeds) addresses.add(address)
    for (const address of this.#found) addresses.add(address)
    for (const address of addresses) {
      if (this.connected) return true
      if (this.#closed) return false
      const restMs = deadlineMs - this.#options.nowMs()
      if (restMs <= 0 && tried.size > 0) return false
      try {
        await this.#attempt(address, Math.min(ATTEMPT_MS, Math.max(1, restMs)))
        return true
      } catch (error) {
        tried.set(address, error as GridError)
      }
    }
    return this.connected
  }

  /** Opens a link, which from then on belongs to whichever member answered. */
  async #attempt(address: string, withinMs: number = ATTEMPT_MS): Promise<Link> {
    const handler = this.#linkHandler()
    const { transport, hello } = this.#options
    const attempt = new AbortController()
    const end = (): void => attempt.abort()
    const timer = setTimeout(end, withinMs)
    this.#end.signal.addEventListener('abort', end)
    try {
      const opening = transport.connect(address, hello, handler, attempt.signal)
      const link = await unlessAborted(opening, attempt.signal, (late) => late.close())
      this.#opened(link, address)
      return link
    } catch (error) {
      if (!attempt.signal.aborted) throw error
      throw new GridError('UNREACHABLE', `${address}: no connection within ${Math.round(withinMs)} ms`)
    } finally {
      clearTimeout(timer)
      this.#end.signal.removeEventListener('abort', end)
    }
  }

  #opened(link: Link, address: string): void {
    if (link.closed) throw new GridError('UNREACHABLE', `${address}: closed at once`)
    const peer = this.#peer(link.peer.id, address)
    if (this.#closed || peer.link !== undefined) {
      link.close()
      return
    }
    this.#open++
    peer.opened(link, this.#options.nowMs())
    this.#handler.onOpen(peer)
  }

  #linkHandler(): LinkHandler {
    // A frame may arrive before `connect` has resolved; the member's id says whose it is.
    return {
      onFrame: (link, bytes, start, end) => {
        const peer = this.#peer(link.peer.id, link.remote)
        peer.heardMs = this.#options.nowMs()
        this.#handler.onFrame(peer, link, bytes, start, end)
      },
      onClose: (link, reason) => {
        const peer = this.peers.get(link.peer.id)
        if (peer?.link !== link) return
        const error = reason ?? new GridError('UNREACHABLE', `${peer.address}: the connection was closed`)
        const outcome = peer.lost(error, this.#options.nowMs(), Math.random())
        if (outcome !== 'failed') this.#pauseMs = 0
        if (outcome !== 'lived') this.#slowDown()
        this.#open--
        this.#handler.onLost(peer, link, reason)
        if (this.#open === 0) this.#seek()
      },
    }
  }

  /** Goes on until some member is connected. */
  #seek(): void {
    if (this.#closed || this.#seeking !== undefined) return
    this.#seeking = this.reach(Number.POSITIVE_INFINITY)
      .catch(() => {}) // Closed meanwhile.
      .then(() => {
        this.#seeking = undefined
        if (this.#open === 0) this.#seek()
      })
  }

  #peer(id: string, address: string): Peer {
    let peer = this.peers.get(id)
    if (peer === undefined) {
      peer = new Peer(id, address, '', this.#options.queueBytesMax)
      this.peers.set(id, peer)
    }
    return peer
  }

  /** Asks all members where they are, and waits a moment for the first answers. */
  async #ask(deadlineMs: number): Promise<GridError | undefined> {
    const { nowMs } = this.#options
    if (this.#ear !== undefined && nowMs() - this.#ear.sinceMs > REOPEN_MS) await this.#unhear()
    const ear = this.#listen()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = new GridError('CONTROL_UNAVAILABLE', 'NATS has not answered in time')
      const restMs = deadlineMs - nowMs()
      if (Number.isFinite(restMs)) timer = setTimeout(() => reject(error), Math.max(1, restMs))
    })
    try {
      await unlessAborted(Promise.race([ear.opened, late]), this.#end.signal, () => {})
    } catch (error) {
      if (this.#ear === ear) await this.#unhear()
      return error as GridError
    } finally {
      clearTimeout(timer)
    }
    if (this.#closed || this.connected) return undefined
    const w = new ByteWriter(32)
    writeAnnouncement(w, { kind: AnnouncementKind.who, id: '', address: '', info: new Uint8Array(0) })
    ear.announcements.announce(w.take())
    await this.#nap(Math.min(ANSWER_MS, Math.max(1, deadlineMs - nowMs())))
    return undefined
  }

  #listen(): Ear {
    if (this.#ear !== undefined) return this.#ear
    const announcements = this.#options.announcements!()
    const opened = announcements.open((bytes) => this.#heard(bytes))
    opened.catch(() => {}) // It may be that nobody waits for it any more.
    this.#ear = { announcements, opened, sinceMs: this.#options.nowMs() }
    return this.#ear
  }

  #heard(bytes: Uint8Array): void {
    try {
      const { kind, address } = readAnnouncement(new ByteReader(bytes))
      if (kind !== AnnouncementKind.member || address === '' || this.#found.has(address)) return
      if (this.#found.size >= FOUND_MAX) this.#found.clear()
      this.#found.add(address)
      if (!this.connected) for (const wake of this.#naps) wake()
    } catch {
      // A hint that cannot be read is none.
    }
  }

  /** A pause, of which a quarter is left to chance on either side: many clients lose the same member at once. */
  #nap(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#naps.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms * (0.75 + Math.random() / 2))
      this.#naps.add(wake)
    })
  }
}

/** What `opening` comes to, unless the signal comes first; then `drop` gets what comes after all. */
async function unlessAborted<T>(
  opening: Promise<T>,
  signal: AbortSignal,
  drop: (late: T) => void,
): Promise<T> {
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(new GridError('ABORTED', 'given up', { applied: 'no' }))
      opening.then(drop, () => {})
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort)
  })
  try {
    return await Promise.race([opening, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

function unreachable(tried: ReadonlyMap<string, GridError>): GridError {
  const nats = tried.get('NATS')
  const members = [...tried].filter(([address]) => address !== 'NATS')
  if (nats !== undefined && members.length === 0) return nats
  const list = members.map(([address, error]) => `${address} (${reasonOf(error)})`).join(', ')
  const also = nats === undefined ? '' : `; ${nats.message}`
  const what = list === '' ? 'no member answered through NATS' : `no member can be reached: ${list}`
  return new GridError('UNREACHABLE', what + also, { cause: members[0]?.[1] })
}

function reasonOf(error: GridError): string {
  return error.message.replace(/^[A-Z_]+: /, '')
}
