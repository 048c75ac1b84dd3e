/**
 * A table in the making: places (seats) of partitions, who sits where, and who has how much.
 *
 * Members are numbers here, and a partition's seats stand in a row of one flat array: seat = partition * replicas + i,
 * the owner's first. Everything counts exactly, so that a step can be tried and taken back.
 */

import type { Shares, Topology } from './share.ts'

/** What two copies of a partition must not share: zone and host, host only, or nothing but the member. */
export type SpreadRule = 'spread' | 'hosts' | 'members'

/** A step of a chain: `by` takes the seat of another. */
interface Link {
  readonly seat: number
  readonly by: number
  readonly after: number
}

export class Seats {
  readonly partitionCount: number
  readonly replicas: number
  /** The member on each seat, or -1. */
  readonly holder: Int32Array
  /** How many seats each member has. */
  readonly held: Int32Array
  /** Seats without a member. */
  open: number
  /** Whether anybody sat anywhere in the table before. */
  isSticky = false
  private readonly topology: Topology
  private shares: Shares
  /** Who sat in the partition before: changing these moves data. */
  private readonly before: Int32Array

  constructor(partitionCount: number, replicas: number, topology: Topology) {
    this.partitionCount = partitionCount
    this.replicas = replicas
    this.topology = topology
    this.open = partitionCount * replicas
    this.holder = new Int32Array(this.open).fill(-1)
    this.before = new Int32Array(this.open).fill(-1)
    this.held = new Int32Array(topology.zones.length)
    this.shares = { copies: new Int32Array(this.held.length), perZone: replicas, perHost: replicas }
  }

  /** Seats everyone as in a table before; those behind one who is gone move up. */
  keep(table: readonly (readonly string[])[], ids: readonly string[]): void {
    const indices = new Map(ids.map((id, index) => [id, index]))
    for (let p = 0; p < this.partitionCount; p++) {
      let seat = p * this.replicas
      const end = seat + this.replicas
      for (const id of table[p] ?? []) {
        const member = indices.get(id)
        if (member === undefined || seat === end || !this.admits(seat, member, 'members')) continue
        this.isSticky = true
        this.before[seat] = member
        this.put(seat++, member)
      }
    }
  }

  aimFor(shares: Shares): void {
    this.shares = shares
  }

  /** Whether the member has less than its share. */
  isPoor(member: number): boolean {
    return this.held[member]! < this.shares.copies[member]!
  }

  /** By how much the member on a seat is over its share. */
  excess(seat: number): number {
    const member = this.holder[seat]!
    return member === -1 ? 0 : this.held[member]! - this.shares.copies[member]!
  }

  /** Whether `member` may take this seat, whoever sits there now. */
  admits(seat: number, member: number, rule: SpreadRule): boolean {
    const { holder, replicas } = this
    const { zones, hosts } = this.topology
    const first = seat - (seat % replicas)
    let inZone = 0
    let onHost = 0
    for (let other = first; other < first + replicas; other++) {
      const neighbour = holder[other]!
      if (neighbour === -1 || other === seat) continue
      if (neighbour === member) return false
      if (zones[neighbour] === zones[member]) inZone++
      if (hosts[neighbour] === hosts[member]) onHost++
    }
    if (rule === 'members') return true
    return onHost < this.shares.perHost && (rule === 'hosts' || inZone < this.shares.perZone)
  }

  /** Whether the member on this seat stands too near to the others of its partition. */
  isCramped(seat: number): boolean {
    const member = this.holder[seat]!
    return member !== -1 && !this.admits(seat, member, 'spread')
  }

  /** Whether no seat is cramped. */
  isSpread(): boolean {
    for (let seat = 0; seat < this.holder.length; seat++) if (this.isCramped(seat)) return false
    return true
  }

  /** How many partitions each member owns. */
  ownerCounts(): Int32Array {
    const counts = new Int32Array(this.held.length)
    for (let seat = 0; seat < this.holder.length; seat += this.replicas) {
      const owner = this.holder[seat]!
      if (owner !== -1) counts[owner] = counts[owner]! + 1
    }
    return counts
  }

  put(seat: number, member: number): void {
    this.clear(seat)
    this.holder[seat] = member
    this.held[member] = this.held[member]! + 1
    this.open--
  }

