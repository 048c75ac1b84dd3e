/** Planted bugs: who somebody is after it has come again, as a process or as a replica. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { noFaults } from '../fault.ts'
import { type RunOptions, Simulation } from '../simulation.ts'
import { any, lostRecord, otherEntries, type Plant, patch, stuck } from './plant.ts'

/** Learners whose answers come late, after they have been taught anew. */
const lateAcks: Omit<RunOptions, 'seed'> = {
  settings: { backups: 1, minInSync: 1, chunkBytes: 64 * 1024 },
  mix: { ...noFaults, leave: 1, kill: 1, plot: 1, plots: { lateAcks: 20 }, everyMs: 2000 },
  faultMs: 20_000,
}

export const identities: Readonly<Record<string, Plant>> = {
  /** A member that starts again has the id that it had, as if that came from its host. */
  sameIdentity: {
    expects: any('in name only|falls from|has expired after', lostRecord, stuck),
    options: { mix: { ...noFaults, kill: 1, everyMs: 2000 }, faultMs: 20_000 },
    apply: () =>
      patch(
        Simulation.prototype,
        'start',
        (original) =>
          function (this: Simulation, host) {
            const { random } = this.world
            const { next } = random
            let drawn = 0
            // Of what is drawn at a start, its id comes first: four numbers.
            random.next = () => (drawn++ < 4 ? (1 + this.hosts.indexOf(host)) / 64 : next())
            original.call(this, host)
            random.next = next
          },
      ),
  },
  /** A replica that joins anew has the session that it had. */
  noSession: {
    expects: any(lostRecord, stuck, otherEntries, 'in name only'),
    seed: 6,
    options: lateAcks,
    apply: () => patch(Owner.prototype, 'newSession', () => () => 7),
  },
  /**
   * An answer counts whichever join it comes from. Of records that is harmless within one ownership: no old acknowledgement
   * is above the base of a later transfer. Of the chunks of a transfer it is not.
   */
  noSessionInAck: {
    expects: any(lostRecord, stuck, otherEntries, 'in name only'),
    seed: 24,
    options: lateAcks,
    apply: () => {
      const present = (owner: Owner, from: string, session: number): number =>
        owner.log.peers.get(from)?.session ?? session
      const restoreAck = patch(
        Owner.prototype,
        'onAck',
        (original) =>
          function (this: Owner, from, session, seq, now) {
            original.call(this, from, present(this, from, session), seq, now)
          },
      )
      const restoreSnapshotAck = patch(
        Owner.prototype,
        'onSnapshotAck',
        (original) =>
          function (this: Owner, from, session, index, now) {
            original.call(this, from, present(this, from, session), index, now)
          },
      )
      return () => {
        restoreSnapshotAck()
        restoreAck()
      }
    },
  },
}
