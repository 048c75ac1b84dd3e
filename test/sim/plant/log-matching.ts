/** Planted bugs: how a backup tells whether its log is the owner's. */

import { EpochTable } from '../../../src/core/replication/epoch-table.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

export const logMatching: Readonly<Record<string, Plant>> = {
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
}
