import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import {
  bareBytesAt,
  copyBare,
  type RecordInput,
  RecordKind,
  RecordView,
  RemoveCause,
  readRecord,
  recordBytes,
  recordBytesMax,
  writeRecord,
} from '../../../src/core/store/record.ts'
import { inputOf } from './support.ts'

/** What records of sessions carry is of one length. */
const SESSION_VALUES: { [kind: number]: string } = {
  [RecordKind.sessionOpen]: 'a number and an id..',
  [RecordKind.sessionClose]: 'numb',
}

const options = fc
  .record({
    kind: fc.constantFrom(...Object.values(RecordKind)),
    map: fc.integer({ min: 0, max: 0xffff }),
    key: fc.string({ maxLength: 300 }),
    value: fc.string({ maxLength: 2000 }),
    hash: fc.integer({ min: 0, max: 0xffffffff }),
    expiresAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 48 - 1 })),
    envelope: fc.option(fc.string({ maxLength: 300 }), { nil: undefined }),
  })
  .map((given) => ({ ...given, value: SESSION_VALUES[given.kind] ?? given.value }))
const seqs = fc.integer({ min: 1, max: 2 ** 48 - 1 })

function encode(input: RecordInput, seq: number, offset = 0): Buffer {
  const bytes = Buffer.alloc(offset + recordBytes(input), 0xee)
  writeRecord(bytes, offset, seq, input)
  return bytes
}

function expectMalformed(bytes: Buffer, start = 0, end = bytes.length): void {
  try {
    readRecord(bytes, start, end, new RecordView())
  } catch (error) {
    expect(error).toBeInstanceOf(GridError)
    expect((error as GridError).code).toBe('MALFORMED')
    return
  }
  expect.unreachable('was read')
}

