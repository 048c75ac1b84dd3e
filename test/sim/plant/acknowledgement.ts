/** Planted bugs: when an answer may leave, and which acknowledgements make a record committed. */

import { CallHandler } from '../../../src/core/partition/call-handler.ts'
import { ReplyQueue } from '../../../src/core/partition/reply-queue.ts'
import { BackupLog } from '../../../src/core/replication/backup-log.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { noFaults } from '../fault.ts'
import type { RunOptions } from '../simulation.ts'
import { any, lostRecord, type Plant, patch, stuck, wrongAnswer } from './plant.ts'

/** Owners die when their backups hold what they have written, and nobody has been answered. */
const lostAnswers: Omit<RunOptions, 'seed'> = {
  mix: { ...noFaults, plot: 1, plots: { lostAnswer: 2 } },
  faultMs: 15_000,
}

export const acknowledgements: Readonly<Record<string, Plant>> = {
  /** An answer leaves before its record is committed. */
  ackEarly: {
    expects: any(wrongAnswer, lostRecord),
    options: lostAnswers,
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
    expects: any(lostRecord, wrongAnswer),
    seed: 5,
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
  /** Whatever comes is acknowledged. */
  ackBlind: {
    expects: any(lostRecord, stuck),
    seed: 4,
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
  /** Reads tell what is not yet committed. */
  dirtyReads: {
    expects: any(wrongAnswer),
    seed: 2,
    options: {
      members: 4,
      settings: { backups: 2, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { splitTail: 20 } },
      faultMs: 20_000,
    },
    apply: () =>
      patch(
        CallHandler.prototype,
        'readBytes',
        (original) =>
          function (this: CallHandler, _dependsOn, ...answer) {
            original.call(this, 0, ...answer)
          },
      ),
  },
}
