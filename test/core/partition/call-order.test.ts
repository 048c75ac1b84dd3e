import { beforeEach, describe, expect, test } from 'vitest'
import { CallOrder } from '../../../src/core/partition/call-order.ts'
import { TestClient } from './support.ts'

describe('calls of a client', () => {
  const { outlet: link } = new TestClient()
  const { outlet: other } = new TestClient()
  let order: CallOrder

  beforeEach(() => {
    order = new CallOrder(5000)
  })

  test('wait for one that was refused, and go on when it comes again', () => {
    order.refused(link, 5, 4)
    expect(order.admits(link, 6, 4)).toBe(false)
    expect(order.admits(other, 6, 4)).toBe(true)
    expect(order.admits(link, 4, 3)).toBe(true)
    expect(order.admits(link, 5, 4)).toBe(true)
    expect(order.admits(link, 6, 4)).toBe(true)
  })

  test('wait for each one that was refused, and not for the first alone', () => {
    order.refused(link, 5, 4)
    order.refused(link, 6, 4)
    expect(order.admits(link, 5, 4)).toBe(true)
    expect(order.admits(link, 7, 4)).toBe(false)
    expect(order.admits(link, 6, 4)).toBe(true)
    expect(order.admits(link, 7, 4)).toBe(true)
  })

  test('wait for one that was refused after another that never came again', () => {
    order.refused(link, 2, 1)
    order.refused(link, 8, 7)
    expect(order.admits(link, 9, 7)).toBe(false)
    expect(order.admits(link, 8, 7)).toBe(true)
    expect(order.admits(link, 9, 7)).toBe(true)
  })

  test('wait for what was refused out of order, too', () => {
    order.refused(link, 7, 4)
    order.refused(link, 5, 4)
    order.refused(link, 7, 4)
    expect(order.admits(link, 6, 4)).toBe(false)
    expect(order.admits(link, 5, 4)).toBe(true)
    expect(order.admits(link, 6, 4)).toBe(true)
    expect(order.admits(link, 8, 4)).toBe(false)
  })

  test('go on when the refused one is waited for no more, or its link is gone', () => {
    order.refused(link, 5, 4)
    expect(order.admits(link, 7, 5)).toBe(true)
    order.refused(link, 8, 5)
    order.forget(link)
    expect(order.admits(link, 9, 7)).toBe(true)
  })

  test('wait on a new link although the old one of the same client is found to have ended', () => {
    order.refused(other, 5, 4)
    order.refused(link, 5, 4)
    order.forget(other)
    expect(order.admits(link, 6, 4)).toBe(false)
  })

  test('are remembered up to a bound, the lowest of them', () => {
    for (let call = 6000; call > 0; call--) order.refused(link, call, 0)
    for (let call = 1; call <= 5000; call++) {
      expect(order.admits(link, 6001, 0)).toBe(false)
      expect(order.admits(link, call, 0)).toBe(true)
    }
    expect(order.admits(link, 6001, 0)).toBe(true)
  })
})
