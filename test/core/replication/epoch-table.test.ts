import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '../../../src/core/base/bytes.ts'
import { EpochTable } from '../../../src/core/replication/epoch-table.ts'

function tableOf(...rows: readonly (readonly [number, number])[]): EpochTable {
  const table = new EpochTable()
  for (const [epoch, firstSeq] of rows) table.begin(epoch, firstSeq)
  return table
}

test('says which epoch wrote a seq, and how far that stretch goes', () => {
  const table = tableOf([5, 1], [7, 10], [9, 20])
  expect([0, 1, 9, 10, 19, 20, 500].map((seq) => table.at(seq))).toEqual([0, 5, 5, 7, 7, 9, 9])
  expect([1, 9, 10, 20].map((seq) => table.firstSeqAt(seq))).toEqual([1, 1, 10, 20])
  expect([1, 12, 25].map((seq) => table.lastSeqAt(seq, 30))).toEqual([9, 19, 30])
  expect(table.newest).toBe(9)
})

test('a cut takes the epochs that began above it', () => {
  const table = tableOf([5, 1], [7, 10], [9, 20])
  table.truncate(10)
  expect(table.newest).toBe(7)
  table.truncate(9)
  expect(table.newest).toBe(5)
  table.begin(11, 10)
  expect(table.at(10)).toBe(11)
})

test('epochs and their beginnings rise', () => {
  const table = tableOf([5, 1])
  expect(() => table.begin(5, 2)).toThrow()
  expect(() => table.begin(6, 1)).toThrow()
})

test('keeps the newest 256 rows; what came before them is epoch 0', () => {
  const table = new EpochTable()
  for (let i = 1; i <= 300; i++) table.begin(i, i * 10)
  expect(table.at(3000)).toBe(300)
  expect(table.at(450)).toBe(45)
  expect(table.at(449)).toBe(0)
})

test('moves as bytes', () => {
  const w = new ByteWriter()
  tableOf([5, 1], [7, 10]).encode(w)
  const copy = new EpochTable()
  copy.begin(99, 1)
  copy.decode(new ByteReader(w.take()))
  expect([copy.at(9), copy.at(10), copy.newest]).toEqual([5, 7, 7])
})
