/**
 * Bugs planted on purpose, so that it shows whether the checkers would see them. Each replaces one step of the protocol by
 * what somebody might have written instead, and returns what puts it right again.
 */

import { Owner } from '../../src/core/partition/owner.ts'
import { Partition } from '../../src/core/partition/partition.ts'
import { ReplyQueue } from '../../src/core/partition/reply-queue.ts'
import { Session } from '../../src/core/partition/session-table.ts'
import { BackupLog } from '../../src/core/replication/backup-log.ts'
import { EpochTable } from '../../src/core/replication/epoch-table.ts'
import { OwnerLog } from '../../src/core/replication/owner-log.ts'

export interface Plant {
  /** What a checker should find. */
  readonly expects: RegExp
  readonly apply: () => () => void
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
    expects: /./,
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
    expects: /./,
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
    expects: /./,
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
    expects: /./,
    slow: true,
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
    expects: /./,
    slow: true,
    apply: () => patch(EpochTable.prototype, 'at', () => () => 1),
  },
  /** Whatever comes is acknowledged. */
  ackBlind: {
    expects: /./,
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
    expects: /./,
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
}
