import { describe, expect, test } from 'vitest'
import { decodeView, encodeView } from '../../../src/core/membership/checkpoint.ts'
import { epochOf } from '../../../src/core/membership/config.ts'
import { rosterDigest } from '../../../src/core/membership/roster.ts'
import type { IgnoredReason, View } from '../../../src/core/membership/view.ts'
import { emptyView, fold, pastMax } from '../../../src/core/membership/view.ts'
import {
  apply,
  BOOT,
  CLUSTER,
  firstConfig,
  foldAll,
  founded,
  hashSecret,
  hex,
  member,
  message,
  successor,
} from './fixture.ts'

function ignored(view: View): Partial<Record<IgnoredReason, number>> {
  return Object.fromEntries(Object.entries(view.ignored).filter(([, count]) => count > 0))
}

const [A, B, C, D] = [hex(1), hex(2), hex(3), hex(4)]

describe('founding', () => {
  test('sets the cluster, its configs and the roster', () => {
    const view = founded(3, 4, 1)
    expect(view).toMatchObject({ version: 1, clusterId: CLUSTER, gen: 1, partitionCount: 4, backups: 1 })
    expect(view.configs.map(({ inSync }) => inSync)).toEqual([
      [A, B],
      [B, C],
      [C, A],
      [A, B],
    ])
    expect([...view.members.keys()]).toEqual([A, B, C])
    expect(view.named.get(A)).toBe(3)
    expect(view.boot).toMatchObject({ id: BOOT, frozen: false })
  })

  test('happens once: a second one is ignored, and of another cluster it is foreign', () => {
    const view = founded(3, 1, 1)
    const again = {
      kind: 'genesis',
      clusterId: CLUSTER,
      partitionCount: 1,
      backups: 1,
      minInSync: 1,
      gen: 2,
      evidence: '',
    } as const
    const configs = [firstConfig(0, [C])]
    const other = apply(view, [{ ...again, configs }])
    expect(other.configs).toBe(view.configs)
    expect(ignored(other)).toEqual({ founded: 1 })
    const foreign = apply(view, [{ ...again, clusterId: 'x', configs }], { cluster: 'x' })
    expect(ignored(foreign)).toEqual({ foreign: 1 })
  })

  test('refuses configs that do not cover the partitions', () => {
    const genesis = {
      kind: 'genesis',
      clusterId: CLUSTER,
      partitionCount: 2,
      backups: 0,
      minInSync: 1,
      gen: 1,
      evidence: '',
    } as const
    for (const configs of [
      [firstConfig(0, [A])],
      [firstConfig(0, [A]), firstConfig(0, [A])],
      [firstConfig(0, [A]), { ...firstConfig(1, [A]), owner: B }],
      [firstConfig(0, [A]), { ...firstConfig(1, [A]), epoch: 7 }],
    ]) {
      const view = foldAll(emptyView, [message([{ ...genesis, configs }])])
      expect(view.clusterId).toBe('')
      expect(ignored(view)).toEqual({ invalid: 1 })
    }
  })

  test('nothing else counts before it', () => {
    const view = foldAll(emptyView, [
      message([
        { kind: 'member', info: member(1) },
        { kind: 'thaw', boot: '' },
      ]),
    ])
    expect(ignored(view)).toEqual({ unfounded: 2 })
  })

  test('a log founded anew is frozen until the holders of its configs have reported', () => {
    const configs = [{ ...firstConfig(0, [A, B]), epoch: epochOf(1, 7), prev: hex(9) }]
    const genesis = {
      kind: 'genesis',
      clusterId: CLUSTER,
      partitionCount: 1,
      backups: 1,
      minInSync: 1,
      gen: 2,
      evidence: '',
      configs,
    } as const
    let view = foldAll(emptyView, [message([genesis])])
    expect(view.boot.frozen).toBe(true)
    view = apply(view, [{ kind: 'report', boot: BOOT }], { by: A })
    expect(view.boot.frozen).toBe(true)
    view = apply(view, [{ kind: 'report', boot: BOOT }], { by: B })
    expect(view.boot.frozen).toBe(false)
  })
})

