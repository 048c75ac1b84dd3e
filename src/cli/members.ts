/** `actorgrid members`: who is in the cluster. */

import { Command } from 'commander'
import { type GridFlags, gridFlags, withGrid } from './grid.ts'
import { printJson, printTable } from './output.ts'

export function membersCommand(): Command {
  return gridFlags(new Command('members'))
    .description('List the members of the cluster.')
    .option('--json', 'print one JSON object a line')
    .action(async (flags: GridFlags & { json?: true }) => {
      const members = await withGrid(flags, async (grid) => {
        const owners = grid.partitions().map(({ owner }) => owner?.id)
        return grid.members().map((member) => {
          const partitions = owners.filter((id) => id === member.id).length
          return { ...member, partitions }
        })
      })
      if (flags.json) for (const member of members) printJson(member)
      else
        printTable(
          ['NAME', 'ADDRESS', 'PARTITIONS', 'ID'],
          members.map(({ name, address, partitions, id }) => [name, address, partitions, id]),
        )
    })
}
