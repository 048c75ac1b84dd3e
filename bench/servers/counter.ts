/** The entry processor that is compared with Lua in Redis: a counter. Loaded by members. */

import { defineProcessor, type EntryView } from '../../src/core/wire/processor.ts'

export const add = defineProcessor('add', (entry: EntryView<string, number>, by: number): number => {
  const sum = (entry.value ?? 0) + by
  entry.set(sum)
  return sum
})
