import { defineProcessor, type EntryView } from 'actorgrid'

export interface Reading {
  site: string
  temp: number
  at: Date
}

/** Runs on the owner of the entry, once; what is replicated is the new value. */
export const smooth = defineProcessor(
  'smooth',
  (entry: EntryView<string, Reading>, { temp, alpha }: { temp: number; alpha: number }): number => {
    if (entry.value === undefined) throw new Error(`no reading ${entry.key}`)
    const smoothed = entry.value.temp + alpha * (temp - entry.value.temp)
    entry.set({ ...entry.value, temp: smoothed })
    return smoothed
  },
)
