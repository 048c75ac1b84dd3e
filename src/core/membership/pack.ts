/**
 * Many configs, or a whole table, in few bytes.
 *
 * A cluster of thousands of partitions must fit into one message of the log (NATS: 1 MB unless configured
 * otherwise). So the members' ids stand once, in a dictionary in front, and rows refer to it by u16; ids are 16
 * bytes. Layout: u16 count of members, their ids, u16 count of rows, the rows.
 */

import { assert } from '../base/assert.ts'
import { ByteReader, ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { MemberId, PartitionConfig, Table } from './config.ts'
import { epochOf, genMax, genOf, nOf } from './config.ts'

const ID_BYTES = 16
const HAS_PREV = 1
const NEW_OWNERSHIP = 2

export function packConfigs(configs: readonly PartitionConfig[]): Uint8Array {
  const members = new Dictionary()
  for (const { inSync, by } of configs) {
    for (const member of inSync) members.add(member)
    members.add(by)
  }
  const w = new ByteWriter(256)
  members.write(w)
  w.u16(configs.length)
  for (const config of configs) writeConfig(w, config, members)
  return w.take()
}

/** Throws `MALFORMED`. What the configs say is not judged here. */
export function unpackConfigs(bytes: Uint8Array): PartitionConfig[] {
  const r = new ByteReader(bytes)
  const members = readDictionary(r)
  const configs: PartitionConfig[] = []
  const count = r.u16()
  for (let i = 0; i < count; i++) configs.push(readConfig(r, members))
  r.done()
  return configs
}

function writeConfig(w: ByteWriter, config: PartitionConfig, members: Dictionary): void {
  const ownershipIsNew = config.ownership === config.id
  w.u16(config.partition)
  w.u24(genOf(config.epoch))
  w.u32(nOf(config.epoch))
  w.u8((config.prev === '' ? 0 : HAS_PREV) | (ownershipIsNew ? NEW_OWNERSHIP : 0))
  writeId(w, config.id)
  if (config.prev !== '') writeId(w, config.prev)
  if (!ownershipIsNew) writeId(w, config.ownership)
  w.u8(config.inSync.indexOf(config.owner))
  w.u8(config.inSync.length)
  for (const member of config.inSync) w.u16(members.indexOf(member))
  w.u16(config.era)
  w.u16(members.indexOf(config.by))
  w.text(config.reason)
}

function readConfig(r: ByteReader, members: readonly MemberId[]): PartitionConfig {
  const partition = r.u16()
  const gen = r.u24()
  if (gen > genMax) throw new GridError('MALFORMED', `generation ${gen} is out of range`)
  const epoch = epochOf(gen, r.u32())
  const flags = r.u8()
  const id = readId(r)
  const prev = flags & HAS_PREV ? readId(r) : ''
  const ownership = flags & NEW_OWNERSHIP ? id : readId(r)
  const ownerAt = r.u8()
  const inSync = readRow(r, r.u8(), members)
  const owner = inSync[ownerAt]
  if (owner === undefined) throw new GridError('MALFORMED', 'the owner is not in sync')
  const era = r.u16()
  const by = memberAt(members, r.u16())
  return { partition, epoch, id, prev, owner, ownership, inSync, era, reason: r.text(), by }
}

export function packTable(table: Table): Uint8Array {
  const members = new Dictionary()
  for (const row of table) for (const member of row) members.add(member)
  const w = new ByteWriter(256)
  members.write(w)
  w.u16(table.length)
  for (const row of table) {
    w.u8(row.length)
    for (const member of row) w.u16(members.indexOf(member))
  }
  return w.take()
}

/** Throws `MALFORMED`. */
export function unpackTable(bytes: Uint8Array): MemberId[][] {
  const r = new ByteReader(bytes)
  const members = readDictionary(r)
  const table: MemberId[][] = []
  const count = r.u16()
  for (let i = 0; i < count; i++) table.push(readRow(r, r.u8(), members))
  r.done()
  return table
}

class Dictionary {
  private readonly indices = new Map<MemberId, number>()

  add(member: MemberId): void {
    if (!this.indices.has(member)) this.indices.set(member, this.indices.size)
  }

  indexOf(member: MemberId): number {
    return this.indices.get(member)!
  }

  write(w: ByteWriter): void {
    assert(this.indices.size <= 0xffff, 'more members than a dictionary can hold')
    w.u16(this.indices.size)
    for (const member of this.indices.keys()) writeId(w, member)
  }
}

function readDictionary(r: ByteReader): MemberId[] {
  const members: MemberId[] = []
  const count = r.u16()
  for (let i = 0; i < count; i++) members.push(readId(r))
  return members
}

function readRow(r: ByteReader, size: number, members: readonly MemberId[]): MemberId[] {
  const row: MemberId[] = []
  for (let i = 0; i < size; i++) row.push(memberAt(members, r.u16()))
  return row
}

function memberAt(members: readonly MemberId[], index: number): MemberId {
  const member = members[index]
  if (member === undefined) throw new GridError('MALFORMED', 'a member is missing from the dictionary')
  return member
}

function writeId(w: ByteWriter, id: string): void {
  assert(id.length === 2 * ID_BYTES, 'an id has 32 hexadecimal digits')
  w.reserve(ID_BYTES)
  const written = w.buffer.write(id, w.length, ID_BYTES, 'hex')
  assert(written === ID_BYTES, 'an id has 32 hexadecimal digits')
  w.length += ID_BYTES
}

function readId(r: ByteReader): string {
  const at = r.skip(ID_BYTES)
  return r.bytes.toString('hex', at, at + ID_BYTES)
}
