import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { tableMoves } from '../../../src/core/ring/moves.ts'
import type { PlacementMember } from '../../../src/core/ring/table.ts'
import { placePartitions } from '../../../src/core/ring/table.ts'

/** Ids that look like those of incarnations. */
function idOf(n: number): string {
  return (Math.imul(n + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0').repeat(4)
}

function members(count: number, zoneCount = 0, hostCount = count): PlacementMember[] {
  return Array.from({ length: count }, (_, n) => ({
    id: idOf(n),
    zone: zoneCount === 0 ? '' : `z${n % zoneCount}`,
    host: `h${n % hostCount}`,
  }))
}

function countBy(keys: readonly string[], all: readonly PlacementMember[]): number[] {
  const counts = new Map(all.map(({ id }) => [id, 0]))
  for (const key of keys) counts.set(key, counts.get(key)! + 1)
  return [...counts.values()]
}

function range(counts: readonly number[]): number {
  return Math.max(...counts) - Math.min(...counts)
}

/** The smallest number of different zones (or hosts) in any row. */
function spreadOf(table: readonly string[][], all: readonly PlacementMember[], of: 'zone' | 'host'): number {
  const group = new Map(
    all.map((member) => [member.id, of === 'zone' ? member.zone : `${member.zone} ${member.host}`]),
  )
  return Math.min(...table.map((row) => new Set(row.map((id) => group.get(id))).size))
}

function expectWellFormed(
  table: readonly string[][],
  all: readonly PlacementMember[],
  replicas: number,
): void {
  const ids = new Set(all.map(({ id }) => id))
  const size = Math.min(replicas, all.length)
  const wrong = table.filter(
    (row) => row.length !== size || new Set(row).size !== size || !row.every((id) => ids.has(id)),
  )
  expect(wrong).toEqual([])
}

describe('shares', () => {
  test.each([
    [1, 271, 0],
    [1, 271, 2],
    [2, 271, 1],
    [3, 271, 1],
    [5, 271, 2],
    [10, 271, 0],
    [10, 271, 2],
    [50, 271, 1],
    [300, 271, 1],
    [64, 4096, 2],
  ])(
    '%i members, %i partitions, %i backups: owners and copies within one of each other',
    (n, partitionCount, backups) => {
      const all = members(n)
      const table = placePartitions({ partitionCount, backups, members: all })
      expect(table.length).toBe(partitionCount)
      expectWellFormed(table, all, backups + 1)
      expect(range(countBy(table.flat(), all))).toBeLessThanOrEqual(1)
      expect(
        range(
          countBy(
            table.map((row) => row[0]!),
            all,
          ),
        ),
      ).toBeLessThanOrEqual(1)
    },
  )

  test('nobody is there: rows are empty', () => {
    expect(placePartitions({ partitionCount: 2, backups: 1, members: [] })).toEqual([[], []])
  })
})

describe('zones and hosts', () => {
  test.each([
    [6, 3, 1],
    [6, 3, 2],
    [7, 3, 1],
    [7, 3, 2],
    [4, 3, 2],
    [5, 2, 1],
    [20, 4, 2],
    [21, 10, 1],
  ])('%i members in %i zones with %i backups: all copies in different zones', (n, zoneCount, backups) => {
    const all = members(n, zoneCount)
    const table = placePartitions({ partitionCount: 271, backups, members: all })
    expectWellFormed(table, all, backups + 1)
    expect(spreadOf(table, all, 'zone')).toBe(backups + 1)
    expect(
      range(
        countBy(
          table.map((row) => row[0]!),
          all,
        ),
      ),
    ).toBeLessThanOrEqual(1)
    for (let zone = 0; zone < zoneCount; zone++) {
      const own = all.filter(({ zone: name }) => name === `z${zone}`)
      const copies = table.flat().filter((id) => own.some((member) => member.id === id))
      expect(range(countBy(copies, own))).toBeLessThanOrEqual(1)
    }
  })

  test('fewer zones than copies: as many zones as there are, and different hosts', () => {
    const all = members(8, 2)
    const table = placePartitions({ partitionCount: 271, backups: 2, members: all })
    expect(spreadOf(table, all, 'zone')).toBe(2)
    expect(spreadOf(table, all, 'host')).toBe(3)
  })

  test('several members on a host: copies on different hosts', () => {
    const all = members(12, 0, 4)
    const table = placePartitions({ partitionCount: 271, backups: 2, members: all })
    expect(spreadOf(table, all, 'host')).toBe(3)
    expect(range(countBy(table.flat(), all))).toBeLessThanOrEqual(1)
  })

  test('a zone with one member among many holds a copy of everything; the others share evenly', () => {
    const all = members(5).map((member, n) => ({ ...member, zone: n === 0 ? 'small' : 'large' }))
    const table = placePartitions({ partitionCount: 100, backups: 1, members: all })
    expect(spreadOf(table, all, 'zone')).toBe(2)
    expect(countBy(table.flat(), all)).toEqual([100, 25, 25, 25, 25])
    expect(
      countBy(
        table.map((row) => row[0]!),
        all,
      ),
    ).toEqual([20, 20, 20, 20, 20])
  })

  test('a third zone that comes up gets its copy of everything', () => {
    const two = members(6, 2)
    const previous = placePartitions({ partitionCount: 271, backups: 2, members: two })
    const three = [...two, ...[6, 7, 8].map((n) => ({ id: idOf(n), zone: 'z2', host: `h${n}` }))]
    const table = placePartitions({ partitionCount: 271, backups: 2, members: three, previous })
    expect(spreadOf(table, three, 'zone')).toBe(3)
    const stayed = tableMoves(previous, table).copies.filter(({ to }) => two.some(({ id }) => id === to))
    expect(stayed).toEqual([])
  })

  test('a table made without regard to zones is mended', () => {
    const blind = members(6)
    const previous = placePartitions({ partitionCount: 271, backups: 1, members: blind })
    const all = members(6, 3)
    expect(spreadOf(previous, all, 'zone')).toBe(1)
    const table = placePartitions({ partitionCount: 271, backups: 1, members: all, previous })
    expect(spreadOf(table, all, 'zone')).toBe(2)
  })
})

describe('movement', () => {
  test.each([
    [3, 271, 1, 0],
    [5, 271, 2, 0],
    [10, 271, 1, 0],
    [10, 271, 2, 0],
    [12, 1024, 1, 3],
    [50, 4096, 2, 0],
    [50, 4096, 2, 5],
  ])(
    '%i members, %i partitions, %i backups, %i zones: a join and a leave move what they must',
    (n, partitionCount, backups, zones) => {
      const all = members(n + 1, zones)
      const before = all.slice(0, n)
      const options = { partitionCount, backups }
      const previous = placePartitions({ ...options, members: before })
      const joined = placePartitions({ ...options, members: all, previous })
      const moves = tableMoves(previous, joined)
      const ideal = (partitionCount * (backups + 1)) / (n + 1)
      expect(moves.copies.length).toBeLessThanOrEqual(ideal * 1.05)
      expect(moves.copies.length).toBeGreaterThan(ideal - 1)
      expect(moves.copies.every(({ to }) => to === idOf(n))).toBe(true)

      const left = placePartitions({ ...options, members: all.slice(1), previous: joined })
      const held = joined.filter((row) => row.includes(idOf(0))).length
      const away = tableMoves(joined, left)
      expect(away.copies.length).toBe(Math.min(n, backups + 1) === backups + 1 ? held : 0)
      expect(away.copies.every(({ from }) => from === idOf(0))).toBe(true)
      expect(away.owners.filter(({ from, copied }) => from === idOf(0) && copied)).toEqual([])
    },
  )

  test('the same members: nothing moves', () => {
    const all = members(7, 3)
    const previous = placePartitions({ partitionCount: 271, backups: 1, members: all })
    expect(placePartitions({ partitionCount: 271, backups: 1, members: all, previous })).toEqual(previous)
  })
})

const change = fc.record({
  kind: fc.constantFrom('join', 'join', 'leave'),
  member: fc.nat(40),
  zone: fc.nat(3),
})

/** Plays joins and leaves; calls `see` with each table and the one before. */
function play(
  changes: readonly { kind: string; member: number; zone: number }[],
  backups: number,
  zoned: boolean,
  see: (now: string[][], all: PlacementMember[], was: string[][], before: PlacementMember[]) => void,
): void {
  let all: PlacementMember[] = members(3, zoned ? 3 : 0)
  let table = placePartitions({ partitionCount: 97, backups, members: all })
  for (const { kind, member, zone } of changes) {
    const before = all
    const id = idOf(100 + member)
    if (kind === 'leave') all = all.length > 1 ? all.filter((_, i) => i !== member % all.length) : all
    else if (!all.some((other) => other.id === id))
      all = [...all, { id, zone: zoned ? `z${zone}` : '', host: `h${id}` }]
    const next = placePartitions({ partitionCount: 97, backups, members: all, previous: table })
    see(next, all, table, before)
    table = next
  }
}

test('through any joins and leaves shares stay even, and copies hardly ever move between members that stay', () => {
  let moved = 0
  let betweenStaying = 0
  fc.assert(
    fc.property(fc.array(change, { maxLength: 25 }), fc.integer({ min: 0, max: 3 }), (changes, backups) => {
      play(changes, backups, false, (now, all, was, before) => {
        expectWellFormed(now, all, backups + 1)
        expect(range(countBy(now.flat(), all))).toBeLessThanOrEqual(1)
        expect(
          range(
            countBy(
              now.map((row) => row[0]!),
              all,
            ),
          ),
        ).toBeLessThanOrEqual(1)
        const moves = tableMoves(was, now)
        const kept = (id: string | undefined): boolean =>
          before.some((m) => m.id === id) && all.some((m) => m.id === id)
        const between = moves.copies.filter(({ from, to }) => kept(from) && kept(to))
        // In a small cluster shares can, once in a while, not be met without.
        expect(between.length).toBeLessThanOrEqual(moves.copies.length * 0.05 + 2)
        betweenStaying += between.length
        moved += moves.copies.length
      })
    }),
  )
  expect(betweenStaying).toBeLessThanOrEqual(moved / 1000 + 5)
})

test('through any joins and leaves in zones, copies stand in as many zones as there are', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 25 }), fc.integer({ min: 1, max: 2 }), (changes, backups) => {
      play(changes, backups, true, (now, all) => {
        expectWellFormed(now, all, backups + 1)
        const zoneCount = new Set(all.map(({ zone }) => zone)).size
        expect(spreadOf(now, all, 'zone')).toBe(Math.min(zoneCount, backups + 1, all.length))
        expect(
          range(
            countBy(
              now.map((row) => row[0]!),
              all,
            ),
          ),
        ).toBeLessThanOrEqual(1)
      })
    }),
  )
})

test('the order in which members are given does not matter, and what is given is not changed', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(members(12, 3)), fc.shuffledSubarray(members(9, 3)), (some, others) => {
      const options = { partitionCount: 61, backups: 1 }
      const sorted = (all: PlacementMember[]): PlacementMember[] =>
        [...all].sort((a, b) => (a.id < b.id ? -1 : 1))
      const previous = placePartitions({ ...options, members: others })
      const copy = structuredClone(previous)
      const table = placePartitions({ ...options, members: some, previous })
      expect(table).toEqual(placePartitions({ ...options, members: sorted(some), previous }))
      expect(previous).toEqual(copy)
    }),
  )
})

test('a table before that is damaged or of another size does no harm', () => {
  const all = members(4)
  const row = [idOf(0), idOf(0), 'gone', idOf(1), idOf(2), idOf(3)]
  const table = placePartitions({ partitionCount: 31, backups: 1, members: all, previous: [row, [], row] })
  expectWellFormed(table, all, 2)
  expect(range(countBy(table.flat(), all))).toBeLessThanOrEqual(1)
  expect([...table[0]!].sort()).toEqual([idOf(1), idOf(0)].sort())
})
