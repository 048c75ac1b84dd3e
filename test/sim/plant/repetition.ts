/** Planted bugs: a call that comes twice. */

import { Session, SessionTable } from '../../../src/core/partition/session-table.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const repetitions: Readonly<Record<string, Plant>> = {
  /** A call that comes twice takes effect twice. */
  noDedupe: {
    expects: /not linearizable/,
    apply: () => patch(Session.prototype, 'complete', () => () => {}),
  },
  /** Only the owner that carried out a call remembers it: nothing of that is in what its backups apply. */
  localDedupe: {
    expects: /not linearizable/,
    options: {
      settings: { backups: 1, minInSync: 1 },
      mix: { ...noFaults, plot: 1, plots: { lostAnswer: 2 } },
    },
    apply: () => patch(SessionTable.prototype, 'apply', () => () => {}),
  },
}
