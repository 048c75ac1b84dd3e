/**
 * The words of the configuration: who holds which partition since when, who is a member, which maps there are.
 *
 * A partition's configs form a chain: each names the id of the one before it, and its epoch is larger. The log
 * decides which chain is the true one (view.ts); this file only says what a config is and when it is well formed.
 */

/** An incarnation: the id of one process start, 32 hexadecimal digits, never used again. */
export type MemberId = string

/** The age of a config: `gen * 2 ** 32 + n`, so that epochs compare as numbers. */
export type Epoch = number

const GEN = 2 ** 32

/** The largest generation whose epochs are still exact numbers. */
export const genMax = 2 ** 21 - 1

export function epochOf(gen: number, n: number): Epoch {
  return gen * GEN + n
}

export function genOf(epoch: Epoch): number {
  return Math.floor(epoch / GEN)
}

export function nOf(epoch: Epoch): number {
  return epoch % GEN
}

/** The epoch of a successor of a config of `current`, in a cluster whose generation is `gen`. */
export function nextEpoch(current: Epoch, gen: number): Epoch {
  return genOf(current) < gen ? epochOf(gen, nOf(current) + 1) : current + 1
}

export interface PartitionConfig {
  readonly partition: number
  readonly epoch: Epoch
  /** 32 hexadecimal digits. */
  readonly id: string
  /** The id of the config before this one; empty in the first. */
  readonly prev: string
  readonly owner: MemberId
  /** The id of the config in which this owner became the owner. */
  readonly ownership: string
  /** Every replica that a write waits for, the owner among them. */
  readonly inSync: readonly MemberId[]
  /** Rises when data of the partition was declared lost. */
  readonly era: number
  readonly reason: string
  readonly by: MemberId
}

export type MemberState = 'joining' | 'active' | 'leaving'

export interface MemberInfo {
  readonly id: MemberId
  readonly name: string
  /** `host:port`, as other members and clients reach it. */
  readonly address: string
  readonly zone: string
  /** The machine; the lowest zone. */
  readonly host: string
  readonly version: string
  readonly state: MemberState
  /** The hash of the secret that a death certificate reveals; empty where there is none. */
  readonly secretHash: string
}

export interface MapConfig {
  readonly ttlMs?: number | undefined
  readonly maxIdleMs?: number | undefined
  readonly eviction?: EvictionConfig | undefined
}

export interface EvictionConfig {
  readonly policy: 'lru' | 'lfu'
  readonly maxEntries?: number | undefined
  readonly maxBytes?: number | undefined
}

export interface MapDefinition {
  /** Its number in the order of the fold, from 1. */
  readonly id: number
  readonly name: string
  readonly config: MapConfig
}

/** Rows of members: the owner first, then the backups; one row for each partition. */
export type Table = readonly (readonly MemberId[])[]

/** The most replicas that one config can name. */
export const replicasMax = 255
export const eraMax = 0xffff

const ID = /^[0-9a-f]{32}$/

/** Whether a text is an id: 32 lower-case hexadecimal digits. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value)
}

/** Whether a config makes sense by itself, in a cluster of `partitionCount` partitions. */
export function isWellFormed(config: PartitionConfig, partitionCount: number): boolean {
  const { partition, epoch, inSync, era } = config
  return (
    isCount(partition, partitionCount - 1) &&
    Number.isSafeInteger(epoch) &&
    epoch > 0 &&
    isCount(era, eraMax) &&
    inSync.length > 0 &&
    inSync.length <= replicasMax &&
    inSync.includes(config.owner) &&
    new Set(inSync).size === inSync.length
  )
}

/** The configuration that is to replace `config`. Another owner begins another ownership. */
export function successorOf(
  config: PartitionConfig,
  change: Pick<PartitionConfig, 'epoch' | 'id' | 'reason' | 'by'> & {
    readonly owner?: MemberId
    readonly inSync?: readonly MemberId[]
  },
): PartitionConfig {
  const next = { ...config, ...change, prev: config.id }
  return next.owner === config.owner ? next : { ...next, ownership: next.id }
}

/** Whether `value` is an integer in `[0, max]`. */
export function isCount(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max
}
