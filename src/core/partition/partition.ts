/**
 * The partition actor: one replica of one partition, in whichever role the configuration gives it.
 *
 *     none ──transfer──▶ learner ──in-sync──▶ backup ──takeover, handover──▶ owner
 *       ◀──────────────── named no more, or refused ───────────────────────────┘
 *
 * A turn handles one message to its end and never awaits; what it sends is appended to outlets. Every message between
 * replicas passes the gate first: one from a newer configuration makes this replica catch up, one from an older is answered
 * with the newer configuration and dropped, one of the same epoch but another id is a conflict, which stops the partition.
 *
 * The owner's index is at the head of its log, a backup's at the commit. That needs no undo: an owner that is replaced
 * without having handed over is never in the new in-sync set, and drops its data.
 */

import { assert } from '../base/assert.ts'
import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { type MemberId, type PartitionConfig, successorOf } from '../membership/config.ts'
import { packConfigs } from '../membership/pack.ts'
import { BackupLog } from '../replication/backup-log.ts'
import { type CallView, FLAG_ANY, MessageType } from '../wire/message.ts'
import {
  type Answer,
  type AnswerType,
  type BeaconEntry,
  ChunkKind,
  type Reference,
  type Replicate,
  type SnapshotBegin,
  type SnapshotChunk,
  writeAnswer,
  writeConfig,
  writeConfigRequest,
} from '../wire/peer-message.ts'
import { BackupReads } from './backup-read.ts'
import { CallOrder } from './call-order.ts'
import type { Context, Now, Outlet } from './context.ts'
import { operationTable } from './operation.ts'
import { Owner } from './owner.ts'
import { Replica } from './replica.ts'
import { sendRedirect } from './reply-queue.ts'

/** Records that one slice of compaction looks at. */
const COMPACT_RECORDS = 256

export type PartitionRole = 'none' | 'learner' | 'backup' | 'owner'

/** The first 32 bits of a configuration's id. */
export function tagOf(config: PartitionConfig): number {
  return Number.parseInt(config.id.slice(0, 8), 16)
}

/** A transfer on its way in. */
interface Incoming {
  readonly session: number
  readonly base: number
  readonly state: ByteWriter
  chunks: number
}

/** A backup's own wish to become the owner, put to the log and not yet decided. */
interface Takeover {
  readonly next: PartitionConfig
}

export class Partition {
  readonly id: number
  readonly #context: Context
  config: PartitionConfig | undefined
  /** Two histories of this partition exist; it serves nobody until an operator decides. */
  conflicted = false
  #reference: Reference
  /** Whether `config` names this member in sync. Asked for every message, and the ids are long to compare. */
  #inSync = false
  /** Whoever knows this epoch knows of the last declared loss; 0 where there has been none. */
  #eraEpoch = 0
  #replica: Replica | undefined
  #owner: Owner | undefined
  #backup: BackupLog | undefined
  #incoming: Incoming | undefined
  /** The owner that this learner learns from. */
  #teacher: MemberId = ''
  /** The session under which a learner received what it holds. */
  #learnerSession = 0
  /** The session of the newest transfer begun under the present configuration. */
  #begunSession = 0
  #takeover: Takeover | undefined
  readonly #order: CallOrder
  #reads: BackupReads | undefined

  /** `order`: of calls that were refused before there were partitions here. */
  constructor(id: number, context: Context, order = new CallOrder(context.limits.callsPerPartitionMax)) {
    this.id = id
    this.#context = context
    this.#reference = { partition: id, epoch: 0, tag: 0 }
    this.#order = order
  }

