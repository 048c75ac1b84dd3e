/**
 * A member's core: its partitions, the configuration log as it sees it, and the links to everyone else, as one state
 * machine without a clock, a socket or a promise. `Settings` and `Effects` (settings.ts) are all it knows of the world.
 *
 *     frames of clients and members ─▶ ┌────────┐ ─▶ outlets (bytes appended, sent at the end of the tick)
 *     entries of the configuration log ▶│ engine │ ─▶ effects (append, announce, dial, …)
 *     tick, work (time passing)       ─▶ └────────┘
 *
 * Every input ends in `#settle`: partitions that have something to send do so, and what was put to the log leaves.
 * A frame is handled to its end before anything else, so the records of all its calls are replicated together.
 */

import { AssertionFailed } from '../base/assert.ts'
import { ByteReader, getU24 } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { outputPauseBytes } from '../base/limits.ts'
import type { MapConfig, MemberId, PartitionConfig } from '../membership/config.ts'
import { packConfigs, unpackConfigs } from '../membership/pack.ts'
import type { View } from '../membership/view.ts'
import type { Context, NotableEvent, Now, Outlet } from '../partition/context.ts'
import { LocalReads } from '../partition/local-reads.ts'
import { Partition } from '../partition/partition.ts'
import { sendRefusal } from '../partition/reply-queue.ts'
import { BlockPool } from '../store/block-pool.ts'
import { History } from '../store/history.ts'
import { CallView, MessageType } from '../wire/message.ts'
import {
  Answer,
  Replicate,
  readBeacon,
  readSnapshotBegin,
  readSnapshotChunk,
  writeConfig,
} from '../wire/peer-message.ts'
import { ClientDesk } from './client-desk.ts'
import { ConfigLog } from './config-log.ts'
import { Pulse } from './pulse.ts'
import type { Effects, Settings } from './settings.ts'
import { Steward } from './steward.ts'
import { TurnList } from './turn-list.ts'

const MESSAGE_HEADER_BYTES = 4
/** How often partitions are looked at for background work that nobody asked for. */
const SWEEP_MS = 200

export class Engine {
  readonly #settings: Settings
  readonly #effects: Effects
  readonly #context: Context
  readonly log: ConfigLog
  readonly pool: BlockPool
  readonly history: History
  readonly partitions: Partition[] = []
  readonly clients: ClientDesk
  /** For programs in this member's process; between turns. */
  readonly reads = new LocalReads(this.partitions)
  readonly #steward: Steward
  readonly #pulse: Pulse
  readonly #peers = new Map<MemberId, Outlet>()
  readonly #dialled = new Map<MemberId, string>()
  /** Partitions with something to send at the end of this turn. */
  readonly #flushing = new TurnList()
  /** Partitions with long work. */
  readonly #working = new Set<number>()
  #sweptMonoMs = 0
  #leaving = false
  /** It has asked to be struck off the roster as one that is free to go. */
  #left = false
  // reused for every message
  readonly #reader = new ByteReader(Buffer.alloc(0))
  readonly #call = new CallView()
  readonly #replicate = new Replicate()
  readonly #answer = new Answer()

  constructor(settings: Settings, effects: Effects) {
    this.#settings = settings
    this.#effects = effects
    this.pool = new BlockPool({ maxBytes: settings.memoryBytesMax })
    this.history = new History({ maxBytes: settings.historyBytes })
    this.log = new ConfigLog(settings, effects, (partition) => this.partitions[partition]?.config)
    this.#context = this.#makeContext()
    this.clients = new ClientDesk(settings, this.log, this.partitions)
    this.#steward = new Steward(settings, effects, this.log, this.partitions)
    this.#pulse = new Pulse(this.#context, this.partitions)
  }

  get view(): View {
    return this.log.view
  }

  // ---- the configuration log

  controlOpen(
    evidence: string,
    checkpoint: { readonly seq: number; readonly bytes: Uint8Array } | undefined,
  ): void {
    this.log.open(evidence, checkpoint)
  }

