/** A short campaign against every decoder, with a fixed seed, so that it cannot fail by chance. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bufferGuard, Campaign } from './campaign.ts'
import { decoders } from './decoders.ts'

const SEED = 20
const INPUTS = 1500

const { stackTraceLimit } = Error

beforeAll(() => {
  Error.stackTraceLimit = 0
  bufferGuard.install()
})

afterAll(() => {
  Error.stackTraceLimit = stackTraceLimit
  bufferGuard.remove()
})

describe.each(decoders)('$name', (decoder) => {
  test(`${INPUTS} inputs find nothing, and many are accepted`, () => {
    const campaign = new Campaign(decoder, SEED)
    for (let at = 0; at < INPUTS; at += campaign.batchInputs)
      campaign.batch(at, Math.min(campaign.batchInputs, INPUTS - at))
    const { findings, accepted } = campaign.report
    expect(findings.map(({ what, index }) => `input ${index}: ${what}`)).toEqual([])
    // A fuzzer of which everything is refused at the first byte tests nothing.
    expect(accepted).toBeGreaterThan(INPUTS / 10)
    expect(accepted).toBeLessThan(INPUTS)
  })
})

test('an input is a function of its number', () => {
  const [first, second] = [new Campaign(decoders[3]!, SEED), new Campaign(decoders[3]!, SEED)]
  first.batch(0, 100)
  expect(first.input(77).equals(second.input(77))).toBe(true)
  expect(first.input(77).equals(new Campaign(decoders[3]!, SEED + 1).input(77))).toBe(false)
})
