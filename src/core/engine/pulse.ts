/**
 * How members show each other that they are alive: one beacon a pair of members, for all partitions between them.
 *
 * An owner's beacon carries its clocks at sending and the commit of each partition; the answer lists the partitions for
 * which the backup follows this owner on, and is a lease for each from the moment of sending. It carries the backup's
 * clocks, too, and the next beacon takes them back: that is how a backup knows how old its state is (backup-log.ts).
 */

import type { MemberId } from '../membership/config.ts'
import type { Context, Now } from '../partition/context.ts'
import { answersAlone } from '../partition/ownership.ts'
import type { Partition } from '../partition/partition.ts'
import { MessageType } from '../wire/message.ts'
import { type Beacon, type BeaconEntry, type BeaconType, writeBeacon } from '../wire/peer-message.ts'

type Clocks = Omit<Beacon, 'entries'>

export class Pulse {
  readonly #context: Context
  readonly #partitions: readonly Partition[]
  #sentMonoMs = Number.NEGATIVE_INFINITY
  /** By member, the clocks that its newest answer to a beacon has brought. */
  #answered = new Map<MemberId, Now>()

  constructor(context: Context, partitions: readonly Partition[]) {
    this.#context = context
    this.#partitions = partitions
  }

  tick(now: Now): void {
    if (now.monoMs - this.#sentMonoMs < this.#context.timing.beaconMs) return
    this.beat(now)
  }

  /** Shows this member to every replica of the partitions that it owns. */
  beat(now: Now): void {
    this.#sentMonoMs = now.monoMs
    const byPeer = new Map<MemberId, BeaconEntry[]>()
    for (const { owner } of this.#partitions) {
      if (!owner) continue
      owner.confirmations.askAgain()
      const { commit, log, reference } = owner
      if (log.peers.size === 0) continue
      const alone = answersAlone(owner, now)
      for (const peer of log.peers.values()) {
        if (peer.transfer) continue
        const entry = { ...reference, commit, vouched: alone && log.isWhole(peer, commit) }
        const entries = byPeer.get(peer.id)
        if (entries) entries.push(entry)
        else byPeer.set(peer.id, [entry])
      }
    }
    const answered = new Map<MemberId, Now>()
    for (const [id, entries] of byPeer) {
      const backup = this.#answered.get(id) ?? NEVER
      answered.set(id, backup)
      const own = { sentMono: now.monoMs, sentWall: now.wallMs }
      const clocks = { ...own, backupMono: backup.monoMs, backupWall: backup.wallMs }
      this.#send(id, MessageType.beacon, clocks, entries)
    }
    this.#answered = answered
  }

  /** A beacon or a question for confirmation: the answer lists what this member follows on. */
  onBeacon(from: MemberId, beacon: Beacon, now: Now): void {
    const proof = { monoMs: beacon.backupMono, wallMs: beacon.backupWall }
    const granted = beacon.entries.filter((entry) =>
      this.#partitions[entry.partition]?.onBeacon(from, entry, entry.vouched ? proof : undefined, now),
    )
    const clocks = { ...beacon, backupMono: now.monoMs, backupWall: now.wallMs }
    if (granted.length > 0) this.#send(from, MessageType.beaconAck, clocks, granted)
  }

  onConfirm(from: MemberId, beacon: Beacon): void {
    const granted = beacon.entries.filter((entry) =>
      this.#partitions[entry.partition]?.onConfirm(from, entry),
    )
    if (granted.length > 0) this.#send(from, MessageType.confirmAck, beacon, granted)
  }

  onBeaconAck(from: MemberId, beacon: Beacon, now: Now): void {
    // One that was overtaken on another link would only make the proof older.
    if (beacon.backupMono >= (this.#answered.get(from)?.monoMs ?? Number.NEGATIVE_INFINITY))
      this.#answered.set(from, { monoMs: beacon.backupMono, wallMs: beacon.backupWall })
    for (const entry of beacon.entries) {
      const owner = this.#partitions[entry.partition]?.owner
      // Granted to this ownership, under whichever of its configurations the beacon was sent.
      if (owner && entry.epoch >= owner.epochOfOwnership && entry.epoch <= owner.reference.epoch) {
        owner.onGrant(from, beacon.sentMono, beacon.sentWall, now)
      }
    }
  }

  onConfirmAck(from: MemberId, beacon: Beacon): void {
    for (const entry of beacon.entries) {
      const owner = this.#partitions[entry.partition]?.owner
      if (owner && entry.epoch === owner.reference.epoch && entry.tag === owner.reference.tag) {
        owner.confirmations.confirmed(from, beacon.sentMono)
      }
    }
  }

  #send(to: MemberId, type: BeaconType, clocks: Clocks, entries: readonly BeaconEntry[]): void {
    const outlet = this.#context.peer(to)
    if (!outlet) return
    for (let i = 0; i < entries.length; i += ENTRIES_MAX) {
      writeBeacon(outlet.out, type, { ...clocks, entries: entries.slice(i, i + ENTRIES_MAX) })
    }
    outlet.wake()
  }
}

/** Entries in one message; their count is a u16. */
const ENTRIES_MAX = 60_000
/** Of a member that has answered no beacon yet. */
const NEVER: Now = { monoMs: Number.NEGATIVE_INFINITY, wallMs: Number.NEGATIVE_INFINITY }
