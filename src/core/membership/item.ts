/**
 * Messages of the configuration log: what a member asks of the cluster's configuration, as a list of items.
 *
 * A message is one MessagePack object. Each item is judged alone by the fold (view.ts), so that the death of a
 * member is one message and not a thousand. Bytes come from other members, perhaps of another version: every field
 * is checked, an item of a kind or shape that is not known here is kept as `ignored` and does no harm.
 */

import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { defaultLimits } from '../base/limits.ts'
import { encodeValue } from '../wire/value.ts'
import { decodeValue } from '../wire/value-decode.ts'
import type { MapConfig, MemberId, MemberInfo, PartitionConfig, Table } from './config.ts'
import { genMax, replicasMax } from './config.ts'
import type { Fields } from './field.ts'
import {
  binary,
  count,
  id,
  maybe,
  oneOf,
  readMapConfig,
  readMember,
  text,
  writeMapConfig,
  writeMember,
} from './field.ts'
import { packConfigs, packTable, unpackConfigs, unpackTable } from './pack.ts'

export interface LogMessage {
  readonly v: 1
  readonly cluster: string
  readonly by: MemberId
  /** The boot of the log that the sender has validated. */
  readonly boot: string
  /** Of this message; not of the items in it, which may be sent again in another. */
  readonly id: string
  readonly items: readonly Item[]
}

/** How it is known that a member will not act again; `silent` is no proof. */
export type RemovalProof = (typeof PROOFS)[number]

const PROOFS = ['left', 'certificate', 'successor', 'silent'] as const

export type Item =
  /** Founds the cluster. Ignored where there is one. */
  | {
      readonly kind: 'genesis'
      readonly clusterId: string
      readonly partitionCount: number
      readonly backups: number
      readonly minInSync: number
      readonly gen: number
      readonly configs: readonly PartitionConfig[]
      /** What the founder saw of the store's incarnation: the evidence of the first boot. */
      readonly evidence: string
    }
  /** Changes a partition: `next.prev` must be its current id. */
  | { readonly kind: 'config'; readonly next: PartitionConfig }
  /** Declares a partition's data lost: an era more. Unless `forced`, its whole in-sync set must be proven dead. */
  | { readonly kind: 'lost'; readonly next: PartitionConfig; readonly forced: boolean }
  /** Tells a log that was rolled back of a newer config; `onto` is the id of the one that the log shows. */
  | { readonly kind: 'heal'; readonly state: PartitionConfig; readonly onto: string }
  /** Joins, or changes its state or address. */
  | { readonly kind: 'member'; readonly info: MemberInfo }
  | {
      readonly kind: 'remove'
      readonly member: MemberId
      readonly proof: RemovalProof
      readonly secret?: string | undefined
    }
  /**
   * Defines a map. The first of a name wins. `id` is the number that it is to have: nothing else comes of it, for data is
   * stored under it. `healed`: the log has shown it before, and may be told so while it is frozen.
   */
  | {
      readonly kind: 'map'
      readonly name: string
      readonly config: MapConfig
      readonly id?: number | undefined
      readonly healed?: boolean | undefined
    }
  /** The table to work towards, for the roster of this digest. */
  | { readonly kind: 'target'; readonly roster: string; readonly table: Table }
  /** The end of the log may have been lost: freezes configs until the roster has healed it. */
  | { readonly kind: 'boot'; readonly id: string; readonly prev: string; readonly evidence: string }
  /** The sender has healed the log since this boot. */
  | { readonly kind: 'report'; readonly boot: string }
  /** Ends the freeze of this boot without those that have not reported. */
  | { readonly kind: 'thaw'; readonly boot: string }
  /** Could not be read; never sent. */
  | { readonly kind: 'ignored'; readonly reason: 'malformed' | 'unknown' }

export type ItemOf<K extends Item['kind']> = Extract<Item, { readonly kind: K }>

/** Limits of one message. */
export const messageLimits: Limits = { ...defaultLimits, valueBytesMax: 8 * 1024 * 1024, depthMax: 8 }

/** Throws `TOO_LARGE`. */
export function encodeMessage(message: LogMessage): Uint8Array {
  const { v, cluster, by, boot, id, items } = message
  const w = new ByteWriter(1024)
  encodeValue(w, { v, cluster, by, boot, id, items: items.map(writeItem) }, messageLimits)
  return w.take()
}

