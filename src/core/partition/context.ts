/**
 * What a partition asks of the member it lives in, and what it may not do itself.
 *
 * A partition has no clock, no chance, no socket and no promise. Time comes in as {@link Now}; what it sends is
 * appended to an {@link Outlet}; what it wants decided is proposed. The production member and the simulation give
 * it the same face.
 */

import type { ByteWriter } from '../base/bytes.ts'
import type { Limits } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import type { MapConfig, MemberId, PartitionConfig } from '../membership/config.ts'
import type { BlockPool } from '../store/block-pool.ts'
import type { History } from '../store/history.ts'
import type { ProcessorFunction } from '../wire/processor.ts'

/** Two clocks, read after the input that they come with has arrived, never kept for later. */
export interface Now {
  /** Milliseconds of a clock that never goes back. */
  readonly monoMs: number
  /** Milliseconds since 1970. */
  readonly wallMs: number
}

/** The sending end of a link to a member or a client. */
export interface Outlet {
  /** Who is at the other end: the incarnation of a member, or the session of a client. */
  readonly peer: { readonly id: string }
  /** Whole messages are appended here. */
  readonly out: ByteWriter
  /** Bytes that the other side has not taken yet. */
  readonly queuedBytes: number
  readonly closed: boolean
  /** Sees to it that what was appended leaves at the end of the tick. */
  wake(): void
}

/** Times of the replication protocol, in milliseconds. Bounds stand with the member's options. */
export interface Timing {
  /** An owner shows itself to its backups this often. */
  readonly beaconMs: number
  /** A backup silent for so long is taken out of the in-sync set. */
  readonly suspectMs: number
  /** A lease lasts this long from the moment its beacon was sent. */
  readonly leaseMs: number
  /** A backup that has granted nothing for so long takes over. At least 1.5 × `leaseMs`. */
  readonly graceMs: number
  /** A session that has left no record for so long is closed. At least 4 × the longest deadline of a call. */
  readonly sessionIdleMs: number
}

export interface Context {
  readonly self: MemberId
  /**
   * This member may count as dead at any moment: it takes no calls, confirms and promises nothing as a backup, and only
   * hands on what it owns.
   */
  readonly halted: boolean
  readonly backups: number
  readonly minInSync: number
  readonly limits: Limits
  readonly timing: Timing
  /** Of a state transfer; undefined: the usual size. */
  readonly chunkBytes?: number | undefined
  readonly random: Random
  readonly pool: BlockPool
  readonly history: History
  readonly processors: ReadonlyMap<string, ProcessorFunction>
  readonly partitionCount: number
  /** A new id of 128 bits, as 32 hexadecimal digits. */
  newId(): string
  mapConfig(map: number): MapConfig | undefined
  /** The link to a member, or undefined while there is none: what would be sent now is lost. */
  peer(id: MemberId): Outlet | undefined
  /** Puts a change of configuration to the log. The member sends it again until the log shows an outcome. */
  propose(next: PartitionConfig): void
  /** The partition has records to send; its `flush` is called at the end of the turn. */
  flushLater(partition: number): void
  /** The partition has long work to do; its `work` is called slice by slice. */
  workLater(partition: number): void
  /** Something that operators should know. */
  note(event: NotableEvent): void
}

/** What an operator should hear of, by partition. */
export interface NotableEvent {
  readonly kind: 'conflict' | 'lost' | 'takeover' | 'shrink' | 'refused' | 'reset'
  readonly partition: number
  readonly detail: string
}
