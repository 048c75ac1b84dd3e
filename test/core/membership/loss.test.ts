import { describe, expect, test } from 'vitest'
import { heirOf, lossOf, lostConfig, replicasText } from '../../../src/core/membership/loss.ts'
import { targetOf } from '../../../src/core/membership/placement.ts'
import { activeMembers } from '../../../src/core/membership/roster.ts'
import { apply, founded, hex } from './fixture.ts'

const [A, B, C] = [hex(1), hex(2), hex(3)]
const silent = (member: string) => ({ kind: 'remove', member, proof: 'silent' }) as const
const certified = (member: string, n: number) =>
  ({ kind: 'remove', member, proof: 'certificate', secret: `secret-${n}` }) as const

describe('a loss that needs an operator', () => {
  // Partition 0 is held by A and B, 1 by B and C, 2 by C and A.
  const view = founded(3, 3, 1)

  test('is there when all have left the roster, and one of them without proof', () => {
    expect(lossOf(view, 0)).toBeUndefined()
    expect(lossOf(apply(view, [silent(A)]), 0)).toBeUndefined()
    const both = apply(view, [silent(A), silent(B)])
    expect(lossOf(both, 0)?.replicas).toEqual([
      { id: A, name: 'm-1', dead: false },
      { id: B, name: 'm-2', dead: false },
    ])
    expect(lossOf(both, 1)).toBeUndefined()
    const half = apply(view, [certified(A, 1), silent(B)])
    expect(replicasText(lossOf(half, 0)!.replicas)).toBe(`${A} (dead), m-2 ${B} (silent)`)
    expect(lossOf(view, 3)).toBeUndefined()
  })

  test('is none when all are proven dead: the members begin anew by themselves', () => {
    const dead = apply(view, [certified(A, 1), silent(B), certified(B, 2)])
    expect(dead.members.size).toBe(1)
    expect(lossOf(dead, 0)).toBeUndefined()
  })

  test('ends with a declaration by force, whose owner is the heir', () => {
    const lost = apply(view, [silent(A), silent(B)])
    const { config } = lossOf(lost, 0)!
    const heir = heirOf(lost, 0)!
    expect(heir).toBe(C)
    const next = lostConfig(config, lost.gen, heir, hex(70), hex(71))
    const after = apply(lost, [{ kind: 'lost', next, forced: true }], { by: hex(71) })
    expect(after.configs[0]).toMatchObject({ owner: C, inSync: [C], era: 1, prev: config.id })
    expect(lossOf(after, 0)).toBeUndefined()
  })
})

test('the heir is whom the target wants, else one of the living in turn', () => {
  const view = founded(3, 7, 0)
  const wanted = apply(view, [{ kind: 'target', ...targetOf(view)! }])
  for (let p = 0; p < 7; p++) {
    const row = wanted.target!.table[p]!
    expect(heirOf(wanted, p)).toBe(row[0])
    const others = activeMembers(wanted).filter(({ id }) => id !== row[0])
    expect(heirOf(wanted, p, others)).toBe(others[p % 2]!.id)
    expect(heirOf(wanted, p, [])).toBeUndefined()
  }
})
