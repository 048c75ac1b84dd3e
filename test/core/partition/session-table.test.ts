/** The memory of one client's calls in one partition: what is found again, what is forgotten, and what it counts. */

import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '../../../src/core/base/bytes.ts'
import { type Completion, type Session, SessionTable } from '../../../src/core/partition/session-table.ts'
import { A, B } from './support.ts'

/** A completion whose reply is of `call` bytes. */
const done = (call: number): Completion => ({ call, seq: 100 + call, status: 0, reply: Buffer.alloc(call) })

const callsOf = (session: Session): number[] => session.completions.map(({ call }) => call)

/** What a table counts for completions of these calls. */
function bytesOf(...calls: number[]): number {
  const table = new SessionTable()
  const session = table.open(1, A)
  for (const call of calls) session.complete(done(call), 0)
  return table.bytes
}

test('calls that complete out of order are found, and forgotten as the client has had their answers', () => {
  const table = new SessionTable()
  const session = table.open(1, A)
  for (const call of [2, 7, 9, 4, 1, 8]) session.complete(done(call), 0)
  expect(callsOf(session)).toEqual([1, 2, 4, 7, 8, 9])
  expect([1, 2, 3, 4, 7, 10].map((call) => session.completion(call)?.seq)).toEqual([
    101,
    102,
    undefined,
    104,
    107,
    undefined,
  ])
  expect(table.bytes).toBe(bytesOf(1, 2, 4, 7, 8, 9))
  session.acknowledge(4)
  expect(callsOf(session)).toEqual([7, 8, 9])
  expect(table.bytes).toBe(bytesOf(7, 8, 9))
  // A late copy of what is forgotten leaves nothing behind.
  session.complete(done(3), 4)
  expect(callsOf(session)).toEqual([7, 8, 9])
  session.acknowledge(20)
  expect([callsOf(session), table.bytes]).toEqual([[], 0])
})

test('a call that completes twice counts once', () => {
  const table = new SessionTable()
  const session = table.open(1, A)
  for (const call of [5, 6]) session.complete(done(call), 0)
  session.complete({ ...done(5), seq: 200 }, 0)
  expect(session.completion(5)?.seq).toBe(200)
  expect([callsOf(session), table.bytes]).toEqual([[5, 6], bytesOf(5, 6)])
})

test('a session that is closed is not found, and what it held is no longer counted', () => {
  const table = new SessionTable()
  table.open(1, A).complete(done(5), 0)
  table.open(2, B).complete(done(6), 0)
  expect(table.find(A)?.number).toBe(1)
  table.close(1)
  expect([table.find(A), table.find(B)?.number, table.bytes]).toEqual([undefined, 2, bytesOf(6)])
  // It may begin anew.
  expect(table.open(3, A)).toBe(table.find(A))
})

test('of two sessions of one client the later one is found, also where the earlier one was found before', () => {
  const table = new SessionTable()
  const id = '1'.repeat(32)
  const before = table.open(1, id)
  expect(table.find(id)).toBe(before)
  const after = table.open(2, id)
  expect(table.find(id)).toBe(after)
})

test('a table is the same at the other end of a transfer', () => {
  const table = new SessionTable()
  for (const call of [8, 6]) table.open(call, call === 8 ? A : B).complete(done(call), 2)
  const w = new ByteWriter()
  table.encode(w)
  const taught = new SessionTable()
  taught.decode(new ByteReader(w.take()))
  expect(taught.bytes).toBe(table.bytes)
  expect([A, B].map((id) => callsOf(taught.find(id)!))).toEqual([[8], [6]])
  expect([A, B].map((id) => [taught.find(id)!.ackUpTo, taught.find(id)!.lastCall])).toEqual([
    [2, 8],
    [2, 6],
  ])
})
