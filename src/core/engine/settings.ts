/**
 * What a member's core is made with, and what it may ask of the world outside.
 *
 * The core of a member is one state machine: frames, entries of the configuration log, announcements and the passing of
 * time come in as calls with the time of their arrival; what goes out is appended to outlets or asked for through
 * {@link Effects}, which return nothing. Production and simulation differ only in who is on the other side.
 */

import type { Limits } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import type { MemberId, MemberInfo } from '../membership/config.ts'
import type { HashSecret } from '../membership/view.ts'
import type { NotableEvent, Timing } from '../partition/context.ts'
import type { ProcessorFunction } from '../wire/processor.ts'

export interface Settings {
  readonly self: MemberInfo
  /** No other process runs under this member's name: those that the roster shows have ended. Default false. */
  readonly exclusiveName?: boolean | undefined
  /** Of the cluster, used only by its founders. */
  readonly partitionCount: number
  readonly backups: number
  readonly minInSync: number
  /** Members that must have announced themselves before the cluster is founded. */
  readonly expectMembers: number
  /** How long a founder asks for incumbents first, in milliseconds. */
  readonly foundAfterMs: number
  readonly timing: Timing
  /** How long a roster must have stood still before partitions move, in milliseconds. */
  readonly rebalanceDelayMs: number
  /** A member silent for so long leaves the roster (which proves nothing about its death), in milliseconds. */
  readonly silentRemoveMs: number
  /** How long those that have not healed the log after a loss of its end are waited for, in milliseconds. */
  readonly rollCallMs: number
  /** How long everybody has at least to heal the log before changes go on, in milliseconds. */
  readonly rollCallMinMs: number
  /** State transfers that this member has under way as an owner, at most. */
  readonly transfersMax: number
  /** Bytes of a state transfer that are sent at a time. Default 64 KiB. */
  readonly chunkBytes?: number | undefined
  /** Entries of the configuration log after which somebody writes a checkpoint. Default 1,000. */
  readonly checkpointEntries?: number | undefined
  readonly memoryBytesMax: number
  readonly historyBytes: number
  readonly limits: Limits
  readonly processors: ReadonlyMap<string, ProcessorFunction>
  readonly random: Random
  /** A new id of 128 bits, as 32 hexadecimal digits. */
  readonly newId: () => string
  readonly hashSecret: HashSecret
}

export interface Effects {
  /** Appends to the configuration log; the outcome is seen by reading. */
  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): void
  checkpoint(bytes: Uint8Array, seq: number): void
  announce(bytes: Uint8Array): void
  /** Asks anew what can be seen of the log's store; `controlOpen` follows where it is another. */
  verify(): void
  /** From now on a link to this member is wanted. */
  dial(id: MemberId, address: string): void
  /** The link to this member is wanted no more. */
  hangUp(id: MemberId): void
  /** There is long work: `work` is to be called soon, in small portions. */
  background(): void
  /** This member has left the cluster, or has been declared dead: it is to stop. */
  ended(reason: string): void
  note(event: NotableEvent | ClusterEvent): void
}

/** What an operator should hear of that concerns the whole cluster. */
export interface ClusterEvent {
  readonly kind:
    | 'founded'
    | 'joined'
    | 'boot'
    | 'thaw'
    | 'roster'
    | 'control-down'
    | 'wrong-cluster'
    | 'map-conflict'
    | 'work-failed'
  readonly detail: string
}
