/** Records a second that a compiled filter tests, on one core, straight over the core: 500,000 records of 77 bytes. */

import assert from 'node:assert/strict'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { compileFilter } from '../../src/core/query/scan.ts'
import type { Part } from '../bench.ts'
import type { Side } from '../side.ts'
import { packr } from '../value.ts'

const RECORDS = 500_000
const RECORD_BYTES = 77
const FLOOR = 10_000_000

export const scanPart: Part = {
  name: 'scan',
  about: 'records a second that a filter tests, against a fixed floor',
  async run(bench) {
    await bench.compareFixed({
      bench: 'scan records/s',
      inFlight: null,
      load: { kind: 'rate', inFlight: 1 },
      side: scanSide(),
      floor: FLOOR,
    })
  },
}

function scanSide(): Side {
  const { bytes, ends } = makeRecords()
  const filter = compileFilter({ temp: { $gt: 90 }, site: 'plant-3' }, defaultLimits)
  return {
    name: 'actorgrid',
    version: '',
    async measure() {
      const startMs = performance.now()
      let found = 0
      let start = 0
      for (let i = 0; i < RECORDS; i++) {
        const end = ends[i]!
        if (filter.matches(bytes, start, end)) found++
        start = end
      }
      const value = (RECORDS / (performance.now() - startMs)) * 1000
      assert.equal(found, RECORDS / 50)
      return { value }
    },
  }
}

/** Every tenth record is hot, every fifth is of plant 3: one in fifty is both. */
function makeRecords(): { bytes: Buffer; ends: Uint32Array } {
  const bytes = Buffer.allocUnsafeSlow(RECORDS * RECORD_BYTES)
  const ends = new Uint32Array(RECORDS)
  let at = 0
  for (let i = 0; i < RECORDS; i++) {
    const temp = (i % 10 === 0 ? 91.5 : 20.5) + (i % 7)
    const site = `plant-${Math.floor(i / 10) % 5}`
    const packed = packr.pack({
      id: 1_000_000 + i,
      site,
      temp,
      ok: true,
      note: 'no remarks on any one',
      line: 'l-07',
    })
    assert.equal(packed.length, RECORD_BYTES)
    bytes.set(packed, at)
    at += packed.length
    ends[i] = at
  }
  return { bytes, ends }
}
