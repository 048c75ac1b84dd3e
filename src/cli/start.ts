/** `actorgrid start`: runs one member until it is told to stop. Its options are the table of `member/options.ts`. */

import { Command, Option } from 'commander'
import { openLog } from '../member/log.ts'
import { optionRows, resolveOptions } from '../member/options.ts'
import { type Death, type Ready, runMemberProcess } from '../member/parent.ts'

type Flags = Record<string, string | readonly string[] | undefined> & { config?: string; json?: true }

export function startCommand(): Command {
  const command = new Command('start')
    .description(
      'Run a member. SIGTERM or Ctrl-C hands its partitions over and leaves; a second one kills it.',
    )
    .option('-c, --config <file>', 'YAML or JSON file with any of these options [env ACTORGRID_CONFIG]')
    .option('--json', 'say "ready" as a JSON object')
    .addHelpText('after', '\nPrecedence: flags, environment, configuration file, default.')
  for (const row of optionRows) {
    const fallback = row.default === '' ? '' : ` [${row.default}]`
    const option = new Option(`${row.flag} ${row.placeholder}`, `${row.help}${fallback} (${row.environment})`)
    if (row.list) option.argParser((text, before: readonly string[] = []) => [...before, text])
    command.addOption(option)
  }
  return command.action(run)
}

async function run({ config, json, ...flags }: Flags): Promise<void> {
  const environment = process.env
  const settings = resolveOptions({ flags, environment, file: config ?? environment.ACTORGRID_CONFIG })
  const log = openLog(settings)
  process.exitCode = await runMemberProcess({
    settings,
    entry: new URL('../member/child.js', import.meta.url),
    certify: async (death: Death) => {
      const { publishDeath } = await import('../member/certificate.ts')
      await publishDeath(death)
    },
    onReady: (ready) => {
      process.stdout.write(`${json ? JSON.stringify(ready) : sentence(ready)}\n`)
      // Loaded before it is needed: while it loads after a death, the partitions of the dead wait.
      void import('../member/certificate.ts')
    },
    onNote: (text) => log.info(text),
  })
}

function sentence({ name, address, id, pid }: Ready): string {
  return `member ${name} is ready at ${address} (id ${id}, process ${pid})`
}
