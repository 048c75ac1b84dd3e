/**
 * Runs that once showed a bug, by name: the mix of faults and the settings under which it came up, and a few seeds.
 *
 * What a seed does changes with every change of the simulation, so each names what it needs and takes several seeds.
 */

import type { Settings } from '../../src/core/engine/settings.ts'
import { type FaultMix, noFaults } from './fault.ts'

export interface Scenario {
  /** What went wrong before it was put right. */
  readonly was: string
  readonly seeds: readonly number[]
  readonly members?: number
  readonly mix: FaultMix
  readonly settings?: Partial<Settings>
  readonly faultMs: number
}

export const scenarios: Readonly<Record<string, Scenario>> = {
  'founding while clients open maps': {
    was: 'wishes moved the end of the log under the founding, which was refused for ever',
    seeds: [1, 4, 9, 17],
    mix: noFaults,
    faultMs: 100,
  },
  'a dead backup and minInSync 2': {
    was: 'no learner was added, for the commit that it waited for could only come from the dead',
    seeds: [2, 3, 5],
    members: 3,
    mix: { ...noFaults, kill: 1, everyMs: 4000 },
    settings: { backups: 1, minInSync: 2 },
    faultMs: 15_000,
  },
  'links break under conditional writes': {
    was: 'the late first copy of a call took effect after its repetition had been answered with no',
    seeds: [31, 35],
    mix: { ...noFaults, breakLink: 1, cut: 1, everyMs: 300 },
    faultMs: 30_000,
  },
  'idle partitions change their backups': {
    was: 'backups forgot how far they agreed with their owner, and their commit stood still',
    seeds: [6, 19, 25],
    mix: { ...noFaults, leave: 1, everyMs: 5000 },
    faultMs: 15_000,
  },
  'transfers break off behind a dead backup': {
    was: 'the owner saw only to the first silent replica, and taught nobody anew',
    seeds: [67, 116],
    mix: { ...noFaults, kill: 1, breakLink: 1, trigger: 1, everyMs: 2000 },
    settings: { minInSync: 2 },
    faultMs: 20_000,
  },
  'members leave while the others are silent': {
    was: 'the leaver took itself for the last one, and what only it held was declared lost',
    seeds: [503, 84],
    mix: { ...noFaults, leave: 1, pause: 1, cut: 1, everyMs: 700 },
    settings: { silentRemoveMs: 4000 },
    faultMs: 20_000,
  },
  'maps are opened while the log loses its end': {
    was: 'the numbers of maps that were lost with it went to other maps',
    seeds: [1, 3],
    mix: { ...noFaults, rollback: 1, everyMs: 5000 },
    faultMs: 15_000,
  },
  'somebody reads late of the founding': {
    was: 'it stood in sync without holding anything, when others had gone on meanwhile',
    seeds: [12, 13],
    mix: noFaults,
    faultMs: 1000,
  },
  'an owner dies whose backup gave its data up': {
    was: 'the backup could not take over, and since it lived the loss was never declared',
    seeds: [161],
    members: 3,
    mix: { ...noFaults, full: 1, kill: 1, everyMs: 600, loss: true },
    faultMs: 20_000,
  },
}