  /** Empties a seat and returns who sat there, or -1. */
  clear(seat: number): number {
    const member = this.holder[seat]!
    if (member === -1) return -1
    this.holder[seat] = -1
    this.held[member] = this.held[member]! - 1
    this.open++
    return member
  }

  swap(a: number, b: number): void {
    const member = this.holder[a]!
    this.holder[a] = this.holder[b]!
    this.holder[b] = member
  }

  /** Whether nobody in the partition held a copy in the table before. */
  isNew(partition: number): boolean {
    const first = partition * this.replicas
    for (let seat = first; seat < first + this.replicas; seat++)
      if (this.wasHeld(partition, this.holder[seat]!)) return false
    return true
  }

  /** Whether a member held a copy of the partition in the table before. */
  wasHeld(partition: number, member: number): boolean {
    const first = partition * this.replicas
    for (let seat = first; seat < first + this.replicas; seat++) if (this.before[seat] === member) return true
    return false
  }

  rows(ids: readonly string[]): string[][] {
    return Array.from({ length: this.partitionCount }, (_, p) =>
      Array.from(this.holder.subarray(p * this.replicas, (p + 1) * this.replicas), (member) => ids[member]!),
    )
  }

  /**
   * Gives `member` one seat more: one that is open, or that of another member, which takes the seat of a third, and
   * so on, until one sits down on an open seat or is over its share. Of all such chains one that moves the fewest
   * kept copies. False, and nothing changed, where there is none.
   */
  exchange(member: number, rule: SpreadRule): boolean {
    const openSeats = this.openSeats()
    /** The seat through which each member would be displaced, by whom, and after how many moves of kept copies. */
    const via = new Map<number, Link>()
    const done = new Set<number>()
    let now = [member]
    let later: number[] = []
    for (let moves = 0; now.length > 0; moves++) {
      for (let i = 0; i < now.length; i++) {
        const taker = now[i]!
        if (done.has(taker)) continue
        done.add(taker)
        const seat = openSeats.find((open) => this.admits(open, taker, rule))
        if (seat !== undefined) {
          if (this.carryOut(taker, seat, via, rule)) return true
          continue
        }
        const rich = taker !== member && this.held[taker]! > this.shares.copies[taker]!
        if (rich) {
          const { seat, by } = via.get(taker)!
          if (this.carryOut(by, seat, via, rule)) return true
          continue
        }
        this.look(taker, rule, (next, at, moved) => {
          if (next === member || done.has(next)) return
          const after = moved ? moves + 1 : moves
          if (after >= (via.get(next)?.after ?? Number.POSITIVE_INFINITY)) return
          via.set(next, { seat: at, by: taker, after })
          ;(moved ? later : now).push(next)
        })
      }
      now = later
      later = []
    }
    return false
  }

  /** Tells of every member that `taker` could displace, where, and whether that moves data more than is undone. */
  private look(
    taker: number,
    rule: SpreadRule,
    tell: (member: number, seat: number, moved: boolean) => void,
  ): void {
    const { holder, before } = this
    for (let seat = 0; seat < holder.length; seat++) {
      const member = holder[seat]!
      if (member === -1 || !this.admits(seat, taker, rule)) continue
      const moved = before[seat] === member && !this.wasHeld(Math.floor(seat / this.replicas), taker)
      tell(member, seat, moved)
    }
  }

  /** Takes the last step of a chain first. A seat may have become unfit through a later step: then all is undone. */
  private carryOut(taker: number, seat: number, via: ReadonlyMap<number, Link>, rule: SpreadRule): boolean {
    const undo: { readonly seat: number; readonly member: number }[] = []
    for (let step: Pick<Link, 'seat' | 'by'> | undefined = { seat, by: taker }; step; ) {
      if (!this.admits(step.seat, step.by, rule)) {
        for (const { seat, member } of undo.reverse()) {
          if (member === -1) this.clear(seat)
          else this.put(seat, member)
        }
        return false
      }
      undo.push({ seat: step.seat, member: this.holder[step.seat]! })
      this.put(step.seat, step.by)
      step = via.get(step.by)
    }
    return true
  }

  private openSeats(): number[] {
    const seats: number[] = []
    if (this.open > 0)
      for (let seat = 0; seat < this.holder.length; seat++) if (this.holder[seat] === -1) seats.push(seat)
    return seats
  }
}
