/**
 * A virtual control plane: one log of entries that can be slow, away, or lose its newest entries, and announcements that
 * get lost.
 *
 * An append reports nothing and may land late, after the store was away. Each member reads on its own, in order; a
 * restart of the store ends every connection, and the next `open` shows new evidence.
 */

import { encodeView } from '../../src/core/membership/checkpoint.ts'
import { emptyView, foldEntries, type View } from '../../src/core/membership/view.ts'
import type { Process } from './network.ts'
import type { World } from './world.ts'

export interface StoredEntry {
  readonly seq: number
  readonly bytes: Uint8Array
  readonly id: string
  readonly atMs: number
  readonly by: string
}

export interface ControlFace {
  opened(evidence: string, checkpoint: { readonly seq: number; readonly bytes: Uint8Array } | undefined): void
  entries(entries: readonly { readonly seq: number; readonly bytes: Uint8Array }[], caughtUp: boolean): void
  down(reason: string): void
  announced(bytes: Uint8Array): void
}

/** How long after a change of the store's incarnation the one before may be shown. */
const STALE_MS = 5000

export const STORE_HOST = 'store'

export const hashSecret = (secret: string): string => `hash of ${secret}`

export class ControlStore {
  readonly world: World
  entries: StoredEntry[] = []
  incarnation = 1
  /** When the incarnation changed last, and where the log ended after it, if it lost its end with it. */
  changedMs = Number.NEGATIVE_INFINITY
  cutSeq = -1
  isDown = false
  /** Checkpoints that members have written. */
  saved: { readonly seq: number; readonly bytes: Uint8Array }[] = []
  checkpointsRead = 0
  /** Probability that a request is late, and by how much at most. */
  lateProbability = 0
  lateMs = 2500
  /** Probability that an announcement does not reach one of its hearers. */
  deafProbability = 0
  /** Probability that the newest entry is not told of; it is found by the next regular read. */
  silentProbability = 0.3
  readonly handles = new Set<ControlHandle>()
  /** Messages that may yet land, also of those who have died meanwhile. */
  readonly underWay = new Set<Uint8Array>()
  /** Entries up to here are never lost: the founding, and what tests rest on. */
  keptSeq = 0
  onAppended: (entry: StoredEntry) => void = () => {}
  /** `#views[n]` is what the first n entries say: views share what stayed the same, so all of them are kept. */
  readonly #views: View[] = [emptyView]
  readonly #ids = new Set<string>()

  constructor(world: World) {
    this.world = world
  }

  get lastSeq(): number {
    return this.entries.at(-1)?.seq ?? 0
  }

  /** What the log says now. */
  get view(): View {
    return this.#viewAt(this.entries.length)
  }

