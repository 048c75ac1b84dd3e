/**
 * Makes inputs: valid ones, damaged, and some that were never valid.
 *
 * An input is a function of (seed, decoder, number) alone, so that any of them can be made again. Two thirds get a single
 * change, since deeper code is reached only by what is nearly right; where the input is a MessagePack value, most changes
 * put a valid part in place of another.
 */

import { Chance, streamOf } from './chance.ts'
import type { Decoder } from './decoder.ts'
import { INPUT_BYTES_MAX, Input } from './input.ts'
import { Parts } from './part.ts'

/** Inputs of this size and more are rare: they cost as much as a hundred short ones. */
const LARGE_BYTES = 768
const LARGE_ONCE_IN = 2048

/** Lengths at the edges of their fields. */
const EXTREMES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0xff_ffff].concat([
  0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
])
const WIDTHS = [1, 2, 3, 4, 6]
/** Heads of containers, with a name where one is wanted: what deep nesting is made of. */
const NESTS = ['91', '81a161', '92c0', 'dc0001', '81a4246e6f74'].map((hex) => Buffer.from(hex, 'hex'))
const TOKENS = [
  0xc0, 0xc1, 0xc4, 0xc7, 0xca, 0xcb, 0xcf, 0xd3, 0xd4, 0xd6, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
]

interface Seed {
  readonly bytes: Buffer
  readonly parts: Parts
}

export class Mutator {
  readonly input = new Input()
  readonly #chance = new Chance()
  readonly #seeds: readonly Seed[]
  readonly #short: readonly Seed[]
  readonly #repair: Decoder['repair']
  readonly #stream: number
  readonly #hasParts: boolean
  /** What the input was made from. */
  #loaded: Seed
  #large = false
  /** Bytes that the input may have. */
  #room = LARGE_BYTES

