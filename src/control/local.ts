/**
 * A configuration log in the memory of one process, shared by the members that live in it.
 *
 * For embedded clusters and tests. It behaves as the log in NATS does, on purpose down to its awkward sides: everything
 * arrives in a later turn, checkpoints take places of the same sequence (so the places of entries have holes), an
 * append reports nothing, and for tests the store can be made unreachable, restarted and rolled back.
 */

import { assert } from '../core/base/assert.ts'
import { GridError } from '../core/base/errors.ts'
import type { Announcements, Control, ControlHandler, LogEntry } from './control.ts'

/** Messages kept. Past it the oldest go, as far as a checkpoint covers them. */
const MESSAGES_MAX = 20_000
/** The most entries in one batch. */
const BATCH_MAX = 128

interface Message extends LogEntry {
  /** Of an entry: what makes a resend harmless. Of a checkpoint: undefined. */
  readonly id: string | undefined
  /** Of a checkpoint: the last entry that it covers, by identity, so that a rollback cannot slip another under it. */
  readonly covers: Message | undefined
}

/** What the store tells its handles. */
interface Listener {
  /** There may be more to read, or the store went away, came back or is another. */
  look(): void
  hear(bytes: Uint8Array): void
}

/** The log itself. One for each cluster of a process. */
export class LocalControlStore {
  private messages: Message[] = []
  private lastSeq = 0
  private incarnation = 1
  private readonly listeners = new Set<Listener>()
  private isUp = true
  private outageCount = 0

  get reachable(): boolean {
    return this.isUp
  }

  /** How often the store has gone away. */
  get outages(): number {
    return this.outageCount
  }

  /** Place of the oldest message kept. */
  get firstSeq(): number {
    return this.messages[0]?.seq ?? this.lastSeq + 1
  }

  /** Changes whenever handles have to read afresh for another reason than having lost the store. */
  get evidence(): string {
    return `local ${this.incarnation}`
  }

  /** Stores an entry, and tells nobody: handles learn of it by `read()` or with the next one. */
  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): 'stored' | 'duplicate' | 'refused' {
    if (this.messages.some((message) => message.id === id)) return 'duplicate'
    const last =
      this.messages.findLast((message) => message.id !== undefined) ?? this.newestCheckpoint()?.covers
    if (expectedSeq !== undefined && (last?.seq ?? 0) !== expectedSeq) return 'refused'
    this.push({ seq: this.lastSeq + 1, bytes: bytes.slice(), id, covers: undefined })
    return 'stored'
  }

  /** Stores a checkpoint of everything up to and including `covers`. */
  storeCheckpoint(bytes: Uint8Array, covers: Message | undefined): void {
    this.push({ seq: this.lastSeq + 1, bytes: bytes.slice(), id: undefined, covers })
  }

  private push(message: Message): void {
    this.messages.push(message)
    this.lastSeq = message.seq
    if (this.messages.length <= MESSAGES_MAX) return
    const covered = this.newestCheckpoint()?.covers?.seq ?? 0
    if (this.firstSeq <= covered) this.messages.shift()
  }

  /** The newest checkpoint whose last entry is still the one at its place, or has gone by the limit on messages. */
  newestCheckpoint(): Message | undefined {
    return this.messages.findLast((message) => {
      if (message.id !== undefined) return false
      const entry = message.covers
      return entry === undefined || entry.seq < this.firstSeq || this.holds(entry)
    })
  }

  holds(message: Message): boolean {
    return this.messages[this.indexAfter(message.seq - 1)] === message
  }

  /** Up to `count` entries after `seq`. */
  entriesAfter(seq: number, count: number): Message[] {
    const found: Message[] = []
    for (let i = this.indexAfter(seq); i < this.messages.length && found.length < count; i++) {
      const message = this.messages[i]!
      if (message.id !== undefined) found.push(message)
    }
    return found
  }

  /** Places have no holes among messages of both kinds, so the place says the index. */
  private indexAfter(seq: number): number {
    return Math.max(0, seq + 1 - this.firstSeq)
  }

  join(listener: Listener): void {
    this.listeners.add(listener)
  }

  leave(listener: Listener): void {
    this.listeners.delete(listener)
  }

  /** Tells every handle to look. */
  notify(): void {
    for (const listener of this.listeners) listener.look()
  }

  announce(bytes: Uint8Array): void {
    if (!this.isUp) return
    const copy = bytes.slice()
    for (const listener of this.listeners) listener.hear(copy)
  }

  /** Makes the store unreachable, for tests. */
  down(): void {
    this.isUp = false
    this.outageCount++
    this.notify()
  }

  up(): void {
    this.isUp = true
    this.notify()
  }

  /** As a restart of the server would: the log stays, the evidence changes. */
  restart(): void {
    this.incarnation++
    this.notify()
  }

  /** As a restart from an older copy would: everything after `seq` never was. Places are given out again. */
  rollback(seq: number): void {
    this.messages = this.messages.filter((message) => message.seq <= seq)
    this.lastSeq = Math.min(this.lastSeq, seq)
    this.restart()
  }
}

