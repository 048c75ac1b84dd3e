#!/usr/bin/env node
/**
 * The command line. Each command is a file beside this one; this one joins them and turns failures into a message
 * on standard error and an exit code: 2 where the command was used wrongly, 1 where it failed.
 */

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { devCommand } from './dev.ts'
import { describeFailure } from './failure.ts'
import { mapCommand } from './map.ts'
import { membersCommand } from './members.ts'
import { tolerateClosedOutput } from './output.ts'
import { partitionsCommand } from './partitions.ts'
import { startCommand } from './start.ts'

async function main(args: readonly string[]): Promise<number> {
  const program = new Command('actorgrid')
    .description('An in-memory data grid for TypeScript.')
    .version(packageVersion())
    .showHelpAfterError('(add --help for the options)')
    // Options belong to the command that they stand behind.
    .enablePositionalOptions()
  for (const command of [startCommand(), devCommand(), mapCommand(), membersCommand(), partitionsCommand()])
    program.addCommand(command)
  eachCommand(program, (command) => command.exitOverride())
  try {
    await program.parseAsync(args, { from: 'user' })
    return typeof process.exitCode === 'number' ? process.exitCode : 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const { text, exitCode } = describeFailure(error)
    process.stderr.write(`${text}\n`)
    return exitCode
  }
}

function eachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command)
  for (const inner of command.commands) eachCommand(inner, visit)
}

function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return (content as { version: string }).version
}

tolerateClosedOutput()
process.exitCode = await main(process.argv.slice(2))
