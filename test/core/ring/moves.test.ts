import { expect, test } from 'vitest'
import { tableMoves } from '../../../src/core/ring/moves.ts'

test('copies, drops and owners, by partition', () => {
  const before = [['a', 'b'], ['a', 'b'], ['a', 'b'], ['a', 'b'], ['a']]
  const after = [['a', 'b'], ['b', 'a'], ['c', 'a'], ['a'], ['a', 'c']]
  expect(tableMoves(before, after)).toEqual({
    copies: [
      { partition: 2, from: 'b', to: 'c' },
      { partition: 4, from: undefined, to: 'c' },
    ],
    drops: [{ partition: 3, from: 'b' }],
    owners: [
      { partition: 1, from: 'a', to: 'b', copied: false },
      { partition: 2, from: 'a', to: 'c', copied: true },
    ],
  })
})

test('from nothing all is to be made', () => {
  expect(tableMoves([], [['a', 'b']])).toEqual({
    copies: [
      { partition: 0, from: undefined, to: 'a' },
      { partition: 0, from: undefined, to: 'b' },
    ],
    drops: [],
    owners: [{ partition: 0, from: undefined, to: 'a', copied: true }],
  })
})