  get role(): PartitionRole {
    if (this.#owner) return 'owner'
    if (this.#backup) return this.#inSync ? 'backup' : 'learner'
    return this.#incoming ? 'learner' : 'none'
  }

  get owner(): Owner | undefined {
    return this.#owner
  }

  get backup(): BackupLog | undefined {
    return this.#backup
  }

  get replica(): Replica | undefined {
    return this.#replica
  }

  get reference(): Readonly<Reference> {
    return this.#reference
  }

  /** What this replica has put to the log and does not yet know the outcome of. */
  get unresolved(): PartitionConfig | undefined {
    return this.#owner?.unresolved ?? this.#takeover?.next
  }

  // ---- configuration

  /**
   * Takes a configuration that the log, or a replica that follows it, holds to be true. Older ones are ignored.
   */
  adopt(config: PartitionConfig, now: Now): void {
    const known = this.config
    if (this.conflicted) return
    if (known && config.epoch <= known.epoch) {
      if (config.epoch === known.epoch && config.id !== known.id) this.#conflict(config)
      return
    }
    this.config = config
    this.#reference = { partition: this.id, epoch: config.epoch, tag: tagOf(config) }
    this.#takeover = undefined
    this.#begunSession = 0
    const { self } = this.#context
    this.#inSync = config.inSync.includes(self)
    const voided = known !== undefined && config.era !== known.era
    if (voided || (known === undefined && config.era > 0 && config.prev !== '')) this.#eraEpoch = config.epoch
    if (voided) {
      this.#owner?.retire(config, this.#refusedLater)
      this.#drop()
      this.#context.note({
        kind: 'lost',
        partition: this.id,
        detail: `era ${config.era} begins empty: ${config.reason}`,
      })
    }
    // Only the first configuration of a partition and a declared loss begin with nothing.
    const fresh = voided || (known === undefined && config.prev === '')
    if (config.owner === self) this.#own(config, fresh, now)
    else if (this.#inSync) this.#follow(config, known, fresh, now)
    else this.#stepOut(config, known, now)
  }

  #own(config: PartitionConfig, fresh: boolean, now: Now): void {
    if (this.#owner) {
      this.#owner.adopt(config, this.#reference, now)
      return
    }
    const replica = fresh ? this.#newReplica() : this.#replica
    if (!replica || (!fresh && !this.#backup)) {
      // Named owner without holding the data: possible only where the log was rolled back. Serve nobody.
      this.#context.note({ kind: 'refused', partition: this.id, detail: 'named owner without the data' })
      return
    }
    this.#backup = undefined
    this.#incoming = undefined
    this.#owner = new Owner(this.id, this.#context, replica, config, this.#reference, now)
  }

  #follow(config: PartitionConfig, known: PartitionConfig | undefined, fresh: boolean, now: Now): void {
    if (this.#owner) {
      const drained = this.#owner.retire(config, this.#refusedLater)
      this.#owner = undefined
      const replica = this.#replica
      assert(replica !== undefined, 'an owner has a replica')
      if (!drained) {
        // Only a log that was rolled back and healed can say so: what nobody confirmed may not stay.
        this.#drop()
        return
      }
      this.#backup = new BackupLog(
        replica.store,
        replica.epochs,
        replica.store.head,
        now.monoMs,
        replica.applied,
      )
      return
    }
    if (fresh) {
      const replica = this.#newReplica()
      this.#backup = new BackupLog(replica.store, replica.epochs, 0, now.monoMs, replica.applied)
      return
    }
    // Without data this replica is in sync in name only: it answers nothing, and the owner will take it out.
    this.#backup?.follow(now.monoMs, known?.ownership === config.ownership)
  }

  /** Not named in sync: a learner goes on while its owner does, anything else ends. */
  #stepOut(config: PartitionConfig, known: PartitionConfig | undefined, now: Now): void {
    if (known?.inSync.includes(this.#context.self) || this.#teacher !== config.owner) {
      this.#owner?.retire(config, this.#refusedLater)
      this.#drop()
    } else {
      this.#backup?.follow(now.monoMs, known?.ownership === config.ownership)
    }
  }

  #newReplica(): Replica {
    this.#drop()
    this.#replica = new Replica(this.id, this.#context)
    return this.#replica
  }

  #drop(): void {
    this.#owner?.close()
    this.#owner = undefined
    this.#backup = undefined
    this.#incoming = undefined
    this.#learnerSession = 0
    this.#teacher = ''
    this.#replica?.reset()
    this.#replica = undefined
  }

  #conflict(other: PartitionConfig): void {
    this.conflicted = true
    this.#owner?.stop()
    const detail = `epoch ${other.epoch}: ${this.config?.id} here, ${other.id} there`
    this.#context.note({ kind: 'conflict', partition: this.id, detail })
  }

  /**
   * Whether a message was sent under the configuration that this replica holds. If not, whichever side is behind
   * is told.
   */
  #gate(from: MemberId, ref: Readonly<Reference>): boolean {
    if (this.conflicted) return false
    const mine = this.#reference
    if (ref.epoch === mine.epoch && ref.tag === mine.tag) return true
    const peer = this.#context.peer(from)
    if (ref.epoch > mine.epoch) {
      if (peer) {
        writeConfigRequest(peer.out, this.id)
        peer.wake()
      }
    } else if (this.config && peer) {
      // Fenced: the sender learns what has replaced it. The same for an equal epoch of another id, which it will
      // find to be a conflict as this side does.
      writeConfig(peer.out, packConfigs([this.config]))
      peer.wake()
    }
    return false
  }

  // ---- backup and learner

  onReplicate(from: MemberId, m: Replicate, now: Now): void {
    if (!this.#gate(from, m) || from !== this.config?.owner || this.#context.halted) return
    const backup = this.#backup
    if (!backup) {
      // In sync in name only: it lost what it held, and the owner must not wait for it.
      if (this.#inSync) this.#answer(from, MessageType.refuse, m.session, 0)
      return
    }
    if (backup.revoked || (!this.#inSync && m.session !== this.#learnerSession)) return
    if (this.#replica) this.#replica.sessions.nowMonoMs = now.monoMs
    backup.toldEpoch = m.epoch
    try {
      const matched = backup.replicate(m)
      const type = matched.kind === 'ack' ? MessageType.ack : MessageType.nack
      this.#answer(from, type, m.session, matched.seq)
      backup.promisedMonoMs = Math.max(backup.promisedMonoMs, now.monoMs)
    } catch (error) {
      this.#refuse(from, m.session, error)
    }
  }

  /**
   * The owner shows itself, and vouches perhaps for what was acknowledged before `proof`, a moment of this member's
   * clocks. Returns whether this replica promises to follow it for another while.
   */
  onBeacon(from: MemberId, ref: Readonly<BeaconEntry>, proof: Now | undefined, now: Now): boolean {
    if (!this.#gate(from, ref) || from !== this.config?.owner) return false
    const backup = this.#backup
    if (!backup || backup.revoked || this.#context.halted) return false
    if (this.#replica) this.#replica.sessions.nowMonoMs = now.monoMs
    backup.toldEpoch = ref.epoch
    backup.committed(ref.commit)
    if (proof) backup.proven(ref.commit, proof.monoMs, proof.wallMs)
    backup.promisedMonoMs = now.monoMs
    return true
  }

  /** The owner asks whether it still is the owner, for reads that trust no clock. */
  onConfirm(from: MemberId, ref: Readonly<Reference>): boolean {
    if (!this.#gate(from, ref) || from !== this.config?.owner) return false
    return this.#backup !== undefined && !this.#backup.revoked && !this.#context.halted
  }

  onSnapshotBegin(from: MemberId, m: SnapshotBegin): void {
    if (!this.#gate(from, m) || from !== this.config?.owner) return
    if (this.#inSync) return
    // On an older link an earlier transfer may come late: what it brings must not replace what the owner counts on by now.
    if (m.session <= this.#begunSession) return
    this.#begunSession = m.session
    this.#newReplica()
    this.#teacher = from
    this.#incoming = { session: m.session, base: m.base, state: new ByteWriter(), chunks: 0 }
  }

  onSnapshotChunk(from: MemberId, m: SnapshotChunk, now: Now): void {
    if (!this.#gate(from, m)) return
    const incoming = this.#incoming
    const replica = this.#replica
    if (!incoming || !replica || incoming.session !== m.session || m.index !== incoming.chunks + 1) return
    try {
      if (m.kind === ChunkKind.state) incoming.state.bytes(m.bytes, m.start, m.end)
      else replica.store.install(m.bytes, m.start, m.end)
      incoming.chunks = m.index
      if (m.kind === ChunkKind.last) this.#endTransfer(incoming, replica, now)
      this.#answer(from, MessageType.snapshotAck, m.session, m.index)
    } catch (error) {
      this.#refuse(from, m.session, error)
    }
  }

  #endTransfer(incoming: Incoming, replica: Replica, now: Now): void {
    replica.decodeState(incoming.state.take(), now)
    replica.store.startAt(incoming.base)
    this.#backup = new BackupLog(replica.store, replica.epochs, incoming.base, now.monoMs, replica.applied)
    this.#learnerSession = incoming.session
    this.#incoming = undefined
  }

  /** This replica cannot hold what it is sent: it gives everything up and says so. */
  #refuse(to: MemberId, session: number, error: unknown): void {
    if (!(error instanceof GridError)) throw error
    this.#context.note({ kind: 'refused', partition: this.id, detail: error.message })
    this.#drop()
    this.#answer(to, MessageType.refuse, session, 0)
  }

  #answer(to: MemberId, type: AnswerType, session: number, seq: number): void {
    const peer = this.#context.peer(to)
    if (!peer) return
    writeAnswer(peer.out, type, this.#reference, session, seq)
    peer.wake()
  }

  /** The owner is known to be dead, or has been silent for the grace time: asks the log for its place. */
  takeOver(proof: string, epoch: number): void {
    const { config } = this
    const backup = this.#backup
    if (this.conflicted || !config || !backup || backup.revoked || this.role !== 'backup') return
    const { self } = this.#context
    backup.revoked = true
    const inSync = config.inSync.filter((member) => member !== config.owner)
    const change = { epoch, id: this.#context.newId(), owner: self, inSync, reason: proof, by: self }
    this.#takeover = { next: successorOf(config, change) }
    this.#context.note({ kind: 'takeover', partition: this.id, detail: proof })
    this.#context.propose(this.#takeover.next)
  }

  // ---- owner

  onCall(view: CallView, client: Outlet, now: Now): void {
    const owner = this.#owner
    // A read that any replica may answer has no order to keep: its client makes it of the owner next.
    if (!owner && (view.flags & FLAG_ANY) !== 0) {
      if (!this.#readHere(view, client, now)) this.#redirect(view, client)
      return
    }
    let refused = true
    if (!owner || owner.stopped || view.epoch > this.#reference.epoch || this.#outlived(view))
      this.#redirect(view, client)
    else if (this.#order.admits(client, view.call, view.ackUpTo)) refused = owner.onCall(view, client, now)
    else owner.refuse(view, client)
    if (refused) this.#order.refused(client, view.call, view.ackUpTo)
  }

  /** Answers a read as a backup, if that holds what the read asks for. */
  #readHere(view: CallView, client: Outlet, now: Now): boolean {
    const backup = this.#backup
    const { config } = this
    if (!config || !backup || backup.revoked || this.conflicted || this.#context.halted) return false
    if (this.role !== 'backup' || !this.#replica) return false
    this.#reads ??= new BackupReads(this.id, this.#context)
    return this.#reads.answer(view, client, now, { era: config.era, backup, store: this.#replica.store })
  }

  /**
   * A write sent by one that had not heard of a declared loss. It may be a late copy of what was done before, answered
   * and lost with all memory of it: a client that still wants it hears of the new epoch, and sends it again.
   */
  #outlived({ epoch, operation }: CallView): boolean {
    return epoch < this.#eraEpoch && operationTable[operation]?.writes === true
  }

  /** A call that had been taken is refused after all: those behind it on its link may not pass it, either. */
  readonly #refusedLater = (client: Outlet, call: number): void => {
    // Nobody would ever forget one that is gone already.
    if (!client.closed) this.#order.refused(client, call, 0)
  }

  /** A client's link is gone. */
  onClientGone(client: Outlet): void {
    this.#order.forget(client)
    this.#owner?.watchers.removeAll(client)
  }

  #redirect(view: CallView, client: Outlet): void {
    const position = { era: this.config?.era ?? 0, epoch: this.#reference.epoch, seq: 0 }
    const owner = this.conflicted ? '' : (this.config?.owner ?? '')
    sendRedirect(client, this.id, view.call, position, owner, false)
  }

  onAnswer(from: MemberId, type: MessageType, m: Answer, now: Now): void {
    const owner = this.#owner
    if (!owner) return
    // An acknowledgement from just before a change of configuration still counts: its session says whose it is.
    if (m.epoch > this.#reference.epoch) this.#gate(from, m)
    if (m.epoch < owner.epochOfOwnership) return
    if (type === MessageType.ack) owner.onAck(from, m.session, m.seq, now)
    else if (type === MessageType.nack) owner.onNack(from, m.session, m.seq, now)
    else if (type === MessageType.snapshotAck) owner.onSnapshotAck(from, m.session, m.seq, now)
    else if (type === MessageType.refuse) owner.onRefuse(from, m.session, now)
  }

  /** One slice of long work; true when there is more. */
  work(now: Now): boolean {
    // First, for the owner's removals throw while memory is full: that may not keep out what makes room for them.
    const more = this.#replica?.store.compactStep(COMPACT_RECORDS) === true
    return this.#owner?.work(now) === true || more
  }

  /** Gives the memory back; the member stops. */
  close(): void {
    this.#drop()
  }
}