  constructor(decoder: Decoder) {
    this.#seeds = decoder.seeds().map((seed) => {
      const bytes = Buffer.from(seed)
      if (bytes.length > INPUT_BYTES_MAX) throw new Error(`${decoder.name}: a seed of ${bytes.length} bytes`)
      return { bytes, parts: new Parts(bytes, decoder.valueAt?.(bytes) ?? -1) }
    })
    const short = this.#seeds.filter(({ bytes }) => bytes.length <= LARGE_BYTES)
    this.#short = short.length > 0 ? short : this.#seeds
    this.#loaded = this.#short[0]!
    this.#hasParts = decoder.valueAt !== undefined
    this.#repair = decoder.repair
    this.#stream = streamOf(decoder.name)
  }

  /** Makes input `index` of the campaign with this seed. */
  make(seed: number, index: number): void {
    const chance = this.#chance
    const { input } = this
    chance.begin(seed, this.#stream, index)
    this.#large = chance.once(LARGE_ONCE_IN)
    this.#room = this.#large ? INPUT_BYTES_MAX : 2 * LARGE_BYTES
    if (chance.once(48)) this.#random()
    else {
      this.#loaded = this.#pick()
      input.set(this.#loaded.bytes)
      if (!chance.once(64)) this.#change()
      while (chance.once(3)) this.#change()
      if (this.#repair !== undefined && !chance.once(8)) this.#repair(input.buffer, input.start, input.end)
    }
    input.surround(0xa5)
  }

  #pick(): Seed {
    const seeds = this.#large ? this.#seeds : this.#short
    return seeds[this.#chance.int(seeds.length)]!
  }

  #random(): void {
    const { input } = this
    const chance = this.#chance
    input.end = input.start + chance.int(chance.once(4) ? 256 : 24)
    for (let at = input.start; at < input.end; at++) input.buffer[at] = chance.u32() >>> 24
  }

  #change(): void {
    const which = this.#chance.int(this.#hasParts ? 32 : 13)
    if (which < 2) this.#flip()
    else if (which < 4) this.#set()
    else if (which < 5) this.input.buffer[this.#offset()]! += this.#chance.int(33) - 16
    else if (which < 6) this.input.end = this.input.start + this.#chance.int(this.input.size + 1)
    else if (which < 7) this.#splice(this.#pick().bytes)
    else if (which < 9) this.#extreme()
    else if (which < 10) this.#repeat()
    else if (which < 11) this.#cut()
    else if (which < 12) this.#nest()
    else if (which < 13) this.#fill()
    else if (which < 22) this.#swap(this.#loaded.parts.values, this.#pick(), 'values')
    else if (which < 25) this.#swap(this.#loaded.parts.names, this.#pick(), 'names')
    else if (which < 28) this.#swap(this.#loaded.parts.members, this.#pick(), 'members')
    else this.#addMember(this.#pick())
  }

  /** An offset within the input; more often near its beginning, where lengths and types stand. */
  #offset(): number {
    const size = Math.max(1, this.input.size)
    const chance = this.#chance
    return this.input.start + (chance.once(4) ? chance.int(Math.min(size, 24)) : chance.int(size))
  }

  #flip(): void {
    this.input.buffer[this.#offset()]! ^= 1 << this.#chance.int(8)
  }

  #set(): void {
    const chance = this.#chance
    const byte = chance.once(2) ? TOKENS[chance.int(TOKENS.length)]! : chance.u32() >>> 24
    this.input.buffer[this.#offset()] = byte
  }

  /** The beginning of this input and the end of a valid one. */
  #splice(other: Buffer): void {
    const { input } = this
    const at = this.#offset()
    const same = Math.min(at - input.start, other.length)
    const from = this.#chance.once(2) ? same : this.#chance.int(other.length + 1)
    input.replace(at, input.end - at, other, from, other.length, this.#room)
  }

  /** An extreme number, or one near what is left, in place of what may be a length, in either order of bytes. */
  #extreme(): void {
    const { input } = this
    const chance = this.#chance
    const width = WIDTHS[chance.int(WIDTHS.length)]!
    if (input.size < width) return
    const at = input.start + chance.int(input.size - width + 1)
    const near = Math.max(0, input.end - at - chance.int(12))
    const value = chance.once(4) ? near : EXTREMES[chance.int(EXTREMES.length)]!
    const fitting = Math.min(value, 256 ** width - 1)
    if (chance.once(2)) input.buffer.writeUIntLE(fitting, at, width)
    else input.buffer.writeUIntBE(fitting, at, width)
  }

  #repeat(): void {
    const { input } = this
    const at = this.#offset()
    const count = Math.min(1 + this.#chance.int(this.#large ? 256 : 24), input.end - at)
    if (count <= 0) return
    const block = Buffer.from(input.buffer.subarray(at, at + count))
    for (let i = this.#chance.int(this.#large ? 1000 : 8); i >= 0; i--)
      if (!input.replace(at, 0, block, 0, count, this.#room)) return
  }

  #cut(): void {
    const at = this.#offset()
    this.input.close(at, Math.max(0, Math.min(1 + this.#chance.int(16), this.input.end - at)))
  }

  #nest(): void {
    const head = NESTS[this.#chance.int(NESTS.length)]!
    const at = this.#offset()
    for (let i = this.#chance.int(this.#large ? 2000 : 48); i >= 0; i--)
      if (!this.input.replace(at, 0, head, 0, head.length, this.#room)) return
  }

  #fill(): void {
    const { input } = this
    const at = this.#offset()
    const most = this.#large ? INPUT_BYTES_MAX : 12
    const count = Math.min(1 + this.#chance.int(most), input.end - at)
    input.buffer.fill(this.#chance.u32() >>> 24, at, at + Math.max(0, count))
  }

  /** A part of another valid input in place of one of this, as far as that still stands where it was. */
  #swap(own: readonly number[], { bytes, parts }: Seed, kind: 'values' | 'names' | 'members'): void {
    const other = parts[kind]
    if (own.length === 0 || other.length === 0) return
    const hole = 2 * this.#chance.int(own.length / 2)
    const part = 2 * this.#chance.int(other.length / 2)
    const at = own[hole]!
    const count = own[hole + 1]! - at
    this.input.replace(this.input.start + at, count, bytes, other[part]!, other[part + 1]!, this.#room)
  }

  /** One more member, from another valid input, in an object of this one. */
  #addMember({ bytes, parts }: Seed): void {
    const { objects } = this.#loaded.parts
    const { members } = parts
    if (objects.length === 0 || members.length === 0) return
    const at = this.input.start + objects[2 * this.#chance.int(objects.length / 2)]!
    const part = 2 * this.#chance.int(members.length / 2)
    const added = this.input.replace(at + 1, 0, bytes, members[part]!, members[part + 1]!, this.#room)
    if (added && this.input.buffer[at]! < 0x8f) this.input.buffer[at]!++
  }
}
