/** Inputs that once were findings, with what they did. Each must be refused, or accepted, like any other. */

import { expect, test } from 'vitest'
import { Campaign } from './campaign.ts'
import { decoders } from './decoders.ts'

interface Found {
  readonly decoder: string
  readonly what: string
  readonly input: Uint8Array
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const zeros = (count: number): string => '00'.repeat(count)

const FOUND: readonly Found[] = [
  {
    decoder: 'hello',
    what: 'a cluster name of wrong UTF-8, which grew when it was read: two different names could be the same',
    input: hex(`41475244010000 00${'b2'.repeat(16)} 03 78dd78`.replaceAll(' ', '')),
  },
  {
    decoder: 'config',
    what: 'a reason of wrong UTF-8, three times as long once read: writing it again failed an assertion',
    input: Buffer.concat([
      hex(`0100${'a1'.repeat(16)}0100`),
      hex(`0000 010000 01000000 02 ${'b2'.repeat(16)} 00 01 0000 0000 0000 409c`.replaceAll(' ', '')),
      Buffer.alloc(40_000, 0xff),
    ]),
  },
  {
    decoder: 'epoch-table',
    what: 'an epoch no younger than the one before it failed an assertion',
    input: hex(`0200 ${'010000000000'.repeat(2)} 010000000000 020000000000`.replaceAll(' ', '')),
  },
  {
    decoder: 'epoch-table',
    what: 'a stretch that begins no later than the one before it failed an assertion',
    input: hex('0200 010000000000 020000000000 020000000000 020000000000'.replaceAll(' ', '')),
  },
  {
    decoder: 'session-table',
    what: 'two sessions of one number, of which the first kept its bytes counted',
    input: hex(
      `${`04000000 02000000 01000000${'a1'.repeat(16)}03000000 01000000 05000000 280000000000 00 01000000 61`.replaceAll(
        ' ',
        '',
      )}01000000${'b2'.repeat(16)}${zeros(8)}`,
    ),
  },
  {
    decoder: 'query',
    what: 'a limit of 2.5 rows with an order failed an assertion, and so ended the member',
    input: hex('82a76f726465724279a474656d70a56c696d6974cb4004000000000000'),
  },
]

test.each(FOUND)('$decoder: $what', ({ decoder: name, input }) => {
  const decoder = decoders.find((candidate) => candidate.name === name)
  expect(decoder).toBeDefined()
  expect(new Campaign(decoder!, 0).tryBytes(input)).toBeUndefined()
})
