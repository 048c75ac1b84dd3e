/**
 * How many copies each member is to hold.
 *
 * Equal shares, except where copies of one partition could then not stand in different zones: a zone holds at most
 * one copy of each partition (or as few as there can be, where there are fewer zones than copies), and so does a
 * host. A zone that is full at its bound leaves the rest to the others, whose level rises (water-filling): spreading
 * goes before balance, for it is what survives the loss of a zone. Among members at the same level the whole numbers
 * differ by one at most; the larger ones go to those that hold more already, which moves least.
 */

/** Members by index: which zone and which host (numbered through all zones) each stands in. */
export interface Topology {
  readonly zones: Int32Array
  readonly hosts: Int32Array
}

export interface Shares {
  /** Copies for each member; their sum is `partitionCount * replicas`. */
  readonly copies: Int32Array
  /** How many copies of one partition a zone and a host may hold. */
  readonly perZone: number
  readonly perHost: number
}

/** `replicas` is at most the number of members; `held` is what each holds now. */
export function copyShares(
  topology: Topology,
  partitionCount: number,
  replicas: number,
  held: Int32Array,
): Shares {
  const tree = treeOf(topology)
  const total = partitionCount * replicas
  let perZone = Math.ceil(replicas / tree.length)
  let perHost = Math.ceil(replicas / tree.reduce((sum, zone) => sum + zone.hosts.length, 0))
  const room = (): number => fill(tree, partitionCount, perZone, perHost, partitionCount)
  // A zone with few hosts, or a host with few members, may not have room for its part.
  while (room() < total && perZone < replicas) perZone++
  while (room() < total && perHost < replicas) perHost++
  const levels = new Float64Array(held.length)
  spread(tree, partitionCount, perZone, perHost, total, levels)
  const copies = wholeShares(levels, total, held, partitionCount, [
    { group: topology.zones, max: partitionCount * perZone },
    { group: topology.hosts, max: partitionCount * perHost },
  ])
  return { copies, perZone, perHost }
}

interface Zone {
  readonly hosts: readonly (readonly number[])[]
}

function treeOf({ zones, hosts }: Topology): Zone[] {
  const tree = new Map<number, Map<number, number[]>>()
  for (let member = 0; member < zones.length; member++) {
    const zone = tree.get(zones[member]!) ?? new Map<number, number[]>()
    tree.set(zones[member]!, zone)
    const host = zone.get(hosts[member]!) ?? []
    zone.set(hosts[member]!, host)
    host.push(member)
  }
  return [...tree.values()].map((zone) => ({ hosts: [...zone.values()] }))
}

/** What all hold together when each member is filled up to `level`, within the bounds. */
function fill(tree: readonly Zone[], count: number, perZone: number, perHost: number, level: number): number {
  return tree.reduce((sum, zone) => sum + fillZone(zone, count, perZone, perHost, level), 0)
}

function fillZone(zone: Zone, count: number, perZone: number, perHost: number, level: number): number {
  let amount = 0
  for (const host of zone.hosts) amount += Math.min(count * perHost, host.length * level)
  return Math.min(count * perZone, amount)
}

/** Each member's level: the common one, or that of its zone or host where that is at its bound. */
function spread(
  tree: readonly Zone[],
  count: number,
  perZone: number,
  perHost: number,
  total: number,
  levels: Float64Array,
): void {
  const level = levelFor(count, total, (at) => fill(tree, count, perZone, perHost, at))
  for (const zone of tree) {
    const amount = fillZone(zone, count, perZone, perHost, level)
    const zoneLevel = levelFor(count, amount, (at) =>
      fillZone(zone, count, Number.POSITIVE_INFINITY, perHost, at),
    )
    for (const host of zone.hosts) {
      const hostLevel = Math.min(zoneLevel, (count * perHost) / host.length)
      for (const member of host) levels[member] = hostLevel
    }
  }
}

/** The lowest level in [0, max] at which `amountAt` reaches `amount`. */
function levelFor(max: number, amount: number, amountAt: (level: number) => number): number {
  let low = 0
  let high = max
  for (let i = 0; i < 64; i++) {
    const middle = (low + high) / 2
    if (amountAt(middle) < amount) low = middle
    else high = middle
  }
  return high
}

interface Bound {
  readonly group: Int32Array
  readonly max: number
}

const ROUNDING = 1e-6

/** Levels as whole numbers, down or up, whose sum is `total`. */
function wholeShares(
  levels: Float64Array,
  total: number,
  held: Int32Array,
  max: number,
  bounds: readonly Bound[],
): Int32Array {
  const shares = Int32Array.from(levels, (level) => Math.floor(level + ROUNDING))
  const sums = bounds.map(({ group }) => {
    const sum = new Map<number, number>()
    for (let m = 0; m < shares.length; m++) sum.set(group[m]!, (sum.get(group[m]!) ?? 0) + shares[m]!)
    return sum
  })
  let rest = total - shares.reduce((sum, share) => sum + share, 0)
  const order = Array.from(held.keys()).sort((a, b) => held[b]! - held[a]! || a - b)
  // Those whose level is no whole number come first; the other rounds only take up what rounding left.
  for (const round of [0, 1, 2])
    for (const m of order) {
      if (rest === 0) return shares
      if (shares[m]! >= max) continue
      if (round === 0 && levels[m]! - shares[m]! <= ROUNDING) continue
      if (round < 2 && bounds.some((b, i) => sums[i]!.get(b.group[m]!)! >= b.max)) continue
      shares[m] = shares[m]! + 1
      bounds.forEach((b, i) => void sums[i]!.set(b.group[m]!, sums[i]!.get(b.group[m]!)! + 1))
      rest--
    }
  return shares
}
