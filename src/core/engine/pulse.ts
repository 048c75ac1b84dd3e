/**
 * How members show each other that they are alive: one beacon a pair of members, for all partitions between them.
 *
 * An owner's beacon carries its clocks at sending and the commit of each partition; the answer lists the partitions for
 * which the backup follows this owner on, and is a lease for each from the moment of sending.
 */

import type { MemberId } from '../membership/config.ts'
import type { Context, Now } from '../partition/context.ts'
import type { Partition } from '../partition/partition.ts'
import { MessageType } from '../wire/message.ts'
import { type Beacon, type BeaconType, type Reference, writeBeacon } from '../wire/peer-message.ts'

type Entry = Reference & { commit: number }

export class Pulse {
  readonly #context: Context
  readonly #partitions: readonly Partition[]
  #sentMonoMs = Number.NEGATIVE_INFINITY

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
    const byPeer = new Map<MemberId, Entry[]>()
    for (const { owner } of this.#partitions) {
      if (!owner) continue
      owner.confirmations.askAgain()
      const entry = { ...owner.reference, commit: owner.commit }
      for (const peer of owner.log.peers.values()) {
        if (peer.transfer) continue
        const entries = byPeer.get(peer.id)
        if (entries) entries.push(entry)
        else byPeer.set(peer.id, [entry])
      }
    }
    for (const [id, entries] of byPeer) this.#send(id, MessageType.beacon, now.monoMs, now.wallMs, entries)
  }

  /** A beacon or a question for confirmation: the answer lists what this member follows on. */
  onBeacon(from: MemberId, beacon: Beacon, now: Now): void {
    const granted = beacon.entries.filter((entry) =>
      this.#partitions[entry.partition]?.onBeacon(from, entry, entry.commit, now),
    )
    if (granted.length > 0) this.#send(from, MessageType.beaconAck, beacon.sentMono, beacon.sentWall, granted)
  }

  onConfirm(from: MemberId, beacon: Beacon): void {
    const granted = beacon.entries.filter((entry) =>
      this.#partitions[entry.partition]?.onConfirm(from, entry),
    )
    if (granted.length > 0) this.#send(from, MessageType.confirmAck, beacon.sentMono, 0, granted)
  }

  onBeaconAck(from: MemberId, beacon: Beacon, now: Now): void {
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

  #send(to: MemberId, type: BeaconType, sentMono: number, sentWall: number, entries: readonly Entry[]): void {
    const outlet = this.#context.peer(to)
    if (!outlet) return
    for (let i = 0; i < entries.length; i += ENTRIES_MAX) {
      writeBeacon(outlet.out, type, { sentMono, sentWall, entries: entries.slice(i, i + ENTRIES_MAX) })
    }
    outlet.wake()
  }
}

/** Entries in one message; their count is a u16. */
const ENTRIES_MAX = 60_000
