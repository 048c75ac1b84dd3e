/**
 * Chance as a value: a seeded generator that is passed in wherever the core needs one.
 *
 * sfc32 (Doty-Humphrey, PractRand). Not for secrets: ids of production members come from the crypto module at
 * the edge.
 */

export interface Random {
  /** A float in [0, 1). */
  next(): number
}

export function seededRandom(seed: number): Random {
  let a = seed >>> 0
  let b = 0x9e3779b9
  let c = 0x243f6a88
  let d = 1
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return (t >>> 0) / 4294967296
  }
  for (let i = 0; i < 15; i++) next()
  return { next }
}

/** An integer in [0, bound). */
export function randomInt(random: Random, bound: number): number {
  return Math.floor(random.next() * bound)
}

/** 128 bits as 32 hexadecimal digits. */
export function randomId(random: Random): string {
  let id = ''
  for (let i = 0; i < 4; i++)
    id += Math.floor(random.next() * 4294967296)
      .toString(16)
      .padStart(8, '0')
  return id
}
