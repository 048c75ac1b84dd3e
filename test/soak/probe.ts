/**
 * The module that members of a soak load: an entry processor for the load, and a probe that looks at the process from
 * the inside and writes a line a sample to a file of its own.
 *
 * Members have no door for such figures, and a test is no reason to give them one; a module of processors runs inside. The
 * probe can leak on purpose, to show that the verdict sees it.
 */

import { appendFileSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { defineProcessor, type EntryView } from '../../src/core/wire/processor.ts'
import { Sampler } from './sample.ts'

export interface Item {
  readonly n: number
  readonly third: number
  readonly text: string
}

/** Raises an item's number and returns what it has become. */
export const add = defineProcessor('add', (entry: EntryView<string, Item>, by: number) => {
  const n = (entry.value?.n ?? 0) + by
  entry.set({ n, third: n % 3, text: entry.value?.text ?? '' })
  return n
})

/** What the runner tells the probe, in the environment of a member. */
export const PROBE = {
  folder: 'SOAK_SAMPLE_FOLDER',
  everyMs: 'SOAK_SAMPLE_EVERY_MS',
  collectEvery: 'SOAK_COLLECT_EVERY',
  plant: 'SOAK_PLANT',
} as const

const leaked: unknown[] = []

/** Each leaks something once a sample. */
export const plants: Readonly<Record<string, () => void>> = {
  memory: () => leaked.push(Array.from({ length: 40_000 }, (_, i) => ({ i, text: `leaked ${i}` }))),
  external: () => leaked.push(new Uint8Array(8 * 1024 * 1024).fill(1)),
  timers: () => {
    for (let i = 0; i < 5; i++) leaked.push(setInterval(() => {}, 60_000))
  },
  files: () => {
    for (let i = 0; i < 3; i++) leaked.push(openSync('/dev/null', 'r'))
  },
}

/** The file of samples of a process. */
export function sampleFile(folder: string, pid: number): string {
  return join(folder, `${pid}.jsonl`)
}

const folder = process.env[PROBE.folder]
if (folder !== undefined) {
  const sampler = new Sampler(Number(process.env[PROBE.collectEvery]))
  const plant = plants[process.env[PROBE.plant] ?? '']
  const file = sampleFile(folder, process.pid)
  const every = setInterval(() => {
    plant?.()
    appendFileSync(file, `${JSON.stringify(sampler.take())}\n`)
  }, Number(process.env[PROBE.everyMs]))
  every.unref()
}
