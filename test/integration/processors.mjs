/** What the members of real clusters load in tests: the processors of workload.ts. */

import { defineProcessor } from 'actorgrid'

export const add = defineProcessor('add', (entry, by) => {
  const n = (entry.value?.n ?? 0) + by
  entry.set({ n, third: n % 3 })
  return n
})
