/** `actorgrid partitions`: who owns what. */

import { Command } from 'commander'
import { type GridFlags, gridFlags, withGrid } from './grid.ts'
import { printJson, printTable } from './output.ts'

export function partitionsCommand(): Command {
  return gridFlags(new Command('partitions'))
    .description('List the partitions of the cluster and their owners.')
    .option('--json', 'print one JSON object a line')
    .action(async (flags: GridFlags & { json?: true }) => {
      const partitions = await withGrid(flags, async (grid) => grid.partitions())
      if (flags.json) for (const partition of partitions) printJson(partition)
      else
        printTable(
          ['PARTITION', 'EPOCH', 'OWNER'],
          partitions.map(({ partition, epoch, owner }) => [partition, epoch, owner?.name ?? '(none)']),
        )
    })
}
