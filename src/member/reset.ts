/**
 * Declaring a loss by hand: partitions none of whose replicas will come back begin anew, empty.
 *
 * Members do so by themselves only where every replica is proven dead. A replica that is merely silent may hold all the
 * data, and may still be serving clients that nobody else can reach, so only a person can give it up. The declaration is
 * an item of the configuration log like any other: it names the config that it replaces, so it loses against a
 * replica that has come back meanwhile, and a second one of the same loss changes nothing.
 */

import type { Control } from '../control/control.ts'
import { GridError } from '../core/base/errors.ts'
import type { PartitionConfig } from '../core/membership/config.ts'
import type { Item } from '../core/membership/item.ts'
import {
  heirOf,
  type Loss,
  type LostReplica,
  lossOf,
  lostConfig,
  replicasText,
} from '../core/membership/loss.ts'
import { activeMembers } from '../core/membership/roster.ts'
import type { View } from '../core/membership/view.ts'
import { LogFollower, newId } from './log-follower.ts'

/** Longer than the second between two announcements of a member; it also answers when asked. */
const HEAR_MS = 1500
const AGAIN_MS = 500
/** Longer than a log that was rolled back may be frozen. */
const RESET_WITHIN_MS = 60_000
/** Declarations in one message. */
const ITEMS_MAX = 1000

export interface LostPartition {
  readonly partition: number
  /** The era whose data is out of reach. */
  readonly era: number
  /** Those that hold the data, if they still run; the owner first. */
  readonly replicas: readonly LostReplica[]
}

/** Who they are, for people. */
export function replicasOf({ replicas }: LostPartition): string {
  return replicasText(replicas)
}

export interface LossReport {
  readonly partitionCount: number
  readonly lost: readonly LostPartition[]
  /** Names of the maps that may have entries there. */
  readonly maps: readonly string[]
}

export interface ResetPartition {
  readonly partition: number
  readonly era: number
  /** Name of the new owner. */
  readonly owner: string
}

/**
 * The partitions that only an operator can begin anew, or those of them that are asked for. Opens and closes the control.
 *
 * @throws GridError `BAD_OPTION` where one that is asked for is not lost, `NOT_READY` without a cluster,
 * `CONTROL_UNAVAILABLE`
 */
export function findLost(control: Control, partitions?: readonly number[]): Promise<LossReport> {
  return following(control, async ({ view }) => ({
    partitionCount: view.partitionCount,
    lost: chosen(view, partitions).map(({ config, replicas }) => ({
      partition: config.partition,
      era: config.era,
      replicas,
    })),
    maps: view.maps.map(({ name }) => name),
  }))
}

/**
 * Declares lost partitions empty: all of them, or those that are given. Resolves when the log shows it. Opens and closes
 * the control.
 *
 * @throws GridError `BAD_OPTION` where one that is given is not lost, `NOT_READY` without a running member to own them,
 * or where one of the replicas is coming back, `TIMEOUT`, `CONTROL_UNAVAILABLE`
 */
export function resetPartitions(
  control: Control,
  partitions?: readonly number[],
): Promise<readonly ResetPartition[]> {
  return following(control, async (log) => {
    const losses = chosen(log.view, partitions)
    if (losses.length === 0) return []
    await census(log, losses)
    const living = activeMembers(log.view).filter(({ id }) => log.heard.has(id))
    if (living.length === 0)
      throw new GridError('NOT_READY', 'no member is running that could own partitions')
    const nexts = losses.map(({ config }) => {
      const heir = heirOf(log.view, config.partition, living)!
      return lostConfig(config, log.view.gen, heir, newId(), log.id)
    })
    await declare(log, nexts)
    return nexts.map(({ partition }) => {
      const { era, owner } = log.view.configs[partition]!
      return { partition, era, owner: log.view.members.get(owner)?.name ?? owner }
    })
  })
}

async function following<R>(control: Control, use: (log: LogFollower) => Promise<R>): Promise<R> {
  const log = await LogFollower.open(control)
  try {
    if (log.view.clusterId === '') throw new GridError('NOT_READY', 'no cluster has been founded there')
    return await use(log)
  } finally {
    await log.close()
  }
}

/** The losses that are meant. */
function chosen(view: View, partitions: readonly number[] | undefined): Loss[] {
  if (partitions === undefined) {
    return view.configs.flatMap(({ partition }) => lossOf(view, partition) ?? [])
  }
  return [...new Set(partitions)].map((partition) => {
    const loss = lossOf(view, partition)
    if (loss === undefined) throw new GridError('BAD_OPTION', whyNotLost(view, partition))
    return loss
  })
}

function whyNotLost(view: View, partition: number): string {
  const config = view.configs[partition]
  if (config === undefined) return `there is no partition ${partition}, only 0 to ${view.partitionCount - 1}`
  const there = config.inSync.find((id) => view.members.has(id))
  const name = there === undefined ? '' : view.members.get(there)!.name
  return there === undefined
    ? `partition ${partition} needs no reset: its replicas are proven dead, and the members begin it anew by themselves`
    : `partition ${partition} is not lost: its replica ${name} (${there}) is in the roster`
}

/** Hears who is running. One that holds what is to be given up has the whole time to speak. */
async function census(log: LogFollower, losses: readonly Loss[]): Promise<void> {
  const holders = losses.flatMap(({ replicas }) => replicas)
  const speaker = (): LostReplica | undefined => holders.find(({ id }) => log.heard.has(id))
  log.askWho()
  if (!(await log.until(() => speaker() !== undefined, HEAR_MS))) return
  throw new GridError(
    'NOT_READY',
    `${replicasText([speaker()!])} is running and coming back; nothing was reset`,
  )
}

/** Puts the new configs to the log until it shows for each that its era has begun. */
async function declare(log: LogFollower, nexts: readonly PartitionConfig[]): Promise<void> {
  const isOpen = ({ partition, era }: PartitionConfig): boolean => log.view.configs[partition]!.era < era
  const isDone = (): boolean => !nexts.some(isOpen)
  for (let waitedMs = 0; !isDone(); waitedMs += AGAIN_MS) {
    if (waitedMs >= RESET_WITHIN_MS)
      throw new GridError('TIMEOUT', `the log has not taken the declaration within ${waitedMs} ms`)
    const open = nexts.filter(isOpen)
    for (const { partition, prev } of open) {
      if (log.view.configs[partition]!.id !== prev || lossOf(log.view, partition) === undefined)
        throw new GridError('NOT_READY', `a replica of partition ${partition} has come back`, {
          applied: 'unknown',
        })
    }
    if (!log.view.boot.frozen) {
      const items = open.map((next): Item => ({ kind: 'lost', next, forced: true }))
      for (let i = 0; i < items.length; i += ITEMS_MAX) log.append(items.slice(i, i + ITEMS_MAX))
    }
    await log.until(isDone, AGAIN_MS)
  }
}
