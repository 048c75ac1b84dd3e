import { expect, test } from 'vitest'
import { Detector } from '../../../src/core/membership/detector.ts'

function ticking(detector: Detector, fromMs: number, toMs: number): void {
  for (let now = fromMs; now <= toMs; now += 100) detector.tick(now)
}

test('a peer is suspected after suspectMs of silence, and no longer when it is heard', () => {
  const detector = new Detector({ suspectMs: 1000, stallMs: 500 })
  detector.tick(0)
  detector.watch('a', 0)
  detector.watch('b', 0)
  ticking(detector, 100, 600)
  detector.heard('b', 600)
  ticking(detector, 700, 1000)
  expect(detector.isSuspected('a', 999)).toBe(false)
  expect(detector.suspects(1000)).toEqual(['a'])
  expect(detector.silentMs('b', 1000)).toBe(400)
  detector.heard('a', 1000)
  expect(detector.suspects(1000)).toEqual([])
})

test('who stood still itself suspects nobody, and gives everyone their time again', () => {
  const detector = new Detector({ suspectMs: 1000, stallMs: 500 })
  detector.tick(0)
  detector.watch('a', 0)
  expect(detector.isSuspected('a', 5000)).toBe(false)
  expect(detector.tick(5000)).toBe(true)
  ticking(detector, 5100, 5900)
  expect(detector.suspects(5999)).toEqual([])
  expect(detector.suspects(6000)).toEqual(['a'])
  expect(detector.tick(6000)).toBe(false)
})

test('only watched peers count, and old news is no news', () => {
  const detector = new Detector()
  detector.heard('a', 0)
  expect(detector.isSuspected('a', 10_000)).toBe(false)
  detector.watch('a', 100)
  detector.heard('a', 50)
  detector.watch('a', 400)
  expect(detector.silentMs('a', 400)).toBe(300)
  detector.forget('a')
  expect(detector.suspects(10_000)).toEqual([])
})
