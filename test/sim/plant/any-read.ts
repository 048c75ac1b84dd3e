import { BackupLog } from '../../../src/core/replication/backup-log.ts'
import type { RunOptions } from '../simulation.ts'
import { any, type Plant, patch } from './plant.ts'

const options: Omit<RunOptions, 'seed'> = { anyReads: true }
const stale = any('any read: .* not ')
const goneBack = any('any read: .* after', 'after it had seen')

export const anyReads: Readonly<Record<string, Plant>> = {
  /** A backup answers however old its state may be. */
  ageNotProven: {
    expects: stale,
    seed: 12,
    options,
    apply: () => patch(BackupLog.prototype, 'isFresh', () => () => true),
  },
  /** A backup answers whatever the client has seen before. */
  seenNotHeeded: {
    expects: goneBack,
    seed: 4,
    options,
    apply: () => patch(BackupLog.prototype, 'reaches', () => () => true),
  },
}
