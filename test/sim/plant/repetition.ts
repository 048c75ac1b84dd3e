/** Planted bugs: a call that comes twice. */

import { Session } from '../../../src/core/partition/session-table.ts'
import { type Plant, patch } from './plant.ts'

export const repetitions: Readonly<Record<string, Plant>> = {
  /** A call that comes twice takes effect twice. */
  noDedupe: {
    expects: /not linearizable/,
    apply: () => patch(Session.prototype, 'complete', () => () => {}),
  },
}
