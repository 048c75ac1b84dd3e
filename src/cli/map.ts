/**
 * `actorgrid map`: reads and changes entries from the command line. Values and filters are JSON; a key is JSON too,
 * or, where it is none, the text itself. Results are JSON, one object a line.
 */

import { once } from 'node:events'
import { Command } from 'commander'
import type { Grid } from '../client/grid.ts'
import type { GridMap } from '../client/grid-map.ts'
import { GridError } from '../core/base/errors.ts'
import { type GridFlags, gridFlags, withGrid } from './grid.ts'
import { outputClosed, printJson, wholeNumber } from './output.ts'

/** Keys stand as texts in the types only: the client encodes whatever kind of key it is given. */
type AnyMap = GridMap<string, unknown>

export function mapCommand(): Command {
  const command = new Command('map').description('Read and change the entries of a map.')
  for (const build of [getCommand, putCommand, removeCommand, queryCommand, watchCommand])
    command.addCommand(gridFlags(build()))
  return command
}

function getCommand(): Command {
  return new Command('get')
    .description('Print the value of a key; exit code 1 where there is none.')
    .argument('<map>')
    .argument('<key>')
    .action(async (name: string, key: string, flags: GridFlags) => {
      const value = await withMap(flags, name, (map) => map.get(parseKey(key)))
      if (value === undefined) process.exitCode = 1
      else printJson(value)
    })
}

function putCommand(): Command {
  return new Command('put')
    .description('Set the value of a key.')
    .argument('<map>')
    .argument('<key>')
    .argument('<value>')
    .option('--ttl-ms <ms>', 'the entry expires after this time', wholeNumber)
    .action(async (name: string, key: string, text: string, flags: GridFlags & { ttlMs?: number }) => {
      const value = parseJson(text, 'value')
      const { ttlMs } = flags
      await withMap(flags, name, (map) => map.put(parseKey(key), value, { ttlMs }))
    })
}

function removeCommand(): Command {
  return new Command('remove')
    .description('Remove a key; prints whether it was there.')
    .argument('<map>')
    .argument('<key>')
    .action(async (name: string, key: string, flags: GridFlags) => {
      printJson(await withMap(flags, name, (map) => map.remove(parseKey(key))))
    })
}

interface QueryFlags extends GridFlags {
  readonly select?: readonly string[]
  readonly orderBy?: readonly (readonly [string, 'asc' | 'desc'])[]
  readonly limit?: number
}

function queryCommand(): Command {
  return new Command('query')
    .description('Print the entries that match a filter.')
    .argument('<map>')
    .argument('[where]', 'filter, for example \'{"temp":{"$gt":70}}\'')
    .option('--select <paths>', 'members to print, separated by commas', (text: string) => text.split(','))
    .option('--order-by <paths>', 'members to sort by, for example temp:desc,site', parseOrder)
    .option('--limit <number>', 'entries to print at most', wholeNumber)
    .action(async (name: string, where: string | undefined, flags: QueryFlags) => {
      const { select, orderBy, limit } = flags
      const query = { where: parseWhere(where), select, orderBy, limit }
      for (const row of await withMap(flags, name, (map) => map.query(query as object))) printJson(row)
    })
}

interface WatchFlags extends GridFlags {
  readonly initial?: true
  readonly resume?: string
  readonly tokens?: true
}

function watchCommand(): Command {
  return new Command('watch')
    .description('Print every change as it happens, until Ctrl-C.')
    .argument('<map>')
    .argument('[where]', 'filter, as for query')
    .option('--initial', 'begin with the entries that are there')
    .option('--tokens', 'print with each change the token to resume after it')
    .option('--resume <token>', 'go on after the change that was printed with this token')
    .action(async (name: string, where: string | undefined, flags: WatchFlags) => {
      const { initial = false, resume } = flags
      const query = { where: parseWhere(where), initial, resume }
      await withMap(flags, name, (map) => printChanges(map, query, flags.tokens ?? false))
    })
}

/** Until Ctrl-C (which ends the process by itself while it is connecting) or until nobody reads any more. */
async function printChanges(map: AnyMap, query: object, tokens: boolean): Promise<void> {
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort())
  const signal = AbortSignal.any([interrupted.signal, outputClosed])
  try {
    for await (const change of map.watch({ ...query, signal } as object)) {
      const { type, key, value, partition, cause, version } = change
      const token = tokens ? change.token : undefined
      if (!printJson({ type, key, value, partition, cause, version, token }))
        await once(process.stdout, 'drain', { signal })
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function withMap<R>(flags: GridFlags, name: string, use: (map: AnyMap) => Promise<R>): Promise<R> {
  return withGrid(flags, (grid: Grid) => use(grid.map<string, unknown>(name)))
}

/** JSON where it is JSON, else the text itself, so that plain names need no quotes. */
export function parseKey(text: string): string {
  try {
    return JSON.parse(text) as string
  } catch {
    return text
  }
}

function parseWhere(text: string | undefined): unknown {
  return text === undefined ? undefined : parseJson(text, 'filter')
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const help = what === 'value' ? '; a text needs double quotes of its own: \'"text"\'' : ''
    throw new GridError('BAD_OPTION', `the ${what} is no JSON: ${text}${help}`, { cause })
  }
}

function parseOrder(text: string): (readonly [string, 'asc' | 'desc'])[] {
  return text.split(',').map((part) => {
    const [path = '', direction = 'asc'] = part.split(':')
    if (direction === 'asc' || direction === 'desc') return [path, direction]
    throw new GridError('BAD_OPTION', `--order-by ${part}: the direction must be asc or desc`)
  })
}
