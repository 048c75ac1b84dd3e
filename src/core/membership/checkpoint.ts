/**
 * A view as bytes: a checkpoint of the log, from which the fold goes on as if it had read everything before.
 *
 * All that decides about later items is in it, the counters too, so that two members agree whether they began at the
 * first entry or here. Configs and the table are packed (pack.ts); the rest is one MessagePack object.
 */

import { ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { Limits } from '../base/limits.ts'
import { defaultLimits } from '../base/limits.ts'
import { encodeValue } from '../wire/value.ts'
import { decodeValue } from '../wire/value-decode.ts'
import type { MapDefinition, PartitionConfig } from './config.ts'
import { genMax, isId, isWellFormed, replicasMax } from './config.ts'
import type { Fields } from './field.ts'
import {
  binary,
  count,
  fieldsOf,
  list,
  maybe,
  readMapConfig,
  readMember,
  text,
  writeMapConfig,
  writeMember,
} from './field.ts'
import { packConfigs, packTable, unpackConfigs, unpackTable } from './pack.ts'
import type { Boot, IgnoredReason, Target, View } from './view.ts'
import { countNamed, IGNORED_REASONS, membersMax, pastMax } from './view.ts'

const FORMAT = 1

export const checkpointLimits: Limits = {
  ...defaultLimits,
  valueBytesMax: 32 * 1024 * 1024,
  elementsMax: 1_000_000,
  depthMax: 8,
}

/** Throws `TOO_LARGE`. */
export function encodeView(view: View): Uint8Array {
  const { version, clusterId, gen, partitionCount, backups, minInSync, target, boot } = view
  const w = new ByteWriter(4096)
  const fields = {
    v: FORMAT,
    version,
    clusterId,
    gen,
    partitionCount,
    backups,
    minInSync,
    members: [...view.members.values()].map(writeMember),
    silent: [...view.silent.values()].map(writeMember),
    dead: [...view.dead],
    past: [...view.past].map(([id, info]) => (info ? writeMember(info) : id)),
    configs: packConfigs(view.configs),
    maps: view.maps.map(({ name, config }) => ({ name, config: writeMapConfig(config) })),
    target: target ? { roster: target.roster, table: packTable(target.table) } : null,
    boot: { ...boot, roster: [...boot.roster], reported: [...boot.reported] },
    ignored: { ...view.ignored },
  }
  encodeValue(w, fields, checkpointLimits)
  return w.take()
}

/** Throws `MALFORMED`. */
export function decodeView(bytes: Uint8Array): View {
  const fields = fieldsOf(decodeValue(bytes, 0, bytes.length, checkpointLimits))
  if (fields.v !== FORMAT) throw new GridError('MALFORMED', 'a checkpoint of another format')
  const partitionCount = count(fields, 'partitionCount', 0xffff)
  const configs = readConfigs(binary(fields, 'configs'), partitionCount)
  const maps = list(fields, 'maps').map((value, i): MapDefinition => {
    const map = fieldsOf(value)
    return { id: i + 1, name: text(map, 'name', 255, 1), config: readMapConfig(map.config) }
  })
  return {
    version: count(fields, 'version', Number.MAX_SAFE_INTEGER),
    clusterId: text(fields, 'clusterId', 255),
    gen: count(fields, 'gen', genMax),
    partitionCount,
    backups: count(fields, 'backups', replicasMax - 1),
    minInSync: count(fields, 'minInSync', replicasMax),
    members: readMembers(fields, 'members'),
    silent: readMembers(fields, 'silent'),
    dead: readIds(fields, 'dead'),
    past: maybe(fields, 'past', readPast) ?? new Map(),
    configs,
    named: countNamed(configs),
    maps,
    mapsByName: new Map(maps.map((map) => [map.name, map])),
    target: maybe(fields, 'target', (f, name) => readTarget(fieldsOf(f[name]), partitionCount)),
    boot: readBoot(fieldsOf(fields.boot)),
    ignored: readIgnored(fieldsOf(fields.ignored)),
  }
}

function readConfigs(bytes: Uint8Array, partitionCount: number): PartitionConfig[] {
  const configs = unpackConfigs(bytes)
  if (configs.length !== partitionCount) throw new GridError('MALFORMED', 'not one config for each partition')
  configs.forEach((config, p) => {
    if (config.partition !== p || !isWellFormed(config, partitionCount))
      throw new GridError('MALFORMED', `the config of partition ${p} makes no sense`)
  })
  return configs
}

function readMembers(fields: Fields, name: string): View['members'] {
  const members = list(fields, name).map(readMember)
  if (members.length > 2 * membersMax) throw new GridError('MALFORMED', `too many ${name}`)
  return new Map(members.map((info) => [info.id, info]))
}

function readIds(fields: Fields, name: string): Set<string> {
  const ids = list(fields, name)
  if (!ids.every(isId)) throw new GridError('MALFORMED', `${name} holds something that is no id`)
  return new Set(ids)
}

/** Members, and of the dead the ids alone. */
function readPast(fields: Fields, name: string): View['past'] {
  const rows = list(fields, name)
  if (rows.length > pastMax) throw new GridError('MALFORMED', `too many ${name}`)
  return new Map(
    rows.map((row) => {
      if (isId(row)) return [row, undefined]
      const info = readMember(row)
      return [info.id, info]
    }),
  )
}

function readTarget(fields: Fields, partitionCount: number): Target {
  const table = unpackTable(binary(fields, 'table'))
  if (table.length !== partitionCount) throw new GridError('MALFORMED', 'the table has other partitions')
  return { roster: text(fields, 'roster', 64), table }
}

function readBoot(fields: Fields): Boot {
  return {
    id: text(fields, 'id', 64),
    evidence: text(fields, 'evidence', 1024),
    roster: readIds(fields, 'roster'),
    reported: readIds(fields, 'reported'),
    frozen: fields.frozen === true,
  }
}

/** A reason that an older version did not know counts from zero. */
function readIgnored(fields: Fields): Record<IgnoredReason, number> {
  const counts = IGNORED_REASONS.map((reason) => [
    reason,
    fields[reason] === undefined ? 0 : count(fields, reason, Number.MAX_SAFE_INTEGER),
  ])
  return Object.fromEntries(counts) as Record<IgnoredReason, number>
}
