/**
 * Bugs planted on purpose, so that it shows whether the checkers would see them. Each replaces one step of the protocol by
 * what somebody might have written instead, and returns what puts it right again.
 */

import { ByteWriter } from '../../src/core/base/bytes.ts'
import { ConfigLog } from '../../src/core/engine/config-log.ts'
import { Owner } from '../../src/core/partition/owner.ts'
import { Partition } from '../../src/core/partition/partition.ts'
import { Replica } from '../../src/core/partition/replica.ts'
import { ReplyQueue } from '../../src/core/partition/reply-queue.ts'
import { Session, SessionTable } from '../../src/core/partition/session-table.ts'
import { Watcher } from '../../src/core/partition/watcher.ts'
import { BackupLog } from '../../src/core/replication/backup-log.ts'
import { EpochTable } from '../../src/core/replication/epoch-table.ts'
import { OwnerLog } from '../../src/core/replication/owner-log.ts'
import { Transfer } from '../../src/core/replication/transfer.ts'
import { ControlHandle } from './control-store.ts'
import { noFaults } from './fault.ts'
import type { RunOptions } from './simulation.ts'

export interface Plant {
  /** What a checker should find. */
  readonly expects: RegExp
  readonly apply: () => () => void
  /** Under which runs it shows soon. */
  readonly options?: Omit<RunOptions, 'seed'>
  /** It takes many seeds to show: not for the regular tests. */
  readonly slow?: boolean
}

/** Replaces a method; the replacement is given the original. */
function patch<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = target[name]
  target[name] = make(original)
  return () => {
    target[name] = original
  }
}