describe('record', () => {
  it('has the layout that is written down', () => {
    const input = inputOf({
      map: 0x0102,
      key: 'k',
      value: 'vw',
      hash: 0xa1b2c3d4,
      expiresAt: 0x0102030405,
      envelope: 'r',
    })
    expect(encode(input, 0x060504030201).toString('hex')).toBe(
      '2c0000' +
        '19' +
        'd4c3b2a1' +
        '010203040506' +
        '0201' +
        '0100' +
        '050403020100' +
        '6b' +
        '7677' +
        'f0ffffff' +
        '07000000' +
        '03000000' +
        '09' +
        '72' +
        '110000' +
        '00000000',
    )
    const bare = encode(
      inputOf({ kind: RecordKind.remove, key: 'abc', hash: 1, cause: RemoveCause.evicted }),
      2,
    )
    expect(bare.toString('hex')).toBe(
      '150000' + '42' + '01000000' + '020000000000' + '0000' + '0300' + '616263' + '000000',
    )
  })

  it('reads back what was written', () => {
    fc.assert(
      fc.property(options, seqs, fc.nat(3), (given, seq, units) => {
        const cause = given.kind === RecordKind.remove ? RemoveCause.expired : RemoveCause.removed
        const input = inputOf({ ...given, cause })
        const bytes = encode(input, seq, units * 8)
        const view = new RecordView()
        expect(readRecord(bytes, units * 8, bytes.length, view)).toBe(bytes.length)
        expect(view).toMatchObject({
          kind: given.kind,
          cause,
          map: given.map,
          hash: given.hash,
          seq,
          expiresAt: given.expiresAt,
          hasEnvelope: given.envelope !== undefined,
        })
        expect(bytes.toString('utf8', view.keyStart, view.keyEnd)).toBe(Buffer.from(given.key).toString())
        expect(bytes.toString('utf8', view.valueStart, view.valueEnd)).toBe(
          Buffer.from(given.value).toString(),
        )
        expect(bytes.toString('utf8', view.replyStart, view.replyEnd)).toBe(
          Buffer.from(given.envelope ?? '').toString(),
        )
        if (view.hasEnvelope) {
          expect(view).toMatchObject({ session: 0xfffffff0, call: 7, ackUpTo: 3, status: 9 })
        } else expect(view).toMatchObject({ session: 0, call: 0, ackUpTo: 0, status: 0 })
      }),
    )
  })

  it('without its envelope is what it would have been without one', () => {
    fc.assert(
      fc.property(options, seqs, fc.nat(20), (given, seq, prefix) => {
        const bytes = encode(inputOf(given), seq)
        const writer = new ByteWriter(16)
        for (let i = 0; i < prefix; i++) writer.u8(1)
        copyBare(new RecordView().at(bytes, 0), writer)
        const bare = encode(inputOf({ ...given, envelope: undefined }), seq)
        expect(writer.buffer.subarray(prefix, writer.length)).toEqual(bare)
        expect(bareBytesAt(bytes, 0)).toBe(bare.length)
      }),
    )
  })

  it('refuses a record that is cut off', () => {
    fc.assert(
      fc.property(
        options,
        seqs,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (given, seq, part) => {
          const bytes = encode(inputOf(given), seq)
          expectMalformed(bytes, 0, Math.floor(bytes.length * part))
        },
      ),
    )
  })

  it('reads nothing outside the record, whatever the bytes say', () => {
    fc.assert(
      fc.property(options, seqs, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, seq, place, flip) => {
        const bytes = encode(inputOf(given), seq)
        bytes[place % Math.min(bytes.length, 40)]! ^= flip
        const view = new RecordView()
        try {
          expect(readRecord(bytes, 0, bytes.length, view)).toBeLessThanOrEqual(bytes.length)
        } catch (error) {
          expect((error as GridError).code).toBe('MALFORMED')
          return
        }
        expect(view.keyStart).toBeLessThanOrEqual(view.keyEnd)
        expect(view.keyEnd).toBe(view.valueStart)
        expect(view.valueStart).toBeLessThanOrEqual(view.valueEnd)
        expect(view.replyStart).toBeLessThanOrEqual(view.replyEnd)
        expect(Math.max(view.valueEnd, view.replyEnd)).toBeLessThanOrEqual(view.size)
      }),
      { numRuns: 2000 },
    )
  })

  it.each<[string, (bytes: Buffer) => void]>([
    ['kind 0', (b) => (b[3]! &= 0xf8)],
    ['kind 7', (b) => (b[3]! |= 0x07)],
    ['a reserved bit', (b) => (b[3]! |= 0x80)],
    ['a cause on a put', (b) => (b[3]! |= 0x20)],
    ['size 0', (b) => b.fill(0, 0, 3)],
    ['seq 0', (b) => b.fill(0, 8, 14)],
    ['expiry 0', (b) => b.fill(0, 18, 24)],
    ['a key that reaches into the envelope', (b) => (b[16] = 4)],
    ['an envelope shorter than its fields', (b) => (b[41] = 15)],
    ['an envelope that reaches into the key', (b) => (b[41] = 20)],
    ['padding that is not zero', (b) => (b[47] = 1)],
  ])('refuses %s', (_name, spoil) => {
    const bytes = encode(inputOf({ key: 'k', value: 'vw', expiresAt: 9, envelope: 'r' }), 5)
    readRecord(bytes, 0, bytes.length, new RecordView())
    spoil(bytes)
    expectMalformed(bytes)
  })

  it.each([RecordKind.sessionOpen, RecordKind.sessionClose])(
    'refuses a session (kind %i) whose value is too short or too long',
    (kind) => {
      const value = SESSION_VALUES[kind]!
      const read = (text: string, envelope?: string): void => {
        const bytes = encode(inputOf({ kind, key: '', value: text, envelope }), 5)
        readRecord(bytes, 0, bytes.length, new RecordView())
      }
      read(value)
      read(value, 'reply')
      for (const wrong of ['', value.slice(1), `${value}.`]) expect(() => read(wrong)).toThrow('MALFORMED')
      expect(() => read('', value)).toThrow('MALFORMED')
    },
  )

  it('refuses a record larger than its size field can say', () => {
    const input = inputOf({ key: 'k' })
    input.valueBytes = Buffer.alloc(recordBytesMax)
    input.valueStart = 0
    input.valueEnd = recordBytesMax - 19
    expect(recordBytes(input)).toBe(recordBytesMax)
    input.valueEnd++
    expect(() => recordBytes(input)).toThrow('TOO_LARGE')
  })
})
