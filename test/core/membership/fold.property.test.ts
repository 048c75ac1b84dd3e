import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeView, encodeView } from '../../../src/core/membership/checkpoint.ts'
import type { PartitionConfig } from '../../../src/core/membership/config.ts'
import type { Item, LogMessage } from '../../../src/core/membership/item.ts'
import { encodeMessage } from '../../../src/core/membership/item.ts'
import { targetOf } from '../../../src/core/membership/placement.ts'
import type { View } from '../../../src/core/membership/view.ts'
import { emptyView, fold, foldEntries } from '../../../src/core/membership/view.ts'
import { CLUSTER, founded, hashSecret, hex, member, message, successor } from './fixture.ts'

const MEMBERS = 5
const PARTITIONS = 3

/** A step of a random history; numbers are turned into items against what the log then says. */
const step = fc.record({
  kind: fc.constantFrom(
    'config',
    'config',
    'config',
    'config',
    'stale',
    'lost',
    'heal',
    'join',
    'leave',
    'die',
    'silent',
    'map',
    'target',
    'boot',
    'report',
    'report',
    'report',
    'thaw',
    'odd',
  ),
  by: fc.nat(MEMBERS),
  member: fc.nat(MEMBERS),
  partition: fc.nat(PARTITIONS),
  oldBoot: fc.boolean(),
  jump: fc.nat(2),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface History {
  readonly messages: LogMessage[]
  readonly views: View[]
}

/** Plays steps from the founding on. Some of what comes out is valid and some is not. */
function play(steps: readonly Step[]): History {
  const messages: LogMessage[] = []
  const views = [founded(MEMBERS, PARTITIONS, 1)]
  const seen: PartitionConfig[] = [...views[0]!.configs]
  let number = 0x5000
  for (const one of steps) {
    const view = views.at(-1)!
    const items = itemsOf(one, view, seen, () => hex(number++))
    const boot = one.oldBoot ? hex(0xdead) : view.boot.id
    const sent = message(items, { by: hex(one.by + 1), boot, id: hex(number++) })
    messages.push(sent)
    views.push(fold(view, sent, view.version + 1, hashSecret))
    for (const config of views.at(-1)!.configs) if (!seen.includes(config)) seen.push(config)
  }
  return { messages, views }
}

function itemsOf(one: Step, view: View, seen: readonly PartitionConfig[], newId: () => string): Item[] {
  const current = view.configs[one.partition]
  const chosen = hex(one.member + 1)
  switch (one.kind) {
    case 'config':
    case 'stale': {
      const base = one.kind === 'stale' ? seen[one.jump % seen.length]! : (current ?? seen[0]!)
      const owner = base.inSync[one.jump % base.inSync.length]!
      const inSync = base.inSync.includes(chosen)
        ? base.inSync.filter((m) => m !== chosen || m === owner)
        : [...base.inSync, chosen]
      return [
        { kind: 'config', next: successor(base, newId(), { owner, inSync, epoch: base.epoch + one.jump }) },
      ]
    }
    case 'lost': {
      if (!current) return []
      const id = newId()
      const more = { owner: chosen, inSync: [chosen], era: current.era + 1, reason: 'lost', ownership: id }
      return [{ kind: 'lost', next: successor(current, id, more), forced: one.jump === 0 }]
    }
    case 'heal': {
      if (!current) return []
      const state =
        one.jump === 0
          ? seen[one.member % seen.length]!
          : successor(current, newId(), { epoch: current.epoch + one.jump })
      return [{ kind: 'heal', state, onto: current.id }]
    }
    case 'join':
      return [
        { kind: 'member', info: member(one.member + 1, { state: one.jump === 0 ? 'joining' : 'active' }) },
      ]
    case 'leave':
      return [{ kind: 'remove', member: hex(one.by + 1), proof: 'left' }]
    case 'die': {
      const secret = one.jump === 0 ? 'wrong' : `secret-${one.member + 1}`
      return [{ kind: 'remove', member: chosen, proof: 'certificate', secret }]
    }
    case 'silent':
      return [{ kind: 'remove', member: chosen, proof: 'silent' }]
    case 'map':
      return [{ kind: 'map', name: `map-${one.jump}`, config: one.partition ? { ttlMs: one.partition } : {} }]
    case 'target': {
      const target = targetOf(view)
      return target ? [{ kind: 'target', ...target }] : []
    }
    case 'boot':
      return [{ kind: 'boot', id: newId(), prev: one.jump ? view.boot.id : hex(2), evidence: 'e' }]
    case 'report':
      return [{ kind: 'report', boot: view.boot.id }]
    case 'thaw':
      return [{ kind: 'thaw', boot: one.jump ? view.boot.id : hex(2) }]
    case 'odd':
      return [
        { kind: 'ignored', reason: 'unknown' },
        { kind: 'member', info: member(one.member + 1) },
      ]
  }
}

const history = fc.array(step, { maxLength: 60 }).map(play)

test('a view is the same one message at a time, in batches, and from a checkpoint anywhere', () => {
  fc.assert(
    fc.property(history, fc.nat(), fc.nat(), ({ messages, views }, a, b) => {
      const entries = messages.map((one, i) => ({ seq: i + 2, bytes: encodeMessage(one) }))
      const last = views.at(-1)!
      const cut = a % (entries.length + 1)
      const batched = foldEntries(
        foldEntries(views[0]!, entries.slice(0, cut), hashSecret),
        entries.slice(cut),
        hashSecret,
      )
      expect(batched).toEqual(last)
      const at = b % views.length
      const resumed = foldEntries(decodeView(encodeView(views[at]!)), entries.slice(at), hashSecret)
      expect(resumed).toEqual(last)
      expect([...resumed.members.keys()]).toEqual([...last.members.keys()])
    }),
  )
})

test('a partition has one config an epoch, epochs rise, and a chain is broken only by a heal', () => {
  fc.assert(
    fc.property(history, ({ messages, views }) => {
      messages.forEach((one, i) => {
        const [before, after] = [views[i]!, views[i + 1]!]
        const healed = one.items.some(({ kind }) => kind === 'heal')
        before.configs.forEach((old, p) => {
          const config = after.configs[p]!
          if (config === old) return
          expect(config.epoch).toBeGreaterThan(old.epoch)
          if (!healed) {
            expect(config.prev).toBe(old.id)
            expect(before.boot.frozen).toBe(false)
            expect(one.boot).toBe(before.boot.id)
          }
          if (config.reason !== 'lost' && !healed) expect(old.inSync).toContain(config.owner)
          expect(config.inSync).toContain(config.owner)
        })
      })
    }),
  )
})

test('what was folded once changes no config when it comes again', () => {
  fc.assert(
    fc.property(history, ({ messages, views }) => {
      messages.forEach((one, i) => {
        if (views[i]!.configs === views[i + 1]!.configs) return
        const last = views.at(-1)!
        const again = fold(last, one, last.version + 1, hashSecret)
        expect(again.configs).toEqual(last.configs)
      })
    }),
  )
})

test('what is derived stays true: who is named, who is remembered, map ids, the freeze', () => {
  fc.assert(
    fc.property(history, ({ views }) => {
      for (const view of views) {
        const named = new Map<string, number>()
        for (const config of view.configs)
          for (const m of config.inSync) named.set(m, (named.get(m) ?? 0) + 1)
        expect(view.named).toEqual(named)
        const called = (m: string): boolean => view.boot.frozen && view.boot.roster.has(m)
        for (const m of [...view.dead, ...view.silent.keys()]) expect(named.has(m) || called(m)).toBe(true)
        for (const m of view.dead) expect(view.members.has(m) || view.silent.has(m)).toBe(false)
        expect(view.maps.map(({ id }) => id)).toEqual(view.maps.map((_, i) => i + 1))
        if (view.boot.frozen)
          expect([...view.boot.roster].some((m) => !view.boot.reported.has(m) && !view.dead.has(m))).toBe(
            true,
          )
      }
    }),
  )
})

test('messages of another cluster change nothing but a counter', () => {
  fc.assert(
    fc.property(history, ({ messages, views }) => {
      const view = views[0]!
      const items = messages.flatMap((one) => one.items).filter(({ kind }) => kind !== 'ignored')
      const after = fold(view, message(items, { cluster: `${CLUSTER}-other` }), 2, hashSecret)
      const foreign = view.ignored.foreign + items.length
      expect(after).toEqual({ ...view, version: 2, ignored: { ...view.ignored, foreign } })
    }),
  )
})

test('a checkpoint of nothing is nothing', () => {
  expect(decodeView(encodeView(emptyView))).toEqual(emptyView)
})

test('a damaged checkpoint is refused or read, and never breaks anything else', () => {
  const bytes = encodeView(founded(3, 2, 1))
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice()
    damaged[at] = damaged[at]! ^ 0x21
    try {
      expect(decodeView(damaged).partitionCount).toBeGreaterThanOrEqual(0)
    } catch (error) {
      expect(error).toMatchObject({ code: 'MALFORMED' })
    }
  }
  expect(() => decodeView(bytes.subarray(0, 20))).toThrow('MALFORMED')
})
