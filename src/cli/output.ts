/** How results leave the command line: JSON lines for programs, aligned columns for people. */

/** One value on one line. Bigints become texts, bytes become base64. */
export function printJson(value: unknown): void {
  process.stdout.write(`${jsonText(value)}\n`)
}

export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === 'bigint') return member.toString()
    if (member instanceof Uint8Array) return Buffer.from(member).toString('base64')
    return member
  })
}

/** Rows under their headings, columns aligned. */
export function printTable(headings: readonly string[], rows: readonly (readonly unknown[])[]): void {
  process.stdout.write(`${tableText(headings, rows)}\n`)
}

export function tableText(headings: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map((cell) => String(cell ?? '')))
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
