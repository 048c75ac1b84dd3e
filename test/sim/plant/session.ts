/** Planted bugs: how long a partition remembers its clients. */

import { CallHandler } from '../../../src/core/partition/call-handler.ts'
import { Housekeeping } from '../../../src/core/partition/housekeeping.ts'
import { Owner } from '../../../src/core/partition/owner.ts'
import { SessionTable } from '../../../src/core/partition/session-table.ts'
import { FLAG_SESSION } from '../../../src/core/wire/message.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

const forgetful = {
  tightness: 'sessions',
  mix: { ...noFaults, breakLink: 0.5, everyMs: 3000 },
  faultMs: 80_000,
} as const

export const sessions: Readonly<Record<string, Plant>> = {
  /** A session is closed in every round, however lately it was used. */
  sessionClosedEarly: {
    expects: /closes session|has expired after/,
    options: { mix: noFaults, faultMs: 20_000 },
    apply: () =>
      patch(
        Owner.prototype,
        'work',
        (original) =>
          function (this: Owner, now) {
            for (const session of this.replica.sessions.sessions())
              session.usedMonoMs = Number.NEGATIVE_INFINITY
            return original.call(this, now)
          },
      ),
  },
  /** A session is closed at the owner alone. */
  sessionCloseNotLogged: {
    expects: /holds other entries|not linearizable|answer:|has expired after/,
    options: forgetful,
    apply: () =>
      patch(
        Owner.prototype,
        'work',
        (original) =>
          function (this: Owner, now) {
            const { sessions } = this.replica
            for (const { number, usedMonoMs } of [...sessions.sessions()])
              if (now.monoMs - usedMonoMs > this.context.timing.sessionIdleMs) sessions.close(number)
            return original.call(this, now)
          },
      ),
  },
  /** A call that comes again from a session that is forgotten is carried out as if it were new. */
  retryAfterClose: {
    expects: /not linearizable|answer:/,
    seed: 2,
    options: forgetful,
    apply: () =>
      patch(
        CallHandler.prototype,
        'handle',
        (original) =>
          function (this: CallHandler, view, client, now) {
            view.flags &= ~FLAG_SESSION
            return original.call(this, view, client, now)
          },
      ),
  },
  /** A backup keeps the sessions that the owner has closed. */
  closedSessionKept: {
    expects: /holds other entries|not linearizable/,
    options: forgetful,
    apply: () => {
      let housekeeping = false
      const restoreWork = patch(
        Housekeeping.prototype,
        'work',
        (original) =>
          function (this: Housekeeping, now) {
            housekeeping = true
            const more = original.call(this, now)
            housekeeping = false
            return more
          },
      )
      const restoreClose = patch(
        SessionTable.prototype,
        'close',
        (original) =>
          function (this: SessionTable, number) {
            if (housekeeping) original.call(this, number)
          },
      )
      return () => {
        restoreClose()
        restoreWork()
      }
    },
  },
}
