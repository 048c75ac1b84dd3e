/** Planted bugs: when an answer may leave, and which acknowledgements make a record committed. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { ReplyQueue } from '../../../src/core/partition/reply-queue.ts'
import { BackupLog } from '../../../src/core/replication/backup-log.ts'
import { OwnerLog } from '../../../src/core/replication/owner-log.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const acknowledgements: Readonly<Record<string, Plant>> = {
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
}
