/** What the members of chaos clusters load. */

import { defineProcessor } from 'actorgrid'

/** Raises the number of an entry and returns what it has become. */
export const add = defineProcessor('add', (entry, by) => {
  const n = (entry.value?.n ?? 0) + by
  entry.set({ ...entry.value, n })
  return n
})
