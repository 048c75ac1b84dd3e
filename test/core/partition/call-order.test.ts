import { describe, expect, test } from 'vitest'
import { CallOrder } from '../../../src/core/partition/call-order.ts'

describe('calls of a client', () => {
  test('wait for one that was refused, and go on when it comes again', () => {
    const order = new CallOrder()
    order.refused('s', 5)
    expect(order.admits('s', 6, 4)).toBe(false)
    order.refused('s', 6)
    expect(order.admits('other', 6, 4)).toBe(true)
    expect(order.admits('s', 4, 3)).toBe(true)
    expect(order.admits('s', 5, 4)).toBe(true)
    expect(order.admits('s', 6, 4)).toBe(true)
  })

  test('go on when the refused one is waited for no more, or its link is gone', () => {
    const order = new CallOrder()
    order.refused('s', 5)
    expect(order.admits('s', 7, 5)).toBe(true)
    order.refused('s', 8)
    order.forget('s')
    expect(order.admits('s', 9, 7)).toBe(true)
  })
})