describe('a change of a partition', () => {
  const view = founded(4, 2, 1)
  const current = view.configs[0]!

  test('takes effect where it names the current config', () => {
    const next = successor(current, hex(70), { inSync: [A, B, C] })
    const changed = apply(view, [{ kind: 'config', next }])
    expect(changed.configs[0]).toEqual(next)
    expect(changed.named.get(C)).toBe(view.named.get(C)! + 1)
    expect(view.configs[0]).toBe(current)
    expect(changed.configs[1]).toBe(view.configs[1])
  })

  test('of two successors the first wins', () => {
    const first = successor(current, hex(70), { inSync: [A] })
    const second = successor(current, hex(71), { owner: B, inSync: [B] })
    const changed = apply(view, [
      { kind: 'config', next: first },
      { kind: 'config', next: second },
      { kind: 'config', next: first },
    ])
    expect(changed.configs[0]).toEqual(first)
    expect(ignored(changed)).toEqual({ stale: 1, repeat: 1 })
  })

  test.each<[string, Parameters<typeof successor>[2], IgnoredReason]>([
    ['an epoch that does not rise', { epoch: current.epoch }, 'invalid'],
    ['an owner that was not in sync', { owner: C, inSync: [C, A] }, 'invalid'],
    ['an owner outside its own set', { owner: B, inSync: [A] }, 'invalid'],
    ['a replica twice', { inSync: [A, A] }, 'invalid'],
    ['an era that rises', { era: 1 }, 'invalid'],
    ['an ownership of its own making', { ownership: hex(5) }, 'invalid'],
    ['a partition that does not exist', { partition: 2 }, 'invalid'],
    ['another predecessor', { prev: hex(5) }, 'stale'],
  ])('is ignored with %s', (_, more, reason) => {
    const changed = apply(view, [{ kind: 'config', next: successor(current, hex(70), more) }])
    expect(changed.configs).toBe(view.configs)
    expect(ignored(changed)).toEqual({ [reason]: 1 })
  })

  test('is ignored from a member that has not seen the newest boot', () => {
    const next = successor(current, hex(70))
    const changed = apply(view, [{ kind: 'config', next }], { boot: hex(8) })
    expect(ignored(changed)).toEqual({ boot: 1 })
  })

  test('a loss needs proof of death of the whole in-sync set, or force', () => {
    const next = successor(current, hex(70), {
      owner: C,
      inSync: [C],
      era: 1,
      reason: 'lost',
      ownership: hex(70),
    })
    const lost = { kind: 'lost', next, forced: false } as const
    expect(ignored(apply(view, [lost]))).toEqual({ proof: 1 })
    const half = apply(view, [{ kind: 'remove', member: A, proof: 'certificate', secret: 'secret-1' }])
    expect(ignored(apply(half, [lost]))).toEqual({ proof: 1 })
    const dead = apply(half, [{ kind: 'remove', member: B, proof: 'certificate', secret: 'secret-2' }])
    expect(apply(dead, [lost]).configs[0]).toEqual(next)
    expect(apply(view, [{ ...lost, forced: true }]).configs[0]).toEqual(next)
  })
})

