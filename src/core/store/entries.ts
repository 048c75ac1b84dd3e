/**
 * What the records of a log amount to: the indexes of all maps of one partition, and the effect of one record on them.
 */

import type { Block, BlockPool } from './block-pool.ts'
import { type BlockTable, locationOf, offsetOf } from './block-table.ts'
import { MapIndex } from './index.ts'
import { hashAt, keyLengthAt, keyStartAt, kindAt, mapAt, RecordKind, seqAt } from './record.ts'

export class Entries {
  /** By map id. */
  readonly maps: (MapIndex | undefined)[] = []
  /** Location of the record that the last applied one has replaced or removed, or -1. */
  superseded = -1
  readonly #table: BlockTable
  readonly #pool: BlockPool
  readonly #seed: number

  constructor(table: BlockTable, pool: BlockPool, seed: number) {
    this.#table = table
    this.#pool = pool
    this.#seed = seed | 0
  }

  /** Memory of all indexes. */
  get tableBytes(): number {
    let bytes = 0
    for (const index of this.maps) bytes += index?.tableBytes ?? 0
    return bytes
  }

  count(map: number): number {
    return this.maps[map]?.count ?? 0
  }

  find(map: number, hash: number, keyBytes: Uint8Array, keyStart: number, keyEnd: number): number {
    const index = this.maps[map]
    return index === undefined ? -1 : index.find(hash, keyBytes, keyStart, keyEnd)
  }

  /** The index of a map, made when it is first asked for. */
  indexOf(map: number): MapIndex {
    const index = this.maps[map]
    if (index !== undefined) return index
    const created = new MapIndex(this.#table.bytes, this.#pool, this.#seed)
    this.maps[map] = created
    return created
  }

  /** Lets the record at `offset` take effect, and sets `superseded`. */
  apply(block: Block, offset: number): void {
    const bytes = block.bytes
    this.superseded = -1
    const kind = kindAt(bytes, offset)
    if (kind === RecordKind.put) this.put(block, offset)
    else if (kind === RecordKind.remove) this.#remove(bytes, offset)
    else if (kind === RecordKind.clear) this.#clear(mapAt(bytes, offset))
  }

  put(block: Block, offset: number): void {
    const bytes = block.bytes
    const index = this.indexOf(mapAt(bytes, offset))
    const key = keyStartAt(bytes, offset)
    const end = key + keyLengthAt(bytes, offset)
    const before = index.put(hashAt(bytes, offset), bytes, key, end, locationOf(block, offset))
    index.liveBytes += this.#table.mark(block, offset)
    this.#kill(index, before)
  }

  #remove(bytes: Buffer, offset: number): void {
    const index = this.maps[mapAt(bytes, offset)]
    if (index === undefined) return
    const key = keyStartAt(bytes, offset)
    this.#kill(index, index.remove(hashAt(bytes, offset), bytes, key, key + keyLengthAt(bytes, offset)))
  }

  #kill(index: MapIndex, location: number): void {
    this.superseded = location
    if (location >= 0) index.liveBytes -= this.#table.killAt(location)
  }

  #clear(map: number): void {
    const index = this.maps[map]
    if (index === undefined) return
    let entries = 0
    for (const each of this.maps) entries += each?.count ?? 0
    // Walking the blocks in order is far cheaper an entry than jumping through the index, unless most are of other maps.
    if (index.count * 4 >= entries) this.#table.killMap(map)
    else index.eachLocation((location) => this.#table.killAt(location))
    index.clear()
    index.liveBytes = 0
  }

  /** Whether the key of the record at `offset` is here with the same or a newer seq. */
  hasAsNew(bytes: Buffer, offset: number): boolean {
    const key = keyStartAt(bytes, offset)
    const end = key + keyLengthAt(bytes, offset)
    const here = this.find(mapAt(bytes, offset), hashAt(bytes, offset), bytes, key, end)
    return here >= 0 && seqAt(this.#table.blockOf(here).bytes, offsetOf(here)) >= seqAt(bytes, offset)
  }

  reset(): void {
    for (const index of this.maps) index?.clear()
    this.maps.length = 0
    this.superseded = -1
  }
}
