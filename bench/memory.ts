/** How much a benchmark may take of this machine's memory; where it wants more, it is made smaller and that is said. */

const SPARE_BYTES = 2 ** 30

/** The part of the wanted size, 1 or less, for which there is memory. */
export function shareThatFits(neededBytes: number, availableBytes = process.availableMemory()): number {
  const share = (availableBytes - SPARE_BYTES) / neededBytes
  if (share <= 0) throw new Error(`only ${mib(availableBytes)} of memory are available`)
  return Math.min(1, share)
}

export function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