/** One member's handle on a {@link LocalControlStore}. */
export class LocalControl implements Control {
  private readonly store: LocalControlStore
  private readonly readOnly: boolean
  private handler: ControlHandler | undefined
  private closed = false
  private looking = false
  /** The evidence under which the log is being read; undefined while the store is away. */
  private evidence: string | undefined
  private outages = 0
  private seq = 0
  private caughtUp = false
  /** The last messages read, by place, for checkpoints. */
  private readonly seen = new Map<number, Message>()
  private readonly listener: Listener = {
    look: () => this.look(),
    hear: (bytes) => {
      setImmediate(() => {
        if (this.evidence !== undefined && !this.closed) this.handler?.onAnnouncement(bytes)
      })
    },
  }

  /** `readOnly` refuses to write, as `observeNats` does. */
  constructor(store: LocalControlStore, options: { readonly readOnly?: boolean | undefined } = {}) {
    this.store = store
    this.readOnly = options.readOnly ?? false
  }

  open(handler: ControlHandler): Promise<void> {
    assert(this.handler === undefined, 'a control is opened once')
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        if (this.closed) reject(new GridError('CLOSED', 'closed while it was being opened'))
        else if (!this.store.reachable) reject(new GridError('CONTROL_UNAVAILABLE', 'the store is down'))
        else {
          this.handler = handler
          this.store.join(this.listener)
          this.start(handler)
          resolve()
        }
      })
    })
  }

  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): void {
    this.mayWrite('append')
    const copy = bytes.slice()
    setImmediate(() => {
      if (!this.connected) return
      if (this.store.append(copy, id, expectedSeq) === 'refused') this.look()
      else this.store.notify()
    })
  }

  checkpoint(bytes: Uint8Array, seq: number): void {
    this.mayWrite('checkpoint')
    const covers = this.seen.get(seq)
    if (covers === undefined && seq !== 0) return
    const copy = bytes.slice()
    setImmediate(() => {
      if (this.connected) this.store.storeCheckpoint(copy, covers)
    })
  }

  read(): void {
    this.look()
  }

  verify(): void {
    this.look()
  }

  announce(bytes: Uint8Array): void {
    this.mayWrite('announcement')
    if (this.connected) this.store.announce(bytes)
  }

  async close(): Promise<void> {
    this.closed = true
    this.store.leave(this.listener)
  }

  private get connected(): boolean {
    return this.evidence !== undefined && this.store.reachable && !this.closed
  }

  private mayWrite(what: string): void {
    if (this.readOnly) throw new GridError('FORBIDDEN', `${what}: this connection only reads`)
  }

  /** Has the store looked at in a later turn; several calls make one look. */
  private look(): void {
    if (this.looking || this.closed || this.handler === undefined) return
    this.looking = true
    setImmediate(() => {
      this.looking = false
      if (!this.closed) this.step(this.handler!)
    })
  }

  private step(handler: ControlHandler): void {
    if (this.evidence !== undefined && this.outages !== this.store.outages) {
      this.evidence = undefined
      handler.onDown('the store is down')
      this.look()
    } else if (this.store.reachable) {
      const same = this.evidence === this.store.evidence && this.seq + 1 >= this.store.firstSeq
      if (same) this.readOn(handler)
      else this.start(handler)
    }
  }

  private readOn(handler: ControlHandler): void {
    const messages = this.store.entriesAfter(this.seq, BATCH_MAX)
    if (messages.length === 0 && this.caughtUp) return
    for (const message of messages) this.see(message)
    this.seq = messages.at(-1)?.seq ?? this.seq
    this.caughtUp = this.store.entriesAfter(this.seq, 1).length === 0
    if (!this.caughtUp) this.look()
    handler.onEntries(
      messages.map(({ seq, bytes }) => ({ seq, bytes })),
      this.caughtUp,
    )
  }

  private start(handler: ControlHandler): void {
    const checkpoint = this.store.newestCheckpoint()
    const covers = checkpoint?.covers
    this.evidence = this.store.evidence
    this.outages = this.store.outages
    this.seq = covers?.seq ?? 0
    this.caughtUp = false
    this.seen.clear()
    if (covers !== undefined) this.see(covers)
    this.look()
    handler.onOpen(this.evidence, checkpoint && { seq: this.seq, bytes: checkpoint.bytes })
  }

  private see(message: Message): void {
    this.seen.set(message.seq, message)
    if (this.seen.size > BATCH_MAX * 32) this.seen.delete(this.seen.keys().next().value!)
  }
}

/** The announcements alone, for a client in the same process. */
export class LocalAnnouncements implements Announcements {
  private readonly store: LocalControlStore
  private listener: Listener | undefined

  constructor(store: LocalControlStore) {
    this.store = store
  }

  async open(onAnnouncement: (bytes: Uint8Array) => void): Promise<void> {
    assert(this.listener === undefined, 'announcements are opened once')
    if (!this.store.reachable) throw new GridError('CONTROL_UNAVAILABLE', 'the store is down')
    const listener: Listener = {
      look: () => {},
      hear: (bytes) => {
        setImmediate(() => {
          if (this.listener === listener) onAnnouncement(bytes)
        })
      },
    }
    this.listener = listener
    this.store.join(listener)
  }

  announce(bytes: Uint8Array): void {
    this.store.announce(bytes)
  }

  async close(): Promise<void> {
    if (this.listener !== undefined) this.store.leave(this.listener)
    this.listener = undefined
  }
}
