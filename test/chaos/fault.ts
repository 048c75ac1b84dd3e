/** What a fault is, and which there are. */

import type { Random } from '../../src/core/base/random.ts'
import type { ChaosCluster } from './cluster.ts'
import { diskFaults } from './fault-disk.ts'
import { linkFaults } from './fault-link.ts'
import { natsFaults } from './fault-nats.ts'
import { networkFaults } from './fault-network.ts'
import { overloadFaults } from './fault-overload.ts'
import { processFaults } from './fault-process.ts'
import type { Variant } from './variant.ts'

export interface Fault {
  readonly name: string
  /** Why it cannot be had here (not root, no `ip` command …), or undefined. Printed, not silently skipped. */
  unavailable?(): string | undefined
  /** Whether a cluster of this kind can have it. Left out: any. */
  fits?(variant: Variant): boolean
  /** Injects; resolves with what heals it (may be a no-op) once it is in force. `random` is seeded. */
  inject(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>>
  /** What clients may see during it: 'none' = not one failed call (graceful leave, rolling restart), 'unknown' = calls may time out. */
  readonly allows: 'none' | 'unknown'
  /** Errors beside `TIMEOUT` that calls may end with during it. */
  readonly codes?: readonly string[]
  /** How often it comes, against others. Default 1. */
  readonly weight?: number
}

export const faults: readonly Fault[] = [
  ...processFaults,
  ...natsFaults,
  ...networkFaults,
  ...linkFaults,
  ...diskFaults,
  ...overloadFaults,
]
