/**
 * Draws `bench/chart.svg` and writes the table of README.md from `bench/results.jsonl`, the output of a whole
 * `npm run bench -- --json`. `npm run bench:chart`.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chartOf } from './chart-svg.ts'
import { machineText } from './machine.ts'
import { withTable } from './readme-table.ts'
import type { Missing, Row } from './row.ts'

/** From build/bench/bench, where this file runs. */
const pathOf = (name: string): string => fileURLToPath(new URL(`../../../bench/${name}`, import.meta.url))

const lines = readFileSync(pathOf('results.jsonl'), 'utf8').split('\n')
const parsed = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row | Missing)
const rows = parsed.filter((line): line is Row => 'ratio' in line)
if (rows[0] === undefined)
  throw new Error('bench/results.jsonl has no rows: npm run -s bench -- --json > bench/results.jsonl')
const title = 'actorgrid and its rivals, side by side'
writeFileSync(pathOf('chart.svg'), chartOf(rows, title, machineText(rows[0].machine)))
const readme = pathOf('../README.md')
writeFileSync(readme, withTable(readFileSync(readme, 'utf8'), rows))
