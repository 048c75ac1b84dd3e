/** `actorgrid partitions`: who owns what; and `partitions reset`, which gives up what nobody will bring back. */

import { Command } from 'commander'
import { GridError } from '../core/base/errors.ts'
import { clusterFlags, type GridFlags, gridFlags, type NatsFlags, natsOf, withGrid } from './grid.ts'
import { printJson, printTable } from './output.ts'

export function partitionsCommand(): Command {
  return (
    gridFlags(new Command('partitions'))
      .description('List the partitions of the cluster and their owners.')
      .option('--json', 'print one JSON object a line')
      // What stands after `reset` is for `reset`.
      .enablePositionalOptions()
      .action(async (flags: GridFlags & { json?: true }) => {
        const partitions = await withGrid(flags, async (grid) => grid.partitions())
        if (flags.json) for (const partition of partitions) printJson(partition)
        else
          printTable(
            ['PARTITION', 'EPOCH', 'OWNER'],
            partitions.map(({ partition, epoch, owner }) => [partition, epoch, owner?.name ?? '(none)']),
          )
      })
      .addCommand(resetCommand())
  )
}

interface ResetFlags extends NatsFlags {
  readonly partition?: readonly string[]
  readonly yes?: true
  readonly json?: true
}

function resetCommand(): Command {
  return clusterFlags(new Command('reset'))
    .description(
      'Show the partitions of which no replica is left, and with --yes begin them anew, empty. A replica counts as gone once the running members have struck it off the roster for its silence. If one may still run, reconnect it instead.',
    )
    .option('--partition <number...>', 'only these; without it, all that are lost')
    .option('--yes', 'give up what their replicas held')
    .option('--json', 'print one JSON object a line')
    .action(reset)
}

async function reset(flags: ResetFlags): Promise<void> {
  const { findLost, replicasOf, resetPartitions } = await import('../member/reset.ts')
  const { NatsControl, observeNats } = await import('../control/nats.ts')
  const options = { servers: natsOf(flags), cluster: flags.cluster }
  const partitions = flags.partition?.map(partitionNumber)
  // Looking first never creates a log where a name is mistyped.
  const { lost, partitionCount, maps } = await findLost(observeNats(options), partitions)
  if (lost.length > 0 && flags.yes) {
    const begun = await resetPartitions(
      new NatsControl(options),
      lost.map(({ partition }) => partition),
    )
    if (flags.json) for (const row of begun) printJson(row)
    else
      printTable(
        ['PARTITION', 'ERA', 'OWNER'],
        begun.map(({ partition, era, owner }) => [partition, era, owner]),
      )
    return
  }
  if (flags.json) {
    for (const row of lost) printJson(row)
    return
  }
  if (lost.length === 0) {
    process.stdout.write('No partition is lost.\n')
    return
  }
  printTable(
    ['PARTITION', 'ERA', 'REPLICAS'],
    lost.map((row) => [row.partition, row.era, replicasOf(row)]),
  )
  const names = maps.length === 0 ? 'no map' : maps.join(', ')
  process.stdout.write(
    `\n${lost.length} of ${partitionCount} partitions are lost. With --yes they begin anew, empty: their share of every map (${names}) is given up for good.\n`,
  )
}

function partitionNumber(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new GridError('BAD_OPTION', `--partition ${text}: must be a whole number`)
}