/** The message, or undefined where the bytes are none. */
export function decodeMessage(bytes: Uint8Array): LogMessage | undefined {
  return readable(() => {
    const fields = decodeValue(bytes, 0, bytes.length, messageLimits) as Fields | null
    if (typeof fields !== 'object' || fields === null || fields.v !== 1) return undefined
    if (!Array.isArray(fields.items)) return undefined
    return {
      v: 1,
      cluster: text(fields, 'cluster', 255),
      by: id(fields, 'by'),
      boot: text(fields, 'boot', 64),
      id: text(fields, 'id', 64),
      items: fields.items.map(
        (item) => readable(() => readItem(item)) ?? { kind: 'ignored', reason: 'malformed' },
      ),
    }
  })
}

/** What `read` returns, or undefined where it finds the bytes malformed. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof GridError) return undefined
    throw error
  }
}

function writeItem(item: Item): unknown {
  switch (item.kind) {
    case 'genesis':
      return { ...item, configs: packConfigs(item.configs) }
    case 'config':
      return { kind: item.kind, next: packConfigs([item.next]) }
    case 'lost':
      return { ...item, next: packConfigs([item.next]) }
    case 'heal':
      return { ...item, state: packConfigs([item.state]) }
    case 'member':
      return { kind: item.kind, info: writeMember(item.info) }
    case 'remove':
      return {
        kind: item.kind,
        member: item.member,
        proof: item.proof,
        ...(item.secret === undefined ? {} : { secret: item.secret }),
      }
    case 'map':
      return {
        kind: item.kind,
        name: item.name,
        config: writeMapConfig(item.config),
        ...(item.id === undefined ? {} : { id: item.id }),
        ...(item.healed ? { healed: true } : {}),
      }
    case 'target':
      return { ...item, table: packTable(item.table) }
    case 'boot':
    case 'report':
    case 'thaw':
    case 'ignored':
      return item
  }
}

function readItem(value: unknown): Item {
  if (typeof value !== 'object' || value === null) return { kind: 'ignored', reason: 'malformed' }
  const fields = value as Fields
  switch (fields.kind) {
    case 'genesis':
      return {
        kind: 'genesis',
        clusterId: text(fields, 'clusterId', 255, 1),
        partitionCount: count(fields, 'partitionCount', 0xffff, 1),
        backups: count(fields, 'backups', replicasMax - 1),
        minInSync: count(fields, 'minInSync', replicasMax, 1),
        gen: count(fields, 'gen', genMax, 1),
        configs: unpackConfigs(binary(fields, 'configs')),
        evidence: text(fields, 'evidence', 1024),
      }
    case 'config':
      return { kind: 'config', next: oneConfig(fields, 'next') }
    case 'lost':
      return { kind: 'lost', next: oneConfig(fields, 'next'), forced: fields.forced === true }
    case 'heal':
      return { kind: 'heal', state: oneConfig(fields, 'state'), onto: id(fields, 'onto') }
    case 'member':
      return { kind: 'member', info: readMember(fields.info) }
    case 'remove':
      return {
        kind: 'remove',
        member: id(fields, 'member'),
        proof: oneOf(fields, 'proof', PROOFS),
        secret: maybe(fields, 'secret', (f, name) => text(f, name, 255)),
      }
    case 'map':
      return {
        kind: 'map',
        name: text(fields, 'name', 255, 1),
        config: readMapConfig(fields.config),
        ...(fields.id === undefined ? {} : { id: count(fields, 'id', 0xffff, 1) }),
        ...(fields.healed === true ? { healed: true } : {}),
      }
    case 'target':
      return {
        kind: 'target',
        roster: text(fields, 'roster', 64),
        table: unpackTable(binary(fields, 'table')),
      }
    case 'boot':
      return {
        kind: 'boot',
        id: text(fields, 'id', 64, 1),
        prev: text(fields, 'prev', 64),
        evidence: text(fields, 'evidence', 1024),
      }
    case 'report':
      return { kind: 'report', boot: text(fields, 'boot', 64) }
    case 'thaw':
      return { kind: 'thaw', boot: text(fields, 'boot', 64) }
    default:
      return { kind: 'ignored', reason: 'unknown' }
  }
}

function oneConfig(fields: Fields, name: string): PartitionConfig {
  const [config, ...more] = unpackConfigs(binary(fields, name))
  if (config === undefined || more.length > 0) throw new GridError('MALFORMED', `${name} is not one config`)
  return config
}
