/**
 * Resume tokens: the positions of all partitions of a watch, as opaque text.
 *
 * `u8 1 · id cluster · u16 map · u16 partitions · partitions × (varint era + 1, varint seq; or 0 for "begin again") ·
 * u32 checksum`, in base64url: about 4 bytes a partition. The checksum catches text that was cut or mistyped, not
 * malice: a forged token can at worst ask for changes that the forger may watch anyway.
 */

import { ByteReader, ByteWriter, getU32 } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { hashBytes } from '../core/ring/hash.ts'
import { readId, writeId } from '../core/wire/message.ts'

const FORM = 1
/** What a subscription can carry. */
const ERA_MAX = 0xffff
const SEQ_MAX = 0xffff_ffff_ffff
/** No token of 4,096 partitions is longer. */
const CHARS_MAX = 64 * 1024

/** How far a watch has come in each partition: the changes up to and including `seqs[p]` of `eras[p]`. */
export class Positions {
  readonly eras: number[]
  /** -1: begin again. */
  readonly seqs: number[]

  constructor(eras: number[], seqs: number[]) {
    this.eras = eras
    this.seqs = seqs
  }

  static none(partitionCount: number): Positions {
    return new Positions(
      new Array<number>(partitionCount).fill(0),
      new Array<number>(partitionCount).fill(-1),
    )
  }

  set(partition: number, era: number, seq: number): void {
    this.eras[partition] = era
    this.seqs[partition] = seq
  }

  copy(): Positions {
    return new Positions(this.eras.slice(), this.seqs.slice())
  }
}

export function encodeToken(clusterId: string, map: number, positions: Positions): string {
  const { eras, seqs } = positions
  const w = new ByteWriter(64 + 8 * seqs.length)
  w.u8(FORM)
  writeId(w, clusterId)
  w.u16(map)
  w.u16(seqs.length)
  for (let p = 0; p < seqs.length; p++) {
    if (seqs[p]! < 0) w.u8(0)
    else {
      writeVarint(w, eras[p]! + 1)
      writeVarint(w, seqs[p]!)
    }
  }
  w.u32(hashBytes(w.buffer, w.start, w.length))
  return w.buffer.toString('base64url', w.start, w.length)
}

/** @throws GridError `BAD_TOKEN` */
export function decodeToken(
  token: unknown,
  clusterId: string,
  map: number,
  partitionCount: number,
): Positions {
  if (typeof token !== 'string' || token.length > CHARS_MAX) throw bad('it is none of ours')
  const bytes = Buffer.from(token, 'base64url')
  const end = bytes.length - 4
  if (end < 21 || getU32(bytes, end) !== hashBytes(bytes, 0, end)) throw bad('it is damaged')
  try {
    const r = new ByteReader(bytes, 0, end)
    if (r.u8() !== FORM) throw bad('it was made by another version of actorgrid')
    if (readId(r) !== clusterId) throw bad('it was made by another cluster')
    if (r.u16() !== map) throw bad('it was made for another map')
    if (r.u16() !== partitionCount) throw bad('it names another number of partitions')
    const positions = Positions.none(partitionCount)
    for (let p = 0; p < partitionCount; p++) {
      const era = readVarint(r) - 1
      const seq = era < 0 ? -1 : readVarint(r)
      if (era > ERA_MAX || seq > SEQ_MAX) throw bad('it is damaged')
      if (seq >= 0) positions.set(p, era, seq)
    }
    r.done()
    return positions
  } catch (error) {
    if (error instanceof GridError && error.code === 'BAD_TOKEN') throw error
    throw bad('it is damaged')
  }
}

function bad(why: string): GridError {
  return new GridError('BAD_TOKEN', `the resume token cannot be used: ${why}`)
}

/** LEB128 (DWARF), by division because positions are wider than 32 bits. */
function writeVarint(w: ByteWriter, value: number): void {
  while (value >= 0x80) {
    w.u8((value % 0x80) | 0x80)
    value = Math.floor(value / 0x80)
  }
  w.u8(value)
}

function readVarint(r: ByteReader): number {
  let value = 0
  let scale = 1
  for (let i = 0; i < 7; i++) {
    const byte = r.u8()
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 0x80
  }
  throw bad('it is damaged')
}
