import { expect, test } from 'vitest'
import { LogMemory, numbered } from '../../../src/core/engine/log-memory.ts'
import type { MapDefinition, MemberInfo } from '../../../src/core/membership/config.ts'
import { emptyView, type View } from '../../../src/core/membership/view.ts'

const self = 'f'.repeat(32)
const info: MemberInfo = {
  id: 'a'.repeat(32),
  name: 'a',
  address: 'a:1',
  zone: '',
  host: 'a',
  version: '1',
  state: 'active',
  secretHash: 'hash',
}

const map = (id: number, name: string): MapDefinition => ({ id, name, config: {} })
const viewWith = (part: Partial<View>): View => ({ ...emptyView, ...part })

test('a member that a healed configuration names, and the log has forgotten, is told of with its death', () => {
  const memory = new LogMemory()
  memory.take(viewWith({ members: new Map([[info.id, info]]) }))
  memory.died(info.id, 'secret')
  const forgotten = viewWith({ named: new Map([[info.id, 1]]) })
  expect(memory.take(forgotten)).toBe(true)
  expect(memory.corrections(forgotten, self)).toEqual([{ kind: 'member', info }])
  const known = viewWith({ members: new Map([[info.id, info]]) })
  expect(memory.corrections(known, self)).toEqual([
    { kind: 'remove', member: info.id, proof: 'certificate', secret: 'secret' },
  ])
  expect(memory.corrections(viewWith({ dead: new Set([info.id]), named: forgotten.named }), self)).toEqual([])
})

test('of itself and of strangers nothing is told', () => {
  const memory = new LogMemory()
  memory.take(viewWith({ members: new Map([[info.id, info]]) }))
  memory.died('b'.repeat(32), 'secret of a stranger')
  const named = new Map([
    [info.id, 1],
    ['b'.repeat(32), 1],
  ])
  expect(memory.corrections(viewWith({ named }), info.id)).toEqual([])
  expect(memory.hasDied('b'.repeat(32))).toBe(false)
})

test('maps are remembered when the log forgets them, and another in their place is a conflict', () => {
  const memory = new LogMemory()
  memory.take(viewWith({ maps: [map(1, 'x'), map(2, 'y')] }))
  expect(memory.take(viewWith({ maps: [map(1, 'x')] }))).toBe(true)
  expect(memory.maps.map(({ name }) => name)).toEqual(['x', 'y'])
  expect(memory.take(viewWith({ maps: [map(1, 'x'), map(2, 'z')] }))).toBe(false)
})

test('new maps get the next numbers, and none while the log may have lost some', () => {
  const wishes = ['p', 'q'].map((name) => ({ kind: 'map' as const, name, config: {} }))
  expect(numbered(wishes, 3, true).map((item) => item.kind === 'map' && item.id)).toEqual([4, 5])
  const healed = { kind: 'map' as const, name: 'r', config: {}, id: 2, healed: true }
  expect(numbered([...wishes, healed], 1, false)).toEqual([healed])
})

test('a log that falls back to a boot which was known has lost its end, and one with a new boot has not', () => {
  const boot = (id: string) => ({ ...emptyView.boot, id })
  const founded = { clusterId: 'c', version: 5, maps: [map(1, 'x')] }
  const memory = new LogMemory()
  memory.take(viewWith({ ...founded, boot: boot('one') }))
  memory.take(viewWith({ ...founded, version: 6, boot: boot('one') }))
  expect(memory.rewoundBoot).toBeUndefined()
  memory.take(viewWith({ ...founded, version: 4, boot: boot('two') }))
  expect(memory.rewoundBoot).toBeUndefined()
  memory.take(viewWith({ ...founded, version: 7, boot: boot('two'), maps: [] }))
  expect(memory.rewoundBoot).toBe('two')
})
