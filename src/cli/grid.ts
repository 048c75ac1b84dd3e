/** The flags with which a command finds a cluster, and the connection that they ask for. */

import { type Command, Option } from 'commander'
import type { Grid } from '../client/grid.ts'

export interface NatsFlags {
  readonly nats?: readonly string[] | undefined
  readonly cluster: string
}

export interface GridFlags extends NatsFlags {
  readonly member?: readonly string[] | undefined
}

const many = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text.split(','),
]

/** Adds the flags that name a cluster by its NATS servers. */
export function clusterFlags(command: Command): Command {
  const nats = 'NATS server to find the cluster by [nats://127.0.0.1:4222] (ACTORGRID_NATS)'
  return command
    .addOption(new Option('--nats <url>', nats).argParser(many))
    .addOption(
      new Option('--cluster <name>', 'name of the cluster').default('actorgrid').env('ACTORGRID_CLUSTER'),
    )
}

/** Adds the flags that {@link withGrid} needs. */
export function gridFlags(command: Command): Command {
  return clusterFlags(command).addOption(
    new Option('--member <address>', 'member to connect to, instead of NATS').argParser(many),
  )
}

/** The NATS servers that the flags or the environment name. */
export function natsOf({ nats }: NatsFlags): readonly string[] {
  return nats ?? (process.env.ACTORGRID_NATS ?? 'nats://127.0.0.1:4222').split(',')
}

/**
 * Connects, runs `use`, and closes the connection whatever happens. The client is loaded only here, so that the
 * parent of a member, which is the same program, stays small.
 */
export async function withGrid<R>(flags: GridFlags, use: (grid: Grid) => Promise<R>): Promise<R> {
  const { cluster } = flags
  const nats = natsOf(flags)
  const { connect } = await import('../client/connect.ts')
  const grid = await connect(flags.member ? { members: flags.member, cluster } : { nats, cluster })
  try {
    return await use(grid)
  } finally {
    await grid.close()
  }
}
