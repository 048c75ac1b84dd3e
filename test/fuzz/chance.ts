/**
 * Chance for one input: a generator that is seeded anew for each, so that input number 12,345,678 can be made alone.
 *
 * sfc32 as in core/base/random.ts, but without closures and with integers, for it runs a hundred million times.
 */

export class Chance {
  #a = 0
  #b = 0
  #c = 0
  #d = 1

  /** Points the generator at input `index` of the stream `(seed, stream)`. */
  begin(seed: number, stream: number, index: number): void {
    this.#a = Math.imul(index ^ 0x2545f491, 0x9e3779b1) ^ (index / 0x1_0000_0000)
    this.#b = seed | 0
    this.#c = stream | 0
    this.#d = 1
    for (let i = 0; i < 8; i++) this.u32()
  }

  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t
    this.#c |= 0
    return t >>> 0
  }

  /** An integer in [0, bound), for bounds far below 2^32. */
  int(bound: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * bound)
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.int(times) === 0
  }
}

/** A number for a name: FNV-1a. */
export function streamOf(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
