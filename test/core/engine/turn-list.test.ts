import { expect, test } from 'vitest'
import { TurnList } from '../../../src/core/engine/turn-list.ts'

function drain(list: TurnList, visit: (id: number) => void = () => {}): number[] {
  const taken: number[] = []
  for (let id = list.take(); id >= 0; id = list.take()) {
    taken.push(id)
    visit(id)
  }
  return taken
}

test('each is taken once, the first one added first', () => {
  const list = new TurnList()
  for (const id of [7, 0, 7, 3, 0]) list.add(id)
  expect(drain(list)).toEqual([7, 0, 3])
  expect(drain(list)).toEqual([])
})

test('one that is added again after it was taken comes again, behind those that wait', () => {
  const list = new TurnList()
  for (const id of [1, 2]) list.add(id)
  let again = true
  const taken = drain(list, (id) => {
    // The second one is still in the list: it does not come twice.
    if (id === 1) list.add(2)
    if (id === 1 && again) list.add(1)
    if (id === 1) again = false
  })
  expect(taken).toEqual([1, 2, 1, 2])
})
