/** How results leave the command line, JSON lines for programs, aligned columns for people, and how numbers enter it. */

import { GridError } from '../core/base/errors.ts'

/** One value on one line. Bigints become texts, bytes become base64. Returns false when the reader lags behind. */
export function printJson(value: unknown): boolean {
  return process.stdout.write(`${jsonText(value)}\n`)
}

const outputClosing = new AbortController()

/** Aborted when nobody reads standard output any more (`| head -1`), which shows at a write. */
export const outputClosed: AbortSignal = outputClosing.signal

/** From now on a reader that goes away is no failure; any other trouble with standard output is reported. */
export function tolerateClosedOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (outputClosed.aborted) return
    outputClosing.abort()
    if (error.code === 'EPIPE' || error.code === 'EIO') return // a pipe, or a terminal
    process.exitCode = 1
    process.stderr.write(`standard output: ${error.message}\n`)
  })
}

/** @throws GridError `BAD_OPTION` */
export function wholeNumber(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new GridError('BAD_OPTION', `${text} is no whole number`)
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
