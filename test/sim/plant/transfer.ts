/** Planted bugs: what a learner is taught. */

import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { Replica } from '../../../src/core/partition/replica.ts'
import { SessionTable } from '../../../src/core/partition/session-table.ts'
import { any, type Plant, patch, wrongAnswer } from './plant.ts'

export const transfers: Readonly<Record<string, Plant>> = {
  /** A learner is not told of the sessions. */
  stateNotSent: {
    expects: any('holds other entries|has expired after', wrongAnswer),
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
}
