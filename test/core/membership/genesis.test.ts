import { expect, test } from 'vitest'
import { genesis, genesisAnew } from '../../../src/core/membership/genesis.ts'
import { decodeMessage, encodeMessage } from '../../../src/core/membership/item.ts'
import { targetOf, wishes } from '../../../src/core/membership/placement.ts'
import { emptyView } from '../../../src/core/membership/view.ts'
import { apply, foldAll, hex, member, successor } from './fixture.ts'

function idsFrom(start: number): () => string {
  let n = start
  return () => hex(n++)
}

const settings = { clusterId: 'c-7', partitionCount: 31, backups: 1, minInSync: 1, evidence: 'e', by: hex(2) }
const members = [member(2, { state: 'joining' }), member(1), member(3)]

test('a founding is valid as a whole, and leaves nothing to do', () => {
  const message = genesis({ ...settings, members, newId: idsFrom(0x900) })
  const view = foldAll(emptyView, [decodeMessage(encodeMessage(message))!])
  expect(Object.values(view.ignored).every((count) => count === 0)).toBe(true)
  expect(view).toMatchObject({ clusterId: 'c-7', gen: 1, boot: { id: message.boot, frozen: false } })
  expect([...view.members.values()].map(({ id, state }) => [id, state])).toEqual(
    [1, 2, 3].map((n) => [hex(n), 'active']),
  )
  expect(view.configs.map(({ owner, inSync }) => [owner, ...inSync.slice(1)])).toEqual(view.target?.table)
  expect(targetOf(view)).toBeUndefined()
  for (const { id } of members) expect(wishes(view, id)).toEqual([])
})

test('a lost log is founded anew with what is known, and waits for the others', () => {
  const first = foldAll(emptyView, [genesis({ ...settings, members, newId: idsFrom(0x900) })])
  const known = apply(first, [{ kind: 'map', name: 'm', config: { ttlMs: 9 } }], { cluster: 'c-7' })
  const changed = known.configs[4]!
  const newer = successor(changed, hex(0xaaaa), { inSync: [changed.owner] })
  const newest = successor(newer, hex(0xaaab))

  const configs = known.configs.map((config) => (config === changed ? newer : config))
  const anew = genesisAnew({ view: known, configs, evidence: 'x', by: hex(1), newId: idsFrom(0xb00) })
  let view = foldAll(emptyView, [decodeMessage(encodeMessage(anew))!])
  expect(Object.values(view.ignored).every((count) => count === 0)).toBe(true)
  expect(view).toMatchObject({ clusterId: 'c-7', gen: 2, configs, boot: { evidence: 'x', frozen: true } })
  expect(view.members).toEqual(known.members)
  expect(view.maps).toEqual(known.maps)
  expect(view.target).toEqual(known.target)

  const cluster = 'c-7'
  view = apply(view, [{ kind: 'heal', state: newest, onto: newer.id }], { cluster, by: hex(2) })
  expect(view.configs[4]).toEqual(newest)
  for (const by of [hex(1), hex(2), hex(3)]) {
    expect(view.boot.frozen).toBe(true)
    view = apply(view, [{ kind: 'report', boot: view.boot.id }], { cluster, by })
  }
  expect(view.boot.frozen).toBe(false)
})