export const plants: Readonly<Record<string, Plant>> = {
  /** An answer leaves before its record is committed. */
  ackEarly: {
    expects: /not linearizable|after it had seen|LOST/,
    apply: () =>
      patch(
        ReplyQueue.prototype,
        'pushRecord',
        (original) =>
          function (this: ReplyQueue, ...call) {
            original.apply(this, call)
            this.release(Number.MAX_SAFE_INTEGER)
          },
      ),
  },
  /** What most replicas hold counts as committed. */
  ackMajority: {
    expects: /LOST|commits another record|never cut off/,
    apply: () =>
      patch(
        OwnerLog.prototype,
        'committed',
        () =>
          function (this: OwnerLog, head: number) {
            const held = [head, ...this.required.map(({ ack }) => ack)].sort((a, b) => b - a)
            return held[Math.floor((held.length - 1) / 2)]!
          },
      ),
  },
  /** Reads are answered whether anybody follows this owner or not. */
  noLease: {
    expects: /two owners serve|not linearizable|after it had seen/,
    apply: () => patch(OwnerLog.prototype, 'leased', () => () => true),
  },
  /** A lease counts from when its grant arrived. */
  leaseFromReceipt: {
    expects: /two owners serve|not linearizable|after it had seen/,
    slow: true,
    options: { mix: { ...noFaults, plot: 1 } },
    apply: () =>
      patch(
        Owner.prototype,
        'onGrant',
        (original) =>
          function (this: Owner, from, _sentMonoMs, _sentWallMs, now) {
            original.call(this, from, now.monoMs, now.wallMs, now)
          },
      ),
  },
  /** A backup that has begun to take over still follows the old owner. */
  noFence: {
    expects: /two owners serve|not linearizable/,
    apply: () =>
      patch(
        Partition.prototype,
        'onBeacon',
        () =>
          function (this: Partition) {
            return this.backup !== undefined
          },
      ),
  },
  /** A call that comes twice takes effect twice. */
  noDedupe: {
    expects: /not linearizable/,
    apply: () => patch(Session.prototype, 'complete', () => () => {}),
  },
  /** A learner is not waited for before it is added. */
  noUnion: {
    expects: /LOST|commits another record|never cut off/,
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, breakLink: 1, plot: 1, everyMs: 1000 },
    },
    apply: () =>
      patch(
        OwnerLog.prototype,
        'committed',
        () =>
          function (this: OwnerLog, head: number) {
            let commit = head
            for (const peer of this.required) if (!peer.learner && peer.ack < commit) commit = peer.ack
            return commit
          },
      ),
  },
  /** Logs are matched by seq alone. */
  seqOnlyMatch: {
    expects: /commits another record|holds other entries/,
    options: {
      members: 4,
      settings: { backups: 2, minInSync: 1 },
      mix: { ...noFaults, plot: 1, everyMs: 5000 },
    },
    apply: () => patch(EpochTable.prototype, 'at', () => () => 1),
  },
  /** Whatever comes is acknowledged. */
  ackBlind: {
    expects: /LOST|commits another record|do not settle/,
    apply: () =>
      patch(
        BackupLog.prototype,
        'replicate',
        (original) =>
          function (this: BackupLog, m) {
            const matched = original.call(this, m)
            return matched.kind === 'nack' ? { kind: 'ack', seq: m.prevSeq } : matched
          },
      ),
  },
  /** Calls are served while the partition is handed over. */
  serveDuringHandover: {
    expects: /in name only/,
    apply: () =>
      patch(
        Owner.prototype,
        'handOver',
        (original) =>
          function (this: Owner, to) {
            original.call(this, to)
            this.stopped = false
          },
      ),
  },
  /** A learner counts as level at the base of its transfer. */
  learnerAtBase: {
    expects: /holds other entries|not linearizable|commits another record|rows end with|LOST/,
    slow: true,
    options: {
      members: 4,
      settings: { backups: 2, minInSync: 1, chunkBytes: 64 },
      mix: { ...noFaults, breakLink: 1, leave: 0.5, plot: 1, everyMs: 1000 },
    },
    apply: () =>
      patch(
        Transfer.prototype,
        'sendChunk',
        (original) =>
          function (this: Transfer, ...call) {
            original.apply(this, call)
            if (this.end !== Number.POSITIVE_INFINITY) this.end = this.base
          },
      ),
  },
  /** Expiry and eviction go on while the partition is handed over. */
  housekeepingWhenStopped: {
    expects: /in name only/,
    slow: true,
    options: {
      members: 4,
      settings: { rebalanceDelayMs: 100 },
      mix: { ...noFaults, leave: 1, everyMs: 2000 },
    },
    apply: () =>
      patch(
        Owner.prototype,
        'work',
        (original) =>
          function (this: Owner, now) {
            const more = original.call(this, now)
            return (this.stopped && this.housekeeping.work(now)) || more
          },
      ),
  },
  /** Whoever sees another incarnation of the store than the log names records a boot at once, without a second look. */
  bootWithoutVerify: {
    expects: /does not recover/,
    slow: true,
    options: { mix: { ...noFaults, storeDown: 1, everyMs: 4000 } },
    apply: () => {
      const seen = new WeakMap<ConfigLog, string>()
      let boots = 0
      const restoreOpen = patch(
        ConfigLog.prototype,
        'open',
        (original) =>
          function (this: ConfigLog, evidence, checkpoint) {
            seen.set(this, evidence)
            original.call(this, evidence, checkpoint)
          },
      )
      const restoreTick = patch(
        ConfigLog.prototype,
        'tick',
        (original) =>
          function (this: ConfigLog, now) {
            const { boot } = this.view
            const evidence = seen.get(this) ?? boot.evidence
            if (this.ready && this.founded && boot.evidence !== evidence) {
              const id = (++boots).toString(16).padStart(32, '0')
              this.ask(`boot ${boot.id}`, { kind: 'boot', id, prev: boot.id, evidence }, now)
            }
            original.call(this, now)
          },
      )
      const restoreVerify = patch(ControlHandle.prototype, 'verify', () => () => {})
      return () => {
        restoreVerify()
        restoreOpen()
        restoreTick()
      }
    },
  },
  /**
   * An acknowledgement counts whichever join it comes from. Not shown: within an ownership no old acknowledgement is above
   * the base of a later transfer, and an owner that comes back has lost its links' past by then.
   */
  noSessionInAck: {
    expects: /LOST|commits another record/,
    slow: true,
    options: { mix: { ...noFaults, kill: 1, cut: 0.6, breakLink: 1, pause: 0.6, trigger: 1, everyMs: 600 } },
    apply: () =>
      patch(
        Owner.prototype,
        'onAck',
        (original) =>
          function (this: Owner, from, session, seq, now) {
            original.call(this, from, this.log.peers.get(from)?.session ?? session, seq, now)
          },
      ),
  },
  /** A learner is not told of the sessions. */
  stateNotSent: {
    expects: /holds other entries|not linearizable/,
    apply: () =>
      patch(
        Replica.prototype,
        'encodeState',
        () =>
          function (this: Replica) {
            const w = new ByteWriter()
            this.epochs.encode(w)
            new SessionTable().encode(w)
            return w.take()
          },
      ),
  },
  /** The end of the rows is told before what was left out of them has come by the log. */
  watchFromBase: {
    expects: /the rows end with/,
    apply: () => {
      let pumping = false
      const head = Object.getOwnPropertyDescriptor(Owner.prototype, 'head')!
      Object.defineProperty(Owner.prototype, 'head', {
        configurable: true,
        get(this: Owner) {
          return pumping ? 0 : this.replica.store.head
        },
      })
      const restore = patch(
        Watcher.prototype,
        'pump',
        (original) =>
          function (this: Watcher) {
            pumping = true
            const more = original.call(this)
            pumping = false
            return more
          },
      )
      return () => {
        restore()
        Object.defineProperty(Owner.prototype, 'head', head)
      }
    },
  },
}