  #viewAt(length: number): View {
    const views = this.#views
    for (let n = views.length; n <= length; n++)
      views.push(foldEntries(views[n - 1]!, [this.entries[n - 1]!], hashSecret))
    return views[length]!
  }

  /**
   * Some are shown the past for a while, as by a server that has yet to hear of the new leader. Not where the log has lost
   * its end, and by what they had seen of it before (`seenSeq`) they cannot know: that is more than the protocol promises.
   */
  evidence(seenSeq: number): string {
    const { world, changedMs, incarnation, cutSeq } = this
    const stale = world.nowMs < changedMs + STALE_MS && seenSeq > cutSeq && world.chance(0.4)
    return `store ${stale ? incarnation - 1 : incarnation}`
  }

  delay(): number {
    const { world } = this
    return world.chance(this.lateProbability) ? world.between(1, this.lateMs) : world.between(0.3, 4)
  }

  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined, by: string): void {
    if (this.#ids.has(id)) return
    if (expectedSeq !== undefined && expectedSeq !== this.lastSeq) return
    const entry = { seq: this.lastSeq + 1, bytes, id, atMs: this.world.nowMs, by }
    this.entries.push(entry)
    this.#ids.add(id)
    this.world.log(`append ${entry.seq} by ${by}`)
    for (const handle of this.handles) if (!this.world.chance(this.silentProbability)) handle.readSoon()
    this.onAppended(entry)
  }

  /** The store starts again; what was appended in the last `lostMs`, and after `keptSeq`, is gone. */
  restart(lostMs: number, keptSeq: number): void {
    const { world } = this
    const from = world.nowMs - lostMs
    const before = this.entries.length
    while (this.entries.length > keptSeq && this.entries.at(-1)!.atMs > from)
      this.#ids.delete(this.entries.pop()!.id)
    this.#views.length = Math.min(this.#views.length, this.entries.length + 1)
    world.log(`store restarts, ${before - this.entries.length} entries lost`)
    // A checkpoint is tied to the entry that it covers.
    this.saved = this.saved.filter(({ seq }) => seq <= this.lastSeq)
    this.incarnation++
    this.changedMs = world.nowMs
    this.cutSeq = before > this.entries.length ? this.lastSeq : -1
    for (const handle of this.handles) {
      handle.seenBeforeSeq = handle.seenSeq
      handle.disconnect('the store has restarted')
    }
  }

  /** A member has written a checkpoint of what it has read. */
  save(bytes: Uint8Array, seq: number): void {
    if (this.keptSeq > 0 && seq <= this.lastSeq) this.saved.push({ seq, bytes })
  }

  checkpoint(): { readonly seq: number; readonly bytes: Uint8Array } | undefined {
    if (this.keptSeq === 0 || !this.world.chance(0.3)) return undefined
    const saved = this.saved.at(-1)
    this.checkpointsRead++
    if (saved && this.world.chance(0.6)) return saved
    const upTo = 1 + this.world.int(this.entries.length)
    const view = this.#viewAt(upTo)
    if (view.clusterId === '') return undefined
    return { seq: view.version, bytes: encodeView(view) }
  }
}

/** One member's connection to the store. */
export class ControlHandle {
  readonly #store: ControlStore
  readonly #process: Process
  readonly #face: ControlFace
  /** Whether the process has started after the founding. */
  readonly #joined: boolean
  #connection = 0
  /** The connection that the process knows of. */
  #used = 0
  #evidence = ''
  #connected = false
  #opening = false
  #reading = false
  #again = false
  #seq = 0
  #missedMs = 0
  /** Whether the process has read to the end on this connection, and how far it has seen the log. */
  #ready = false
  seenSeq = 0
  /** The same when the store restarted last: what came since says nothing about what was lost. */
  seenBeforeSeq = 0

  constructor(store: ControlStore, process: Process, face: ControlFace) {
    this.#store = store
    this.#joined = store.keptSeq > 0
    this.#process = process
    this.#face = face
    store.handles.add(this)
    this.#poll()
  }

