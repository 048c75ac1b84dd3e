/** Counts the records that compaction moves, in all simulated members of this thread. */

import { MapIndex } from '../../src/core/store/index.ts'

let count = 0

const move = MapIndex.prototype.move

MapIndex.prototype.move = function (this: MapIndex, hash, from, to): boolean {
  count++
  return move.call(this, hash, from, to)
}

/** How many records have been moved so far. */
export function moved(): number {
  return count
}
