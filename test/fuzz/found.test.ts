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
    decoder: 'session-table',
    what: 'a call answered twice, whose bytes were counted by the first answer and given back by the second',
    input: hex(
      `040000000200000001000000${'a1'.repeat(16)}0300000000000000020000000600000028000000000000060000` +
        `00616e7377657206000000290000000000010000000004000000${'b2'.repeat(16)}000000000000000000000000`,
    ),
  },
  {
    decoder: 'key',
    what: 'a date in the form of any extension: a second spelling, and so a second entry, of one key',
    input: hex('c704fffffffdfb'),
  },
  {
    decoder: 'key',
    what: 'the same for a date with milliseconds',
    input: hex('c708ff1d5353006553f100'),
  },
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
  {
    decoder: 'result',
    what: 'a count shorter than six bytes was read on into the next message',
    input: hex('030700000000'),
  },
  {
    decoder: 'result',
    what: 'an answer without yes or no was read from the next message',
    input: hex('02'),
  },
  {
    decoder: 'watch-token',
    what: 'an era above 65,535, which a subscription would have sent as another one',
    input: hex(
      '01a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1030008000102658002c901808002ad028080800291038080808002f50000ffffffff020000685220a4',
    ),
  },
  {
    decoder: 'events',
    what: 'an event of a kind that there is not was taken for the end of the snapshot',
    input: hex(
      `09000000 0200 0100 ${'2a0000000000'} 01000000 63 00 280000000000 0000 00000000`.replaceAll(' ', ''),
    ),
  },
]

test.each(FOUND)('$decoder: $what', ({ decoder: name, input }) => {
  const decoder = decoders.find((candidate) => candidate.name === name)
  expect(decoder).toBeDefined()
  expect(new Campaign(decoder!, 0).tryBytes(input)).toBeUndefined()
})
