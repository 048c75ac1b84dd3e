/**
 * The table: which members hold which partition, the owner first.
 *
 * A pure function of the members and the table before, so that every member can work it out and gets the same. Shares
 * (share.ts) are met exactly, and copies of one partition stand in different zones and on different hosts where there
 * are enough. It is sticky: a copy moves to a member that came or from one that left; between two that stay only where
 * shares or spreading could not be had otherwise, which is a rare thing. Owners are balanced by promotion, which moves
 * no data.
 *
 * In steps: keep what the table before says; give open places to the first member on the ring that has room; take from
 * members over their share for those under it; where the last ones do not fit, exchange along the shortest chain
 * (as in min-cost flow by successive shortest paths; Ahuja, Magnanti, Orlin, 1993, ch. 9); then mend places that break
 * the spreading; then choose owners.
 */

import { assert } from '../base/assert.ts'
import { balanceOwners } from './owner.ts'
import { Ring } from './ring.ts'
import { Seats } from './seat.ts'
import { copyShares } from './share.ts'

export interface PlacementMember {
  readonly id: string
  readonly zone: string
  /** The machine; the lowest zone. */
  readonly host: string
}

export interface PlacementInput {
  readonly partitionCount: number
  readonly backups: number
  readonly members: readonly PlacementMember[]
  /** The table before; rows and members that are not known any more are passed over. */
  readonly previous?: readonly (readonly string[])[] | undefined
}

/** Rows, one for each partition: the owner, then the backups, as many as there are members for. */
export function placePartitions(input: PlacementInput): string[][] {
  const { partitionCount, previous = [] } = input
  const members = [...input.members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const ids = members.map(({ id }) => id)
  assert(new Set(ids).size === ids.length && ids.length <= 0xffff, 'a member has one place in the roster')
  const replicas = Math.min(input.backups + 1, ids.length)
  if (replicas === 0) return Array.from({ length: partitionCount }, () => [])
  const topology = { zones: numbered(members, zoneName), hosts: numbered(members, hostName) }
  const seats = new Seats(partitionCount, replicas, topology)
  seats.keep(previous, ids)
  seats.aimFor(copyShares(topology, partitionCount, replicas, seats.held))
  fillFromRing(seats, ids)
  takeFromRich(seats)
  settleRest(seats)
  mendSpreading(seats)
  if (replicas > 1) balanceOwners(seats)
  return seats.rows(ids)
}

function zoneName({ zone }: PlacementMember): string {
  return zone
}

function hostName({ zone, host }: PlacementMember): string {
  return JSON.stringify([zone, host])
}

/** The members' groups, as numbers. */
function numbered(
  members: readonly PlacementMember[],
  nameOf: (member: PlacementMember) => string,
): Int32Array {
  const numbers = new Map<string, number>()
  return Int32Array.from(members, (member) => {
    const name = nameOf(member)
    if (!numbers.has(name)) numbers.set(name, numbers.size)
    return numbers.get(name)!
  })
}

function fillFromRing(seats: Seats, ids: readonly string[]): void {
  if (seats.open === 0) return
  const ring = new Ring(ids)
  for (let m = 0; m < ids.length; m++) if (!seats.isPoor(m)) ring.close(m)
  for (let p = 0; p < seats.partitionCount; p++)
    for (let seat = p * seats.replicas; seat < (p + 1) * seats.replicas; seat++) {
      if (seats.holder[seat] !== -1) continue
      const member = ring.find(p, (m) => seats.admits(seat, m, 'spread'))
      if (member === -1) continue
      seats.put(seat, member)
      if (!seats.isPoor(member)) ring.close(member)
    }
}

/**
 * Moves copies from members over their share straight to those under it, from the fullest first. Places that break the
 * spreading go first, for they are to be given up anyway; then such that each giver keeps its part of the owners'
 * places, which saves promotions; then any.
 */
function takeFromRich(seats: Seats): void {
  const { partitionCount, replicas, held, holder } = seats
  const stride = strideOf(partitionCount)
  const owned = seats.ownerCounts()
  const ownedMax = Math.ceil(partitionCount / held.length)

  const suits = (seat: number, pass: Pass): boolean => {
    if (pass === 'any') return true
    if (pass === 'cramped') return seats.isCramped(seat)
    const surplus = owned[holder[seat]!]! - ownedMax
    return seat % replicas === 0 ? surplus > 0 : seats.excess(seat) > surplus
  }
  const passes: Pass[] = seats.isSpread() ? ['owners', 'any'] : ['cramped', 'owners', 'any']
  for (let m = 0; m < held.length; m++)
    for (const pass of passes)
      for (let i = 0, p = m % partitionCount; i < partitionCount && seats.isPoor(m); i++) {
        let from = -1
        for (let seat = p * replicas; seat < (p + 1) * replicas; seat++) {
          if (seats.excess(seat) <= (from === -1 ? 0 : seats.excess(from))) continue
          if (suits(seat, pass) && seats.admits(seat, m, 'spread')) from = seat
        }
        if (from !== -1) {
          if (from % replicas === 0) {
            owned[holder[from]!] = owned[holder[from]!]! - 1
            owned[m] = owned[m]! + 1
          }
          seats.put(from, m)
        }
        p = (p + stride) % partitionCount
      }
}

type Pass = 'cramped' | 'owners' | 'any'

/** A step through all partitions that comes to each once and to neighbours late. */
function strideOf(count: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b))
  let stride = Math.max(1, Math.floor(count * 0.618))
  while (divisor(stride, count) !== 1) stride++
  return stride
}

/** Brings every member up to its share through chains of exchanges, giving up spreading only where it must. */
function settleRest(seats: Seats): void {
  for (const rule of ['spread', 'hosts', 'members'] as const)
    for (let m = 0; m < seats.held.length; m++) while (seats.isPoor(m) && seats.exchange(m, rule)) {}
  assert(seats.open === 0, 'every place has found a member')
}

/** Mending gives up after so many places for which there is no exchange. */
const FAILURES_MAX = 8

function mendSpreading(seats: Seats): void {
  let failures = 0
  for (let seat = 0; seat < seats.holder.length && failures < FAILURES_MAX; seat++) {
    if (!seats.isCramped(seat)) continue
    const member = seats.clear(seat)
    if (seats.exchange(member, 'spread')) continue
    seats.put(seat, member)
    failures++
  }
}
