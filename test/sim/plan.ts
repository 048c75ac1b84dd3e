/**
 * What a seed draws before a run begins: the size of the cluster, its settings, what its clients do and how fast.
 *
 * Most runs are roomy and a few are tight in one way each (memory, queues, the time that sessions are remembered), for what
 * is full or forgotten hides what would have come after.
 */

import { defaultLimits, type Limits } from '../../src/core/base/limits.ts'
import type { Settings } from '../../src/core/engine/settings.ts'
import type { MapConfig } from '../../src/core/membership/config.ts'
import type { ProcessorFunction } from '../../src/core/wire/processor.ts'
import { hashSecret } from './control-store.ts'
import type { Bounds } from './workload.ts'
import type { World } from './world.ts'

export type DrawnSettings = Omit<Settings, 'self' | 'random' | 'newId'>

const add: ProcessorFunction = (entry, argument) => {
  const value = entry.value as { n: number; g?: number } | undefined
  const n = (value?.n ?? 0) + (argument as number)
  entry.set({ ...value, n })
  return n
}

/** In which way a run is tight. */
export type Tightness = 'roomy' | 'memory' | 'queues' | 'sessions'

export function drawTightness(world: World): Tightness {
  const x = world.random.next()
  if (x < 0.1) return 'memory'
  if (x < 0.2) return 'queues'
  return x < 0.4 ? 'sessions' : 'roomy'
}

export function drawSettings(
  world: World,
  tightness: Tightness,
  members: number,
  partitionCount: number,
): DrawnSettings {
  const sessionIdleMs = tightness === 'sessions' ? 6000 : 60_000
  return {
    partitionCount,
    backups: 1 + world.int(2),
    minInSync: world.chance(0.7) ? 1 : 2,
    // Where not all are waited for, those that are early have different views of who founds.
    expectMembers: world.chance(0.7) ? members : 1 + world.int(members),
    foundAfterMs: 500,
    timing: { beaconMs: 250, suspectMs: 1000, leaseMs: 2000, graceMs: 3000, sessionIdleMs },
    rebalanceDelayMs: world.pick([100, 1000]),
    silentRemoveMs: world.pick([4000, 8000, 15_000]),
    rollCallMs: 30_000,
    rollCallMinMs: 1000,
    transfersMax: 1 + world.int(4),
    chunkBytes: world.pick([256, 256, 1000, 64 * 1024]),
    checkpointEntries: world.pick([5, 20, 1000]),
    memoryBytesMax: tightness === 'memory' ? world.pick([16, 22, 30]) * 16 * 1024 : 64 * 1024 * 1024,
    historyBytes: world.pick([0, 40_000, 200_000]),
    limits: tightness === 'queues' ? drawLimits(world) : defaultLimits,
    processors: new Map([['add', add]]),
    hashSecret,
  }
}

function drawLimits(world: World): Limits {
  return {
    ...defaultLimits,
    waitingCallsMax: 3 + world.int(6),
    callsPerPartitionMax: 2 + world.int(6),
    outputBytesMax: 8 * world.pick([300, 2000]),
    pageRowsMax: 2,
    queryRowsMax: 2 + world.int(4),
    watchKeysMax: world.int(4),
  }
}

export interface ClientPlan {
  readonly maps: readonly { readonly name: string; readonly config: MapConfig }[]
  readonly bounds: Bounds
  readonly thinkMs: number
  readonly deadlineMs: number
  readonly sleepProbability: number
  readonly confirmedProbability: number
  /** How often a call goes to anybody, by a client that knows nothing of epochs. */
  readonly astrayProbability: number
}

export function drawClients(world: World, tightness: Tightness, partitionCount: number): ClientPlan {
  const policy = world.chance(0.7) ? 'lru' : 'lfu'
  const bytes = world.chance(0.2) ? { maxBytes: 800 * partitionCount } : {}
  const full = tightness === 'memory'
  return {
    maps: [
      { name: 'm', config: {} },
      {
        name: 'e',
        config: { eviction: { policy, maxEntries: 2 * partitionCount, ...bytes }, maxIdleMs: 3000 },
      },
      { name: 't', config: { ttlMs: world.pick([300, 1500, 6000]) } },
    ],
    bounds: {
      // More than a page of them, now and then.
      keys: full || world.chance(0.1) ? 90 : 3 + world.int(6),
      padBytes: full ? 6000 : world.pick([0, 200, 2000]),
      largeBytes: !full && world.chance(0.1) ? 60_000 : 0,
    },
    thinkMs: tightness === 'queues' ? 20 : world.pick([20, 60, 200]),
    confirmedProbability: world.pick([0.05, 0.1, 0.5]),
    astrayProbability: world.pick([0.02, 0.02, 0.2]),
    deadlineMs: tightness === 'sessions' ? 1500 : 5000,
    sleepProbability: tightness === 'sessions' ? 0.01 : world.chance(0.1) ? 0.002 : 0,
  }
}
