import { expect, test } from 'vitest'
import { Wishes } from '../../../src/core/engine/wish.ts'

/** When a wish was asked for that somebody has every 50 ms. */
function asked(wishes: Wishes, key: string, fromMs: number, toMs: number): number[] {
  const times: number[] = []
  for (let ms = fromMs; ms <= toMs; ms += 50) if (wishes.due(key, ms)) times.push(ms)
  return times
}

test('each repetition waits twice as long as the one before, up to 8 s', () => {
  expect(asked(new Wishes(), 'a', 0, 32_000)).toEqual([0, 500, 1500, 3500, 7500, 15_500, 23_500, 31_500])
})

test('wishes do not slow each other down, and one had anew begins anew', () => {
  const wishes = new Wishes()
  asked(wishes, 'a', 0, 4000)
  expect(asked(wishes, 'b', 4000, 4600)).toEqual([4000, 4500])
  expect(asked(wishes, 'a', 4600, 5200)).toEqual([4600, 5100])
})

test('what nobody wishes for any more is not remembered', () => {
  const wishes = new Wishes()
  for (let i = 0; i < 1000; i++) wishes.due(`member ${i}`, i)
  wishes.due('still', 1200)
  wishes.tidy(1510)
  expect(wishes.size).toBe(1)
  expect(wishes.due('still', 1550)).toBe(false)
  wishes.clear()
  expect(wishes.due('still', 1560)).toBe(true)
})
