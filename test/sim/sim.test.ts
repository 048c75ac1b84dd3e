import { describe, expect, test } from 'vitest'
import { plants } from './plant/table.ts'
import { scenarios } from './scenario.ts'
import { simulate } from './simulation.ts'

const RUN_MS = 240_000

describe('simulated clusters', () => {
  test('keep their promises under faults drawn from eight seeds', { timeout: RUN_MS }, () => {
    for (let seed = 1; seed <= 8; seed++) expect(simulate({ seed, faultMs: 15_000 }).failure).toBeUndefined()
  })

  test('heal a log that lost its end', { timeout: RUN_MS }, () => {
    for (let seed = 1; seed <= 4; seed++) {
      const mix = { rollback: 1, everyMs: 5000 }
      expect(simulate({ seed, rollback: true, mix, faultMs: 15_000 }).failure).toBeUndefined()
    }
  })

  test('begin a new era where data was declared lost, and only there', { timeout: RUN_MS }, () => {
    for (let seed = 1; seed <= 4; seed++)
      expect(simulate({ seed, loss: true, faultMs: 15_000 }).failure).toBeUndefined()
  })

  test('answer reads at any replica, no staler than was asked for', { timeout: RUN_MS }, () => {
    let backupReads = 0
    for (const seed of [4, 5, 12, 30]) {
      const { failure, counts } = simulate({ seed, anyReads: true, faultMs: 15_000 })
      expect(failure).toBeUndefined()
      backupReads += counts.backupReads ?? 0
    }
    expect(backupReads).toBeGreaterThan(100)
  })

  test('go the same way for the same seed', { timeout: RUN_MS }, () => {
    for (const seed of [21, 22]) {
      const first = simulate({ seed, faultMs: 15_000 })
      expect(simulate({ seed, faultMs: 15_000 }).hash).toBe(first.hash)
      expect(first.counts.answered).toBeGreaterThan(100)
    }
  })

  for (const [name, { seeds, was, ...options }] of Object.entries(scenarios)) {
    test(`${name} (${was})`, { timeout: RUN_MS }, () => {
      for (const seed of seeds) expect(simulate({ seed, ...options }).failure).toBeUndefined()
    })
  }
})

describe('planted bugs', () => {
  for (const [name, { expects, apply, options, seed: shown = 1, slow }] of Object.entries(plants)) {
    if (slow) continue
    test(`the checkers see ${name}`, { timeout: RUN_MS }, () => {
      const restore = apply()
      try {
        let { failure } = simulate({ ...options, seed: shown })
        for (let seed = 1; failure === undefined && seed <= 20; seed++)
          failure = simulate({ ...options, seed }).failure
        expect(failure).toMatch(expects)
      } finally {
        restore()
      }
    })
  }
})