describe('the roster', () => {
  const view = founded(3, 3, 1)

  test('a member that a configuration names has not left before it is the last that stays', () => {
    const left = { kind: 'remove', member: A, proof: 'left' } as const
    const leaving = (n: number) => ({ kind: 'member', info: member(n, { state: 'leaving' }) }) as const
    const first = apply(view, [leaving(1)], { by: A })
    expect(ignored(apply(first, [left], { by: A }))).toEqual({ proof: 1 })
    const all = apply(first, [leaving(2), leaving(3)])
    expect(apply(all, [left], { by: A }).members.has(A)).toBe(false)
    const silent = apply(all, [{ kind: 'remove', member: B, proof: 'silent' }], { by: C })
    expect(ignored(apply(silent, [left], { by: A }))).toEqual({ proof: 1 })
  })

  test('a state only goes forward, and who a member is does not change', () => {
    const joined = apply(view, [{ kind: 'member', info: member(4, { state: 'joining' }) }])
    expect(joined.members.get(D)?.state).toBe('joining')
    const active = apply(joined, [{ kind: 'member', info: member(4) }])
    expect(active.members.get(D)?.state).toBe('active')
    const after = apply(active, [
      { kind: 'member', info: member(4, { state: 'joining' }) },
      { kind: 'member', info: member(4) },
      { kind: 'member', info: member(4, { name: 'other' }) },
      { kind: 'member', info: member(4, { zone: 'elsewhere' }) },
    ])
    expect(after.members).toBe(active.members)
    expect(ignored(after)).toEqual({ stale: 1, repeat: 1, invalid: 2 })
  })

  test('a certificate must show the secret; the dead do not come back', () => {
    const wrong = apply(view, [{ kind: 'remove', member: A, proof: 'certificate', secret: 'guess' }])
    expect(ignored(wrong)).toEqual({ proof: 1 })
    const dead = apply(view, [{ kind: 'remove', member: A, proof: 'certificate', secret: 'secret-1' }])
    expect(dead.members.has(A)).toBe(false)
    expect(dead.dead.has(A)).toBe(true)
    expect(ignored(apply(dead, [{ kind: 'member', info: member(1) }]))).toEqual({ invalid: 1 })
  })

  test('only the member itself says that it left; a successor must bear its name', () => {
    expect(ignored(apply(view, [{ kind: 'remove', member: A, proof: 'left' }], { by: B }))).toEqual({
      proof: 1,
    })
    const next = member(4, { name: 'm-1' })
    const claim = { kind: 'remove', member: A, proof: 'successor' } as const
    expect(ignored(apply(view, [claim], { by: B }))).toEqual({ proof: 1 })
    expect(ignored(apply(view, [claim], { by: D }))).toEqual({ proof: 1 })
    const replaced = apply(view, [{ kind: 'member', info: next }, claim], { by: D })
    expect([...replaced.dead]).toEqual([A])
    const revenge = apply(replaced, [{ kind: 'remove', member: D, proof: 'successor' }], { by: A })
    expect(revenge.members.has(D)).toBe(true)
  })

  test('silence proves no death: the member may come back, or be proven dead later', () => {
    const silent = apply(view, [{ kind: 'remove', member: A, proof: 'silent' }])
    expect(silent.members.has(A)).toBe(false)
    expect(silent.dead.size).toBe(0)
    const back = apply(silent, [{ kind: 'member', info: member(1) }])
    expect([...back.members.keys()]).toEqual([B, C, A])
    expect(back.silent.size).toBe(0)
    const dead = apply(silent, [{ kind: 'remove', member: A, proof: 'certificate', secret: 'secret-1' }])
    expect([...dead.dead]).toEqual([A])
    expect(dead.silent.size).toBe(0)
  })

  test('the dead are forgotten when no config names them', () => {
    let one = founded(2, 1, 1)
    one = apply(one, [{ kind: 'remove', member: B, proof: 'certificate', secret: 'secret-2' }])
    expect(one.dead.size).toBe(1)
    one = apply(one, [{ kind: 'config', next: successor(one.configs[0]!, hex(70), { inSync: [A] }) }])
    expect(one.dead.size).toBe(0)
    expect(one.named.has(B)).toBe(false)
  })

  test('a change that comes late may name the dead of before: they are known to be dead still', () => {
    const config = (one: View, id: number, inSync: string[]) =>
      apply(one, [{ kind: 'config', next: successor(one.configs[0]!, hex(id), { inSync }) }])
    let one = apply(founded(2, 1, 0), [{ kind: 'remove', member: B, proof: 'left' }], { by: B })
    expect(one.dead.size).toBe(0)
    // What it said of itself on its way out comes behind that; and the owner has not read of its leaving.
    expect(ignored(apply(one, [{ kind: 'member', info: member(2) }]))).toEqual({ invalid: 1 })
    one = config(one, 70, [A, B])
    expect([...one.dead]).toEqual([B])
    one = apply(one, [{ kind: 'remove', member: A, proof: 'certificate', secret: 'secret-1' }])
    expect([...one.dead]).toEqual([B, A])
    const lost = { owner: C, inSync: [C], era: 1, reason: 'lost' }
    one = apply(one, [{ kind: 'lost', next: successor(one.configs[0]!, hex(71), lost), forced: false }])
    expect(one.configs[0]!.era).toBe(1)
  })

  test('so are the silent of before; they may come back, and a certificate of them counts', () => {
    const die = { kind: 'remove', member: B, proof: 'certificate', secret: 'secret-2' } as const
    const past = apply(founded(2, 1, 0), [{ kind: 'remove', member: B, proof: 'silent' }])
    expect(past.silent.size).toBe(0)
    const next = successor(past.configs[0]!, hex(70), { inSync: [A, B] })
    const named = apply(past, [{ kind: 'config', next }])
    expect([...named.silent.keys()]).toEqual([B])
    expect([...apply(named, [die]).dead]).toEqual([B])
    const dead = apply(apply(past, [die]), [{ kind: 'config', next }])
    expect([...dead.dead]).toEqual([B])
    const back = apply(past, [{ kind: 'member', info: member(2) }])
    expect([back.members.has(B), back.past.size]).toEqual([true, 0])
    expect(decodeView(encodeView(dead))).toEqual(dead)
    expect(decodeView(encodeView(past))).toEqual(past)
    const left = apply(past, [die])
    expect(decodeView(encodeView(left))).toEqual(left)
  })

  test('of those before only the newest are remembered', () => {
    let one = founded(1, 1, 0)
    for (let n = 2; n < 2 + pastMax + 5; n++) {
      const leave = { kind: 'remove', member: hex(n), proof: 'silent' } as const
      one = apply(one, [{ kind: 'member', info: member(n) }, leave])
    }
    expect([...one.past.keys()].slice(0, 1)).toEqual([hex(7)])
    expect(one.past.size).toBe(pastMax)
  })
})