  get #reachable(): boolean {
    const { network, host } = this.#process
    return !this.#store.isDown && !network.isCut(host, STORE_HOST) && !network.isCut(STORE_HOST, host)
  }

  #poll(): void {
    const { world } = this.#store
    if (!this.#process.alive) {
      this.#store.handles.delete(this)
      return
    }
    if (this.#reachable) {
      this.#missedMs = 0
      if (!this.#connected) this.#open()
      else this.#read()
    } else if (this.#connected) {
      this.#missedMs += 200
      if (this.#missedMs > 400) this.disconnect('the store cannot be reached')
    }
    world.after(world.between(100, 300), () => this.#poll())
  }

  disconnect(reason: string): void {
    if (!this.#connected) return
    this.#connected = false
    const connection = ++this.#connection
    this.#reading = false
    this.#store.world.after(this.#store.world.between(0.1, 50), () =>
      this.#process.exec(() => {
        if (connection === this.#connection) this.#face.down(reason)
      }),
    )
  }

  #open(): void {
    if (this.#opening) return
    this.#opening = true
    const { world } = this.#store
    world.after(this.#store.delay() + world.between(50, 60), () => {
      this.#opening = false
      if (!this.#reachable || !this.#process.alive) return
      this.#connected = true
      const connection = ++this.#connection
      // One that covers the founding tells those who are named there, and have yet to read of it, too late that they begin
      // with nothing: they would be in sync in name only, and step aside.
      const founded = this.#joined || this.seenSeq >= this.#store.keptSeq
      const checkpoint = founded ? this.#store.checkpoint() : undefined
      this.#seq = checkpoint?.seq ?? 0
      const evidence = this.#store.evidence(this.seenBeforeSeq)
      this.#evidence = evidence
      this.#process.exec(() => {
        if (connection !== this.#connection) return
        this.#used = connection
        this.#ready = false
        this.#face.opened(evidence, checkpoint)
      })
      this.#read()
    })
  }

  /** Another look at the store: where it shows another incarnation, reading begins anew. */
  verify(): void {
    const connection = this.#connection
    this.#store.world.after(this.#store.delay(), () => {
      if (connection !== this.#connection || !this.#connected || !this.#reachable) return
      if (this.#store.evidence(this.seenBeforeSeq) === this.#evidence) return
      this.#connected = false
      this.#connection++
      this.#reading = false
      this.#open()
    })
  }

  readSoon(): void {
    this.#store.world.after(this.#store.delay(), () => {
      if (this.#connected && this.#reachable) this.#read()
    })
  }

  #read(): void {
    if (this.#reading) {
      this.#again = true
      return
    }
    this.#reading = true
    this.#again = false
    const connection = this.#connection
    const { world } = this.#store
    world.after(this.#store.delay(), () => {
      if (connection !== this.#connection) return
      if (!this.#reachable) {
        this.#reading = false
        return
      }
      const count = 1 + world.int(16)
      // Entry n stands at n - 1, whatever has been lost behind it.
      const found = this.#store.entries.slice(this.#seq, this.#seq + count)
      this.#seq = found.at(-1)?.seq ?? this.#seq
      const seq = this.#seq
      const caughtUp = seq >= this.#store.lastSeq
      world.after(this.#store.delay(), () => {
        if (connection !== this.#connection) return
        this.#process.exec(() => {
          if (connection !== this.#connection) return
          this.#face.entries(found, caughtUp)
          this.#ready ||= caughtUp
          if (this.#ready) this.seenSeq = seq
        })
        this.#reading = false
        if (!caughtUp || this.#again) this.#read()
      })
    })
  }

  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): void {
    const { world } = this.#store
    const { incarnation } = this.#store
    const by = this.#process.host
    // A process that slept through the end of a connection still writes to that one, and nobody reads it.
    if (!this.#connected || this.#used !== this.#connection) return
    const { underWay } = this.#store
    underWay.add(bytes)
    world.after(this.#store.delay(), () => {
      if (!this.#reachable) {
        // It may stand in a queue on the way, and land when nobody reckons with it any more.
        if (!world.chance(0.3)) return void underWay.delete(bytes)
        world.after(world.between(500, 4000), () => {
          underWay.delete(bytes)
          if (!this.#store.isDown && this.#store.incarnation === incarnation)
            this.#store.append(bytes, id, expectedSeq, by)
        })
        return
      }
      underWay.delete(bytes)
      // Connections do not outlive the server; what was under way on them is gone.
      if (this.#store.incarnation !== incarnation) return
      this.#store.append(bytes, id, expectedSeq, by)
      this.readSoon()
    })
  }

  checkpoint(bytes: Uint8Array, seq: number): void {
    const { world } = this.#store
    if (!this.#connected || this.#used !== this.#connection) return
    const connection = this.#connection
    world.after(this.#store.delay(), () => {
      if (this.#reachable && connection === this.#connection) this.#store.save(bytes, seq)
    })
  }

  announce(bytes: Uint8Array): void {
    const { world } = this.#store
    if (!this.#reachable) return
    for (const handle of this.#store.handles) {
      if (world.chance(this.#store.deafProbability)) continue
      world.after(this.#store.delay(), () => {
        if (!handle.#reachable) return
        handle.#process.exec(() => handle.#face.announced(bytes))
      })
    }
  }
}
