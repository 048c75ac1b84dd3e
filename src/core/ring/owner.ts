/**
 * Chooses owners among the copies: equal shares, by as few promotions as can be.
 *
 * Whoever owns a partition keeps it unless it owns too many. Then the ownership passes to a backup of that partition,
 * or, where none of its backups has room, along the shortest chain of such hand-overs (augmenting paths, as in
 * bipartite matching; Hopcroft and Karp, 1973).
 */

import type { Seats } from './seat.ts'
import { equalShares } from './share.ts'

export function balanceOwners(seats: Seats): void {
  const { holder, replicas, partitionCount } = seats
  const owned = Array.from(seats.held, (): Set<number> => new Set())
  for (let p = 0; p < partitionCount; p++) owned[holder[p * replicas]!]!.add(p)
  const counts = Int32Array.from(owned, (set) => set.size)
  const shares = equalShares(partitionCount, counts)

  /** Makes the member on `seat` the owner of its partition. */
  const promote = (seat: number): void => {
    const partition = Math.floor(seat / replicas)
    owned[holder[partition * replicas]!]!.delete(partition)
    owned[holder[seat]!]!.add(partition)
    seats.swap(partition * replicas, seat)
  }

  for (let m = 0; m < owned.length; m++)
    while (owned[m]!.size > shares[m]!) {
      const chain = shortestChain(seats, owned, m, (to) => owned[to]!.size < shares[to]!)
      if (!chain) break
      for (const seat of chain) promote(seat)
    }
}

/** Seats whose promotion, one after the other, takes one ownership from `from` and gives one to a member with room. */
function shortestChain(
  { holder, replicas }: Seats,
  owned: readonly ReadonlySet<number>[],
  from: number,
  hasRoom: (member: number) => boolean,
): number[] | undefined {
  const seatOf = new Map<number, number>([[from, -1]])
  const queue = [from]
  for (const giver of queue)
    for (const partition of owned[giver]!)
      for (let seat = partition * replicas + 1; seat < (partition + 1) * replicas; seat++) {
        const taker = holder[seat]!
        if (seatOf.has(taker)) continue
        seatOf.set(taker, seat)
        if (!hasRoom(taker)) {
          queue.push(taker)
          continue
        }
        const chain: number[] = []
        for (let m = taker; m !== from; ) {
          const at = seatOf.get(m)!
          chain.push(at)
          m = holder[Math.floor(at / replicas) * replicas]!
        }
        return chain
      }
  return undefined
}
