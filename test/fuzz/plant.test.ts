/** The fuzzer must be able to fail: one planted fault for each property, and each is found and named. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { GridError } from '../../src/core/base/errors.ts'
import { bufferGuard, Campaign } from './campaign.ts'
import type { Decoder } from './decoder.ts'

/** About one in two hundred inputs meets the fault. */
const SEEDS = ['00000000', '7f7f7f7f', '10203040', '21000000'].map((hex) => Buffer.from(hex, 'hex'))
const isRare = (bytes: Buffer, start: number, end: number): boolean =>
  end - start === 4 && bytes[start] === 0x31

interface Plant extends Omit<Partial<Decoder>, 'decode'>, Pick<Decoder, 'decode'> {
  readonly fault: string
  readonly finding: RegExp
  readonly hangMs?: number
}

const PLANTS: readonly Plant[] = [
  {
    fault: 'throws what is no error of the grid',
    finding: /^TypeError/,
    decode(bytes, start, end) {
      if (isRare(bytes, start, end)) (undefined as unknown as { member(): void }).member()
    },
  },
  {
    fault: 'throws an error of the grid that is not its own',
    finding: /^GridError: INTERNAL/,
    decode(bytes, start, end) {
      if (isRare(bytes, start, end)) throw new GridError('INTERNAL', 'planted')
    },
  },
  {
    fault: 'takes a buffer of the length that the input claims',
    finding: /^memory: buffers of/,
    decode: (bytes, start, end) =>
      Buffer.alloc(end - start === 4 ? bytes.readUInt32LE(start) & 0xff_ffff : 0),
  },
  {
    fault: 'takes an array of the length that the input claims',
    finding: /^memory: more than/,
    decode: (bytes, start, end) =>
      new Array(isRare(bytes, start, end) ? 16_000_000 + (bytes[start + 1]! << 8) : 1).fill(0).length,
  },
  {
    fault: 'changes a prototype that everybody shares',
    finding: /^prototype: Object\.prototype\.polluted/,
    decode(bytes, start, end) {
      if (isRare(bytes, start, end)) Reflect.set(Object.prototype, 'polluted', true)
    },
  },
  {
    fault: 'never ends',
    finding: /^hang: no end/,
    hangMs: 400,
    decode(bytes, start, end) {
      while (isRare(bytes, start, end));
    },
  },
  {
    fault: 'takes far too long',
    finding: /^time: more than/,
    decode(bytes, start, end) {
      const endMs = isRare(bytes, start, end) ? process.cpuUsage().user + 40_000 : 0
      while (process.cpuUsage().user < endMs);
    },
  },
  {
    fault: 'loses something in a round trip',
    finding: /^round trip/,
    decode: (bytes, start, end) => ({ byte: end > start ? bytes[start]! : 0 }),
    encode: ({ byte }: { byte: number }, w) => w.u8(byte & 0xf0 ? byte >>> 1 : byte),
  },
  {
    fault: 'looks beside its input',
    finding: /^outside/,
    decode(bytes, _, end) {
      if (bytes[end]! < 0x40) throw new GridError('MALFORMED', 'planted')
    },
  },
]

beforeAll(() => bufferGuard.install())
afterAll(() => bufferGuard.remove())

test.each(PLANTS)('a decoder that $fault is found', (plant) => {
  const decoder: Decoder = { name: 'planted', seeds: () => SEEDS, ...plant }
  const bounds = { inputMs: 20, hangMs: plant.hangMs ?? 20_000 }
  const campaign = new Campaign(decoder, 1, bounds)
  for (let at = 0; at < 2000 && campaign.report.findings.length === 0; at += 250) campaign.batch(at, 250)
  expect(campaign.report.findings.map(({ what }) => what)).toContainEqual(
    expect.stringMatching(plant.finding),
  )
  const { input } = campaign.report.findings.find(({ what }) => plant.finding.test(what))!
  expect(new Campaign(decoder, 2, bounds).tryBytes(input)).toMatch(plant.finding)
})

test('a decoder without a fault is not accused', () => {
  const decoder: Decoder = { name: 'sound', seeds: () => SEEDS, decode: (bytes, start) => bytes[start] }
  const campaign = new Campaign(decoder, 1)
  campaign.batch(0, 2000)
  expect(campaign.report.findings).toEqual([])
  expect(Object.keys(Object.prototype)).toEqual([])
})
