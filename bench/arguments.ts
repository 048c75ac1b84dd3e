/** The command line of the benchmarks. */

import { parseArgs } from 'node:util'

const QUICK_SCALE = 0.01

export interface Arguments {
  readonly json: boolean
  readonly quick: boolean
  /** Of the sizes of long parts. */
  readonly scale: number
  readonly help: boolean
  /** Names of parts; empty: all. */
  readonly only: readonly string[]
}

/** @throws Error for an option or a part that nobody knows */
export function parseArguments(args: readonly string[], parts: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      scale: { type: 'string' },
      help: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
    },
  })
  const only = values.only.flatMap((names) => names.split(','))
  for (const name of only)
    if (!parts.includes(name)) throw new Error(`no part is called '${name}'; there are ${parts.join(', ')}`)
  const scale = Number(values.scale ?? (values.quick ? QUICK_SCALE : 1))
  if (!(scale > 0 && scale <= 1)) throw new Error(`--scale is ${values.scale}; must be above 0 and at most 1`)
  return { json: values.json, quick: values.quick, scale, help: values.help, only }
}

export function helpText(
  parts: readonly { readonly name: string; readonly about: string; readonly isLong?: true }[],
): string {
  const width = Math.max(...parts.map(({ name }) => name.length))
  const linesOf = (long: boolean): string =>
    parts
      .filter(({ isLong = false }) => isLong === long)
      .map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`)
      .join('\n')
  return `npm run bench -- [options]

Compares with rivals that run beside it on this machine: redis-server, NATS KV, Hazelcast, Ignite. All sides take
turns in every round with the same keys and values; rows have medians and, in brackets, the range of the rounds. A
rival that cannot be had is named with the reason, and the rest goes on.

  --only NAME  only this part (again, or with commas, for more)
  --json       one JSON object a line: rows, and rivals that are missing
  --quick      short rounds: to see that it runs, not for figures
  --scale N    the long parts at this part of their size, 0 to 1: for less time and memory, not for goals
  --help       this page

Parts:
${linesOf(false)}

Parts that take long, and run only where they are named:
${linesOf(true)}
`
}