describe('maps and the target', () => {
  test('the first definition of a name wins, and ids are given in order', () => {
    const view = apply(founded(1, 1, 0), [
      { kind: 'map', name: 'x', config: { ttlMs: 5 } },
      { kind: 'map', name: 'y', config: {} },
      { kind: 'map', name: 'x', config: {} },
    ])
    expect(view.maps).toEqual([
      { id: 1, name: 'x', config: { ttlMs: 5 } },
      { id: 2, name: 'y', config: {} },
    ])
    expect(view.mapsByName.get('y')?.id).toBe(2)
    expect(ignored(view)).toEqual({ repeat: 1 })
  })

  test('a target holds for the roster that it was made for, and the first one wins', () => {
    const view = founded(3, 2, 1)
    const roster = rosterDigest(view)
    const table = [
      [A, B],
      [B, C],
    ]
    const set = apply(view, [
      { kind: 'target', roster: 'old', table },
      { kind: 'target', roster, table: [[A, B]] },
      {
        kind: 'target',
        roster,
        table: [
          [A, A],
          [B, C],
        ],
      },
      {
        kind: 'target',
        roster,
        table: [
          [A, D],
          [B, C],
        ],
      },
      { kind: 'target', roster, table },
      {
        kind: 'target',
        roster,
        table: [
          [C, B],
          [B, C],
        ],
      },
    ])
    expect(set.target).toEqual({ roster, table })
    expect(ignored(set)).toEqual({ stale: 1, invalid: 3, repeat: 1 })
    expect(rosterDigest(apply(view, [{ kind: 'member', info: member(4) }]))).not.toBe(roster)
    expect(rosterDigest(apply(view, [{ kind: 'member', info: member(4, { state: 'joining' }) }]))).toBe(
      roster,
    )
  })
})

