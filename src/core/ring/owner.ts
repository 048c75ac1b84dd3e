/**
 * Chooses owners among the copies: equal shares, by as few promotions as can be.
 *
 * Whoever owns a partition keeps it unless it owns too many. Then the ownership passes to a backup of that partition,
 * or, where none of its backups has room, along the shortest chain of such hand-overs (augmenting paths, as in
 * bipartite matching; Hopcroft and Karp, 1973).
 */

import type { Seats } from './seat.ts'

export function balanceOwners(seats: Seats): void {
  const { holder, replicas, partitionCount } = seats
  const owned = Array.from(seats.held, (): Set<number> => new Set())
  for (let p = 0; p < partitionCount; p++) {
    const first = p * replicas
    if (seats.isNew(p)) {
      // Nobody to stick to: whoever owns least so far.
      let least = first
      for (let seat = first + 1; seat < first + replicas; seat++)
        if (owned[holder[seat]!]!.size < owned[holder[least]!]!.size) least = seat
      seats.swap(first, least)
    }
    owned[holder[first]!]!.add(p)
  }
  const most = Math.ceil(partitionCount / owned.length)
  const least = Math.floor(partitionCount / owned.length)

  /** Makes the member on `seat` the owner of its partition. */
  const promote = (seat: number): void => {
    const partition = Math.floor(seat / replicas)
    owned[holder[partition * replicas]!]!.delete(partition)
    owned[holder[seat]!]!.add(partition)
    seats.swap(partition * replicas, seat)
  }

  /** Passes an ownership from one who has more than `above` to one who has less than `below`. */
  const pass = (above: number, below: number): boolean => {
    const from = Array.from(owned.keys()).filter((m) => owned[m]!.size > above)
    const hasRoom = (member: number): boolean => owned[member]!.size < below
    // Backups that hold the data first: a new copy has to be made before it can own.
    const chain =
      (seats.isSticky && shortestChain(seats, owned, from, hasRoom, true)) ||
      shortestChain(seats, owned, from, hasRoom, false)
    chain?.forEach(promote)
    return chain !== undefined
  }

  while (pass(most, least) || pass(most, most) || pass(least, least)) {}
}

/** Seats whose promotion, all of them, takes one ownership from one of `from` and gives one to a member with room. */
function shortestChain(
  seats: Seats,
  owned: readonly ReadonlySet<number>[],
  from: readonly number[],
  hasRoom: (member: number) => boolean,
  keptOnly: boolean,
): number[] | undefined {
  const { holder, replicas } = seats
  /** The seat whose promotion makes a member an owner once more; -1 where a chain begins. */
  const seatOf = new Map(from.map((member) => [member, -1]))
  const queue = [...from]
  for (const giver of queue)
    for (const partition of owned[giver]!)
      for (let seat = partition * replicas + 1; seat < (partition + 1) * replicas; seat++) {
        const taker = holder[seat]!
        if (seatOf.has(taker) || (keptOnly && !seats.wasHeld(partition, taker))) continue
        seatOf.set(taker, seat)
        if (hasRoom(taker)) return chainTo(taker)
        queue.push(taker)
      }
  return undefined

  function chainTo(member: number): number[] {
    const chain: number[] = []
    for (let seat = seatOf.get(member)!; seat !== -1; seat = seatOf.get(member)!) {
      chain.push(seat)
      member = holder[Math.floor(seat / replicas) * replicas]!
    }
    return chain
  }
}