  controlEntries(
    entries: readonly { readonly seq: number; readonly bytes: Uint8Array }[],
    caughtUp: boolean,
    now: Now,
  ): void {
    if (this.log.entries(entries, caughtUp, now)) this.#viewed(now)
    this.log.tick(now)
    this.#settle(now)
  }

  controlDown(reason: string): void {
    this.log.down(reason)
  }

  announcement(bytes: Uint8Array, now: Now): void {
    this.log.announcement(bytes, now)
    this.#settle(now)
  }

  #viewed(now: Now): void {
    const { view } = this.log
    for (let id = this.partitions.length; id < view.partitionCount; id++) {
      this.partitions.push(new Partition(id, this.#context, this.clients.takeEarly(id)))
    }
    // A replica of the founding begins empty, though others may have gone on since: it has missed no write, for
    // none was confirmed without it.
    for (const config of [...this.log.takeFounding(), ...view.configs])
      this.partitions[config.partition]!.adopt(config, now)
    this.#dialMembers(view)
    this.#steward.viewed(now)
    this.clients.viewed()
    if (this.#leaving) this.#leave(now)
  }

  #dialMembers(view: View): void {
    for (const { id, address } of view.members.values()) {
      if (id === this.#settings.self.id || this.#dialled.get(id) === address) continue
      this.#dialled.set(id, address)
      this.#effects.dial(id, address)
    }
    for (const id of [...this.#dialled.keys()]) {
      if (view.members.has(id) || view.silent.has(id)) continue
      this.#dialled.delete(id)
      this.#effects.hangUp(id)
    }
  }

  // ---- links

  /** The link on which this member sends to another is up. */
  peerUp(outlet: Outlet, now: Now): void {
    const { id } = outlet.peer
    this.#peers.set(id, outlet)
    for (const { owner } of this.partitions) {
      if (!owner?.log.peers.has(id)) continue
      owner.linked(id)
      owner.confirmations.restart()
    }
    this.#pulse.beat(now)
    this.#settle(now)
  }

  peerDown(outlet: Outlet): void {
    if (this.#peers.get(outlet.peer.id) === outlet) this.#peers.delete(outlet.peer.id)
  }

  clientUp(client: Outlet): void {
    this.clients.arrived(client)
  }

  clientDown(client: Outlet): void {
    this.clients.left(client)
  }

  /**
   * A frame from a client. Returns where it stopped: before `end` once the client leaves too much unread, or the answers
   * to one small frame of reads could fill the memory; the rest is to be handed in when it has read. Throws `MALFORMED`
   * or `FORBIDDEN` to have the link closed.
   */
  clientFrame(client: Outlet, bytes: Buffer, start: number, end: number, now: Now): number {
    const pauseBytes = outputPauseBytes(this.#settings.limits)
    return this.#frame(bytes, start, end, now, (type, r) => {
      this.#clientMessage(client, type, r, now)
      return client.queuedBytes <= pauseBytes
    })
  }

  /** A frame from another member. */
  peerFrame(from: MemberId, bytes: Buffer, start: number, end: number, now: Now): void {
    this.#frame(bytes, start, end, now, (type, r) => {
      this.#peerMessage(from, type, r, now)
      return true
    })
  }

  /** Handles the messages of a frame until `handle` says that it was the last for now. Returns the end of that one. */
  #frame(
    bytes: Buffer,
    start: number,
    end: number,
    now: Now,
    handle: (type: number, r: ByteReader) => boolean,
  ): number {
    try {
      let at = start
      for (let more = true; more && at < end; ) {
        if (end - at < MESSAGE_HEADER_BYTES)
          throw new GridError('MALFORMED', 'a message cut off in its header')
        const body = at + MESSAGE_HEADER_BYTES
        const next = body + getU24(bytes, at + 1)
        if (next > end) throw new GridError('MALFORMED', 'a message longer than its frame')
        more = handle(bytes[at]!, this.#reader.reset(bytes, body, next))
        at = next
      }
      return at
    } finally {
      this.#settle(now)
    }
  }

  #clientMessage(client: Outlet, type: number, r: ByteReader, now: Now): void {
    switch (type) {
      case MessageType.call: {
        const call = this.#call.read(r)
        const partition = this.partitions[call.partition]
        const loss = partition && this.clients.lossOf(partition, call.epoch)
        if (loss) sendRefusal(client, call.partition, call.call, partition.config, loss)
        else if (partition) partition.onCall(call, client, now)
        else if (this.log.founded) throw new GridError('MALFORMED', `there is no partition ${call.partition}`)
        else this.clients.refuseEarly(client, call)
        return
      }
      case MessageType.watch:
        this.clients.watch(client, r)
        return
      case MessageType.credit:
        this.clients.credit(client, r)
        return
      case MessageType.unwatch:
        this.clients.unwatch(client, r)
        return
      case MessageType.viewRequest:
        this.clients.sendView(client)
        return
      case MessageType.openMap:
        this.clients.openMap(client, r, now)
        return
      case MessageType.progressRequest:
        this.clients.askProgress(client, r)
        return
      default:
        throw new GridError('FORBIDDEN', `a client may not send messages of type ${type}`)
    }
  }

