import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PartitionConfig } from '../../../src/core/membership/config.ts'
import { nextEpoch } from '../../../src/core/membership/config.ts'
import type { Item } from '../../../src/core/membership/item.ts'
import type { Wish } from '../../../src/core/membership/placement.ts'
import { targetOf, wishes } from '../../../src/core/membership/placement.ts'
import type { View } from '../../../src/core/membership/view.ts'
import { apply, founded, hex, member, successor } from './fixture.ts'

const [A, B, C, D] = [hex(1), hex(2), hex(3), hex(4)]

function withTarget(view: View): View {
  const target = targetOf(view)
  return target ? apply(view, [{ kind: 'target', ...target }]) : view
}

/** A view of one partition with this in-sync set (owner first) and this target row. */
function view(inSync: string[], row: string[], backups: number, more: Partial<View> = {}): View {
  const base = founded(4, 1, backups)
  const config: PartitionConfig = { ...base.configs[0]!, owner: inSync[0]!, inSync }
  return { ...base, configs: [config], target: { roster: '', table: [row] }, ...more }
}

function living(at: View, partition: number): number {
  return at.configs[partition]!.inSync.filter((m) => at.members.has(m)).length
}

describe('the next step', () => {
  test.each<[string, string[], string[], number, Omit<Wish, 'partition'> | undefined]>([
    ['nothing when all is as it should be', [A, B], [A, B], 1, undefined],
    ['the order of backups does not matter', [A, B, C], [A, C, B], 2, undefined],
    ['add a copy that is missing, urgently', [A], [A, B], 1, { kind: 'add', member: B, urgent: true }],
    ['add for a move', [A, B], [A, C], 1, { kind: 'add', member: C, urgent: false }],
    [
      'give up a copy after the new one is in',
      [A, B, C],
      [A, C],
      1,
      { kind: 'remove', member: B, urgent: false },
    ],
    ['hand over when the new owner is in', [A, B], [B, A], 1, { kind: 'handover', member: B, urgent: false }],
    ['complete the set before handing over', [A, B], [B, C], 1, { kind: 'add', member: C, urgent: false }],
    [
      'hand over before leaving the set',
      [A, B, C],
      [B, C],
      1,
      { kind: 'handover', member: B, urgent: false },
    ],
  ])('%s', (_, inSync, row, backups, wish) => {
    const expected = wish ? [{ partition: 0, ...wish }] : []
    expect(wishes(view(inSync, row, backups), A)).toEqual(expected)
    expect(wishes(view(inSync, row, backups), D)).toEqual([])
  })

  test('removes who is gone, but not below minInSync, and keeps the living while the target is short', () => {
    const members = new Map(view([A], [A], 2).members)
    members.delete(B)
    const gone = view([A, B], [A, B], 1, { members })
    expect(wishes(gone, A)).toEqual([{ partition: 0, kind: 'remove', member: B, urgent: true }])
    expect(wishes({ ...gone, minInSync: 2 }, A)).toEqual([])
    // The target names B, who has gone since: D is not wanted, but without it there were too few.
    expect(wishes(view([A, C, D], [A, B, C], 2, { members }), A)).toEqual([])
  })

  test('under-replicated partitions come before moves', () => {
    const base = founded(4, 2, 1)
    const [first, second] = base.configs
    const configs = [
      { ...first!, owner: A, inSync: [A, B] },
      { ...second!, owner: A, inSync: [A] },
    ]
    const at = {
      ...base,
      configs,
      target: {
        roster: '',
        table: [
          [A, C],
          [A, D],
        ],
      },
    }
    expect(wishes(at, A).map(({ partition }) => partition)).toEqual([1, 0])
  })
})

test('the target is a function of the view, and there is none when it stands', () => {
  const base = founded(4, 31, 1)
  const target = targetOf(base)!
  expect(targetOf(structuredClone(base))).toEqual(target)
  const set = withTarget(base)
  expect(targetOf(set)).toBeUndefined()
  const leaving = apply(set, [{ kind: 'member', info: member(2, { state: 'leaving' }) }])
  expect(targetOf(leaving)!.table.flat()).not.toContain(B)
  const none = [1, 2, 3, 4].map((n): Item => ({ kind: 'remove', member: hex(n), proof: 'silent' }))
  expect(targetOf(apply(set, none))).toBeUndefined()
})

