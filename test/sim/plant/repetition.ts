/** Planted bugs: a call that comes twice. */

import { Session, SessionTable } from '../../../src/core/partition/session-table.ts'
import { noFaults } from '../fault.ts'
import { any, type Plant, patch, wrongAnswer } from './plant.ts'

export const repetitions: Readonly<Record<string, Plant>> = {
  /** A call that comes twice takes effect twice. */
  noDedupe: {
    expects: any(wrongAnswer),
    apply: () => patch(Session.prototype, 'complete', () => () => {}),
  },
  /** Only the owner that carried out a call remembers it: nothing of that is in what its backups apply. */
  localDedupe: {
    expects: any(wrongAnswer),
    seed: 5,
    options: {
      tightness: 'roomy',
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { lostAnswer: 5 } },
      faultMs: 15_000,
    },
    apply: () => patch(SessionTable.prototype, 'apply', () => () => {}),
  },
}