  #peerMessage(from: MemberId, type: number, r: ByteReader, now: Now): void {
    switch (type) {
      case MessageType.replicate:
        this.#at(this.#replicate.read(r))?.onReplicate(from, this.#replicate, now)
        return
      case MessageType.ack:
      case MessageType.nack:
      case MessageType.refuse:
      case MessageType.snapshotAck:
        this.#at(this.#answer.read(r))?.onAnswer(from, type, this.#answer, now)
        return
      case MessageType.beacon:
        this.#pulse.onBeacon(from, readBeacon(r), now)
        return
      case MessageType.beaconAck:
        this.#pulse.onBeaconAck(from, readBeacon(r), now)
        return
      case MessageType.confirm:
        this.#pulse.onConfirm(from, readBeacon(r))
        return
      case MessageType.confirmAck:
        this.#pulse.onConfirmAck(from, readBeacon(r))
        return
      case MessageType.config:
        for (const config of unpackConfigs(r.view(r.remaining)))
          this.partitions[config.partition]?.adopt(config, now)
        return
      case MessageType.configRequest: {
        const partition = r.u16()
        this.#sendConfig(from, partition)
        this.partitions[partition]?.owner?.untold(from)
        return
      }
      case MessageType.snapshotBegin: {
        const begin = readSnapshotBegin(r)
        this.#at(begin)?.onSnapshotBegin(from, begin)
        return
      }
      case MessageType.snapshotChunk: {
        const chunk = readSnapshotChunk(r)
        this.#at(chunk)?.onSnapshotChunk(from, chunk, now)
        return
      }
      default:
        throw new GridError('FORBIDDEN', `a member does not send messages of type ${type}`)
    }
  }

  /** The partition that a message is about; none while this member has not yet read that it exists. */
  #at(message: { readonly partition: number }): Partition | undefined {
    return this.partitions[message.partition]
  }

  #sendConfig(to: MemberId, partition: number): void {
    const config = this.partitions[partition]?.config
    const outlet = this.#peers.get(to)
    if (!config || !outlet) return
    writeConfig(outlet.out, packConfigs([config]))
    outlet.wake()
  }

  // ---- time

  /** To be called some twenty times a second. */
  tick(now: Now): void {
    this.log.tick(now)
    this.#steward.tick(now)
    this.#pulse.tick(now)
    this.clients.tick(now)
    if (this.#leaving) this.#leave(now)
    if (now.monoMs - this.#sweptMonoMs > SWEEP_MS) this.#sweep(now)
    this.#settle(now)
  }

  /** Compaction, expiry, and whoever was left waiting because a link was full. */
  #sweep(now: Now): void {
    this.#sweptMonoMs = now.monoMs
    for (const partition of this.partitions) if (partition.replica) this.#context.workLater(partition.id)
  }

  /** One slice of long work, of one partition after the other; true while there is more. */
  work(now: Now): boolean {
    for (const id of this.#working) {
      this.#working.delete(id)
      try {
        if (this.partitions[id]!.work(now)) this.#working.add(id)
      } catch (error) {
        // A full store stops this partition's housekeeping until the next sweep, nothing else.
        if (!(error instanceof GridError) || error instanceof AssertionFailed) throw error
        this.#effects.note({ kind: 'work-failed', detail: `partition ${id}: ${error.message}` })
      }
      break
    }
    this.#settle(now)
    return this.#working.size > 0
  }

  #settle(now: Now): void {
    for (let id = this.#flushing.take(); id >= 0; id = this.#flushing.take())
      this.partitions[id]!.owner?.flush()
    // After the watchers of this turn have been told what there is.
    this.clients.answerProgress(now)
    this.log.flush(now, (partition) => this.partitions[partition]?.unresolved)
  }

  // ---- leaving

  /** Begins to hand everything over; `Effects.ended` is called when no partition needs this member any more. */
  leave(now: Now): void {
    this.#leaving = true
    this.log.info = { ...this.log.info, state: 'leaving' }
    this.#leave(now)
    this.#settle(now)
  }

  #leave(now: Now): void {
    const { view } = this.log
    const { id } = this.#settings.self
    // Struck off the roster for silence is not yet free to go: partitions may still count on this member.
    const wanted = view.members.has(id) || view.silent.has(id) || view.named.has(id)
    const holding = this.partitions.some(({ role }) => role !== 'none')
    if (!this.log.founded || (!wanted && (!holding || this.#left))) {
      this.#effects.ended('left')
      return
    }
    if (!wanted) {
      // Taught by somebody who has read more of the log than this member, it may be counted on without knowing: it
      // comes back, and what it reads up to there will tell.
      this.log.ask('join', { kind: 'member', info: this.log.info }, now)
      return
    }
    // The silent may be back and take what this member holds; the last one has nobody to wait for.
    const others =
      view.silent.size > 0 ||
      this.log.hearsOthers(now) ||
      [...view.members.values()].some((member) => member.id !== id && member.state !== 'leaving')
    // A log that has lost its end may have forgotten who counts on this member.
    const free = (!view.named.has(id) || !others) && this.log.mayChange
    // Having left counts as proof of death, and once asked for it may come about at any time: there is no way back. Where
    // this member has read too little to know that it is needed, the log refuses, and it goes on handing over.
    if (view.members.get(id)?.state === 'leaving' && free) this.#left = true
    if (this.#left && this.log.mayChange)
      this.log.ask('left', { kind: 'remove', member: id, proof: 'left' }, now)
  }

  /** Gives all memory back. Nothing may be called after it. */
  close(): void {
    for (const partition of this.partitions) partition.close()
  }

  #makeContext(): Context {
    const left = (): boolean => this.#left
    const { settings, peers, flushing, working, effects, log } = {
      settings: this.#settings,
      peers: this.#peers,
      flushing: this.#flushing,
      working: this.#working,
      effects: this.#effects,
      log: this.log,
    }
    return {
      self: settings.self.id,
      get halted() {
        return left()
      },
      get backups() {
        return log.view.backups
      },
      get minInSync() {
        return log.view.minInSync
      },
      get partitionCount() {
        return log.view.partitionCount
      },
      limits: settings.limits,
      timing: settings.timing,
      chunkBytes: settings.chunkBytes,
      random: settings.random,
      pool: this.pool,
      history: this.history,
      processors: settings.processors,
      newId: settings.newId,
      mapConfig: (map: number): MapConfig | undefined => log.memory.maps[map - 1]?.config,
      peer: (id: MemberId) => peers.get(id),
      propose: (next: PartitionConfig) => log.propose(next),
      flushLater: (partition: number) => flushing.add(partition),
      workLater: (partition: number) => {
        if (working.size === 0) effects.background()
        working.add(partition)
      },
      note: (event: NotableEvent) => effects.note(event),
    }
  }
}
