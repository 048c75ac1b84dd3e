/** The command line of the benchmarks. */

import { parseArgs } from 'node:util'

export interface Arguments {
  readonly json: boolean
  readonly quick: boolean
  readonly large: boolean
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
      large: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
    },
  })
  const only = values.only.flatMap((names) => names.split(','))
  for (const name of only)
    if (!parts.includes(name)) throw new Error(`no part is called '${name}'; there are ${parts.join(', ')}`)
  return { json: values.json, quick: values.quick, large: values.large, help: values.help, only }
}

export function helpText(parts: readonly { readonly name: string; readonly about: string }[]): string {
  const width = Math.max(...parts.map(({ name }) => name.length))
  return `npm run bench -- [options]

Compares with rivals that run beside it on this machine: redis-server, NATS KV, Hazelcast, Ignite. All sides take
turns in every round with the same keys and values; rows have medians and, in brackets, the range of the rounds. A
rival that cannot be had is named with the reason, and the rest goes on.

  --only NAME  only this part (again, or with commas, for more)
  --json       one JSON object a line: rows, and rivals that are missing
  --quick      short rounds: to see that it runs, not for figures
  --large      the store with 10 million entries too
  --help       this page

Parts:
${parts.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`).join('\n')}
`
}
