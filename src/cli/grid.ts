/** The flags with which a command finds a cluster, and the connection that they ask for. */

import { type Command, Option } from 'commander'
import type { Grid } from '../client/grid.ts'

export interface GridFlags {
  readonly nats?: readonly string[] | undefined
  readonly member?: readonly string[] | undefined
  readonly cluster: string
}

/** Adds the flags that {@link withGrid} needs. */
export function gridFlags(command: Command): Command {
  const many = (text: string, before: readonly string[] = []): readonly string[] => [
    ...before,
    ...text.split(','),
  ]
  return command
    .addOption(
      new Option(
        '--nats <url>',
        'NATS server to find the cluster by [nats://127.0.0.1:4222] (ACTORGRID_NATS)',
      ).argParser(many),
    )
    .addOption(new Option('--member <address>', 'member to connect to, instead of NATS').argParser(many))
    .addOption(
      new Option('--cluster <name>', 'name of the cluster').default('actorgrid').env('ACTORGRID_CLUSTER'),
    )
}

/**
 * Connects, runs `use`, and closes the connection whatever happens. The client is loaded only here, so that the
 * parent of a member, which is the same program, stays small.
 */
export async function withGrid<R>(flags: GridFlags, use: (grid: Grid) => Promise<R>): Promise<R> {
  const { cluster } = flags
  const nats = flags.nats ?? (process.env.ACTORGRID_NATS ?? 'nats://127.0.0.1:4222').split(',')
  const { connect } = await import('../client/connect.ts')
  const grid = await connect(flags.member ? { members: flags.member, cluster } : { nats, cluster })
  try {
    return await use(grid)
  } finally {
    await grid.close()
  }
}
