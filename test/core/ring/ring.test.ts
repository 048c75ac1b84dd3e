import { expect, test } from 'vitest'
import { Ring } from '../../../src/core/ring/ring.ts'

const ids = ['a', 'b', 'c', 'd', 'e']

/** A partition's candidates, each as soon as those before are closed. */
function candidates(names: readonly string[], partition: number): string[] {
  const ring = new Ring(names)
  return names.map(() => {
    const member = ring.find(partition, () => true)
    ring.close(member)
    return names[member]!
  })
}

test('every member is a candidate once, then there is none', () => {
  const ring = new Ring(ids)
  expect([...candidates(ids, 5)].sort()).toEqual(ids)
  for (let m = 0; m < ids.length; m++) ring.close(m)
  expect(ring.find(5, () => true)).toBe(-1)
  expect(new Ring(ids).find(5, () => false)).toBe(-1)
  expect(new Ring([]).find(0, () => true)).toBe(-1)
})

test('who comes or goes does not change the order of the others', () => {
  for (let partition = 0; partition < 50; partition++) {
    const all = candidates(ids, partition)
    const fewer = ids.filter((id) => id !== 'c')
    expect(candidates(fewer, partition)).toEqual(all.filter((id) => id !== 'c'))
  }
})

test('first places are spread over all', () => {
  const counts = new Map<string, number>()
  for (let partition = 0; partition < 1000; partition++) {
    const first = candidates(ids, partition)[0]!
    counts.set(first, (counts.get(first) ?? 0) + 1)
  }
  expect(counts.size).toBe(ids.length)
  for (const count of counts.values()) expect(count).toBeGreaterThan(100)
})