describe('after a rollback of the log', () => {
  const base = founded(3, 2, 1)
  const boot = { kind: 'boot', id: hex(0xb1), prev: BOOT, evidence: 'server-2' } as const
  const next = successor(base.configs[0]!, hex(70), { inSync: [A] })

  test('configs freeze until everyone has reported or is dead; heals go on', () => {
    let view = apply(base, [boot])
    expect(view.boot).toMatchObject({ id: hex(0xb1), evidence: 'server-2', frozen: true })
    expect(ignored(apply(view, [{ kind: 'config', next }]))).toEqual({ frozen: 1 })
    view = apply(view, [{ kind: 'heal', state: next, onto: base.configs[0]!.id }], { boot: BOOT })
    expect(view.configs[0]).toEqual(next)
    view = apply(view, [{ kind: 'report', boot: hex(0xb1) }], { by: A })
    view = apply(view, [{ kind: 'remove', member: B, proof: 'silent' }])
    view = apply(view, [{ kind: 'report', boot: hex(0xb1) }], { by: C })
    expect(view.boot.frozen).toBe(true)
    view = apply(view, [{ kind: 'remove', member: B, proof: 'certificate', secret: 'secret-2' }])
    expect(view.boot.frozen).toBe(false)
    const changed = apply(view, [{ kind: 'config', next: successor(next, hex(71)) }])
    expect(changed.configs[0]?.id).toBe(hex(71))
  })

  test('a thaw ends the freeze of its own boot only', () => {
    const frozen = apply(base, [boot])
    expect(apply(frozen, [{ kind: 'thaw', boot: BOOT }]).boot.frozen).toBe(true)
    expect(apply(frozen, [{ kind: 'thaw', boot: hex(0xb1) }]).boot.frozen).toBe(false)
  })

  test('of two boots onto one the first wins', () => {
    const view = apply(base, [boot, { ...boot, id: hex(0xb2) }, boot])
    expect(view.boot.id).toBe(hex(0xb1))
    expect(ignored(view)).toEqual({ stale: 1, repeat: 1 })
  })

  test('a heal must rise, and another config of the same epoch is a conflict', () => {
    const view = apply(base, [{ kind: 'config', next }])
    const onto = next.id
    const heal = (state: typeof next) => ({ kind: 'heal', state, onto }) as const
    const after = apply(view, [heal({ ...next, id: hex(72) }), heal(base.configs[0]!), heal(next)])
    expect(after.configs).toBe(view.configs)
    expect(ignored(after)).toEqual({ conflict: 1, stale: 1, repeat: 1 })
    const far = { ...next, id: hex(73), prev: hex(74), epoch: next.epoch + 5 }
    expect(apply(view, [heal(far)]).configs[0]).toEqual(far)
    expect(ignored(apply(view, [{ ...heal(far), onto: hex(9) }]))).toEqual({ stale: 1 })
  })
})

test('a view never changes', () => {
  const view = founded(3, 3, 1)
  const before = structuredClone(view)
  fold(
    view,
    message([
      { kind: 'config', next: successor(view.configs[0]!, hex(70), { inSync: [A] }) },
      { kind: 'remove', member: A, proof: 'certificate', secret: 'secret-1' },
      { kind: 'member', info: member(4) },
      { kind: 'map', name: 'x', config: {} },
      { kind: 'boot', id: hex(0xb1), prev: BOOT, evidence: '' },
    ]),
    2,
    hashSecret,
  )
  expect(view).toEqual(before)
})