/** What the owner does about a wish, in one go: the learner catches up at once. */
function change(at: View, { partition, kind, member }: Wish, id: string): Item {
  const config = at.configs[partition]!
  const epoch = nextEpoch(config.epoch, at.gen)
  if (kind === 'handover') return { kind: 'config', next: successor(config, id, { epoch, owner: member }) }
  const inSync =
    kind === 'add' ? [...config.inSync, member] : config.inSync.filter((other) => other !== member)
  return { kind: 'config', next: successor(config, id, { epoch, inSync }) }
}

/** A backup takes over where the owner is gone, as replication would. */
function takeOvers(at: View, newId: () => string): Item[] {
  return at.configs.flatMap((config): Item[] => {
    const owner = config.inSync.find((m) => at.members.has(m))
    if (at.members.has(config.owner) || owner === undefined) return []
    const inSync = config.inSync.filter((m) => m !== config.owner)
    return [{ kind: 'config', next: successor(config, newId(), { owner, inSync }) }]
  })
}

const PARTITIONS = 13
const event = fc.record({
  kind: fc.constantFrom('join', 'leave', 'silent', 'none'),
  member: fc.nat(7),
  /** How many steps are taken before the next event. */
  steps: fc.nat(30),
})

test('whatever happens on the way, owners get to the target, and no move lowers the number of live replicas', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 8 }), fc.integer({ min: 0, max: 2 }), (events, backups) => {
      let number = 0x9000
      const newId = (): string => hex(number++)
      let at = withTarget(founded(3, PARTITIONS, backups))

      const run = (stepsMax: number): number => {
        let steps = 0
        for (; steps < stepsMax; steps++) {
          const wish = [...at.members.keys()].flatMap((m) => wishes(at, m))[0]
          if (!wish) break
          const replicas = Math.min(
            backups + 1,
            [...at.members.values()].filter(({ state }) => state === 'active').length,
          )
          const before = living(at, wish.partition)
          const was = at.configs[wish.partition]!
          at = apply(at, [change(at, wish, newId())])
          expect(at.configs[wish.partition]).not.toBe(was)
          expect(living(at, wish.partition)).toBeGreaterThanOrEqual(Math.min(before, replicas))
          expect(living(at, wish.partition)).toBeGreaterThan(0)
        }
        return steps
      }

      for (const { kind, member: n, steps } of events) {
        const active = [...at.members.values()].filter(({ state }) => state === 'active')
        const present = at.members.get(hex(n + 1))
        if (kind === 'join') at = apply(at, [{ kind: 'member', info: member(n + 1) }])
        else if (kind === 'leave' && present?.state === 'active' && active.length > 1)
          at = apply(at, [{ kind: 'member', info: member(n + 1, { state: 'leaving' }) }])
        else if (kind === 'silent' && present && active.some(({ id }) => id !== present.id)) {
          // Only who is not the last in-sync replica of anything: losing data is another story.
          const needed = at.configs.some(
            ({ inSync, partition }) => inSync.includes(present.id) && living(at, partition) === 1,
          )
          if (!needed) at = apply(at, [{ kind: 'remove', member: present.id, proof: 'silent' }])
        }
        at = apply(at, takeOvers(at, newId))
        if (n % 2 === 0) at = withTarget(at)
        run(steps)
      }

      at = withTarget(at)
      expect(run(PARTITIONS * 16)).toBeLessThan(PARTITIONS * 16)
      const leaving = [...at.members.values()].filter(({ state }) => state !== 'active')
      at.configs.forEach(({ owner, inSync }, p) => {
        const row = at.target!.table[p]!
        expect(owner).toBe(row[0])
        expect([...inSync].sort()).toEqual([...row].sort())
      })
      for (const { id } of leaving) expect(at.named.has(id)).toBe(false)
    }),
  )
})
