/**
 * What it takes to get from one table to another: copies that must be made, copies to be given up, new owners.
 */

type Table = readonly (readonly string[])[]

export interface TableMoves {
  /** Copies that must be made; `from` is a member that gives its copy up for it, where there is one. */
  readonly copies: readonly {
    readonly partition: number
    readonly from: string | undefined
    readonly to: string
  }[]
  /** Copies that are given up without one being made. */
  readonly drops: readonly { readonly partition: number; readonly from: string }[]
  /** Partitions whose owner is another; `copied` where it held no copy before. */
  readonly owners: readonly {
    readonly partition: number
    readonly from: string | undefined
    readonly to: string
    readonly copied: boolean
  }[]
}

/** The difference of two tables, by partition. */
export function tableMoves(before: Table, after: Table): TableMoves {
  const copies: TableMoves['copies'][number][] = []
  const drops: TableMoves['drops'][number][] = []
  const owners: TableMoves['owners'][number][] = []
  for (let partition = 0; partition < Math.max(before.length, after.length); partition++) {
    const old = before[partition] ?? []
    const row = after[partition] ?? []
    const gone = old.filter((member) => !row.includes(member))
    for (const to of row) if (!old.includes(to)) copies.push({ partition, from: gone.shift(), to })
    for (const from of gone) drops.push({ partition, from })
    const owner = row[0]
    if (owner !== undefined && owner !== old[0])
      owners.push({ partition, from: old[0], to: owner, copied: !old.includes(owner) })
  }
  return { copies, drops, owners }
}
