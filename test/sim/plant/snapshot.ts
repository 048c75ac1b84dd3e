/** Planted bugs: the snapshot that a learner is taught from. */

import { Replica } from '../../../src/core/partition/replica.ts'
import type { Session } from '../../../src/core/partition/session-table.ts'
import { Transfer } from '../../../src/core/replication/transfer.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import { writeSnapshotBegin } from '../../../src/core/wire/peer-message.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

const moving = {
  members: 4,
  settings: { backups: 1, chunkBytes: 64, rebalanceDelayMs: 100 },
  mix: { ...noFaults, leave: 1, everyMs: 2500 },
  faultMs: 20_000,
} as const

/** What a learner makes of each session that it has been told of. */
function onceTaught(change: (session: Session) => void): () => void {
  return patch(
    Replica.prototype,
    'decodeState',
    (original) =>
      function (this: Replica, state, now) {
        original.call(this, state, now)
        for (const session of this.sessions.sessions()) change(session)
      },
  )
}

export const snapshots: Readonly<Record<string, Plant>> = {
  /** One record in three is left out of the chunks. */
  chunkRecordLost: {
    expects: /holds other entries|has \d+ entries|answer:|its log|not linearizable/,
    options: moving,
    apply: () => {
      let copied = 0
      return patch(
        LogStore.prototype,
        'copyLive',
        (original) =>
          function (this: LogStore, ...call) {
            if (copied++ % 3 > 0) original.apply(this, call)
          },
      )
    },
  },
  /** Chunks count as taken when they have been sent. */
  chunkTakenWhenSent: {
    expects: /in name only|failed|holds other entries|LOST|does not recover/,
    slow: true,
    options: { ...moving, mix: { ...noFaults, leave: 1, breakLink: 1, trigger: 1, everyMs: 1000 } },
    apply: () =>
      patch(
        Transfer.prototype,
        'sendChunk',
        (original) =>
          function (this: Transfer, ...call) {
            original.apply(this, call)
            for (let index = 1; index < 500; index++) this.taken(index)
          },
      ),
  },
  /** The learner begins one record above the base, which the log will not bring. */
  baseTooHigh: {
    expects: /holds other entries|has \d+ entries|answer:|its log|not linearizable|failed|has expired after/,
    options: moving,
    apply: () =>
      patch(
        Transfer.prototype,
        'begin',
        () =>
          function (this: Transfer, w, ref) {
            writeSnapshotBegin(w, ref, this.session, this.base + 1)
          },
      ),
  },
  /** A learner forgets what clients have been answered, though it knows their sessions. */
  completionsNotTaken: {
    expects: /not linearizable|answer:/,
    seed: 3,
    options: {
      ...moving,
      mix: { ...noFaults, leave: 1, kill: 0.4, breakLink: 1, everyMs: 700 },
      faultMs: 60_000,
    },
    apply: () =>
      onceTaught((session) => {
        session.completions.length = 0
      }),
  },
  /** A learner takes sessions for much older than they are, and closes them when it is the owner. */
  ageOverstated: {
    expects: /closes session|has expired after/,
    seed: 42,
    options: { ...moving, mix: { ...noFaults, leave: 1, kill: 0.4, everyMs: 1500 } },
    apply: () =>
      onceTaught((session) => {
        session.usedMonoMs -= 3_600_000
      }),
  },
}
