/**
 * `actorgrid dev`: a cluster to try things with, on this machine, gone when it stops. A nats-server with a temporary
 * store, and members as processes of their own, each started as `actorgrid start` would.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { findNatsServer, type NatsServer, startNatsServer } from '../control/nats-server.ts'
import { GridError } from '../core/base/errors.ts'
import type { Ready } from '../member/parent.ts'
import { printTable, wholeNumber } from './output.ts'

const SIGNAL_EVERY_MS = 50
/** Where clients and the other commands look for NATS unless told otherwise. */
const USUAL_PORT = 4222
const PORT_MAX = 65_535
/** A closed terminal sends SIGHUP. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

interface DevFlags {
  readonly members: string
  readonly backups: string
  readonly cluster: string
  readonly port?: number
  readonly modules?: readonly string[]
}

export function devCommand(): Command {
  return new Command('dev')
    .description('Run a cluster on this machine to try things with, until Ctrl-C. Nothing is kept.')
    .option('--members <number>', 'member processes', '3')
    .option('--backups <number>', 'copies of every partition beside its owner', '1')
    .option('--cluster <name>', 'name of the cluster', 'actorgrid')
    .option(
      '--port <number>',
      `port of the nats-server on 127.0.0.1 [${USUAL_PORT} if it is free, else any]`,
      wholeNumber,
    )
    .option('--modules <file...>', 'modules with entry processors to load')
    .action(run)
}

async function run(flags: DevFlags): Promise<void> {
  const count = Number(flags.members)
  if (!Number.isInteger(count) || count < 1 || count > 32)
    throw new GridError('BAD_OPTION', `--members ${flags.members}: must be a whole number from 1 to 32`)
  if (flags.port !== undefined && flags.port > PORT_MAX)
    throw new GridError('BAD_OPTION', `--port ${flags.port}: must be from 0 to ${PORT_MAX}`)
  findNatsServer() // before anything is made that would have to be removed
  // Kept until the end: a second signal must not cut the tidying short.
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of SIGNALS) process.on(signal, resolve)
  })
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-dev-'))
  const members: ChildProcess[] = []
  const starting = startServer(storeDir, flags.port)
  try {
    const nats = await Promise.race([starting, stopped])
    if (typeof nats !== 'string') {
      const names = Array.from({ length: count }, (_, i) => `dev-${i + 1}`)
      const ready = Promise.all(names.map((name) => startMemberProcess(name, nats.url, flags, members)))
      const started = await Promise.race([ready, stopped])
      if (typeof started !== 'string') announce(started, nats, flags)
    }
    process.exitCode = 128 + constants.signals[await stopped]
  } finally {
    await Promise.all(members.map(endProcess))
    const nats = await starting.catch(() => undefined)
    await nats?.stop()
    await rm(storeDir, { recursive: true, force: true })
  }
}

/** At the chosen port; else at the usual one, where everything finds it, or at any if that is taken. */
async function startServer(storeDir: string, port: number | undefined): Promise<NatsServer> {
  try {
    return await startNatsServer({ storeDir, port: port ?? USUAL_PORT })
  } catch (error) {
    const taken = error instanceof GridError && error.code === 'PORT_IN_USE'
    if (port !== undefined || !taken) throw error
    return await startNatsServer({ storeDir })
  }
}

/** Says what runs, and what to export where clients and the other commands would not find it by themselves. */
function announce(started: readonly Ready[], { url, port }: NatsServer, { cluster }: DevFlags): void {
  printTable(
    ['MEMBER', 'ADDRESS', 'PROCESS'],
    started.map(({ name, address, pid }) => [name, address, pid]),
  )
  const exports = [
    ...(port === USUAL_PORT ? [] : [`export ACTORGRID_NATS=${url}`]),
    ...(cluster === 'actorgrid' ? [] : [`export ACTORGRID_CLUSTER=${cluster}`]),
  ]
  const lines = [
    `nats     ${url}`,
    `cluster  ${cluster}`,
    ...(exports.length === 0 ? [] : ['', 'In the terminal that uses it, first:', ...exports, '']),
    `try      actorgrid map put things a '{"n":1}'`,
    'stop     Ctrl-C',
  ]
  process.stdout.write(`\n${lines.join('\n')}\n`)
}

/** Starts a member; resolves with what it says when it is ready. It notices the end of this process by itself. */
function startMemberProcess(
  name: string,
  nats: string,
  flags: DevFlags,
  list: ChildProcess[],
): Promise<Ready> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const args = ['start', '--json', '--name', name, '--nats', nats, '--listen', '127.0.0.1:0']
  args.push('--cluster', flags.cluster, '--backups', flags.backups, '--expect-members', flags.members)
  args.push('--found-after-ms', '0')
  args.push('--log-level', 'error', ...(flags.modules ?? []).flatMap((file) => ['--modules', file]))
  // A process group of its own: a terminal's Ctrl-C is for this process, which then ends its members in order.
  const parent = spawn(process.execPath, [main, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  list.push(parent)
  return new Promise((resolve, reject) => {
    createInterface({ input: parent.stdout! }).once('line', (line) => resolve(JSON.parse(line) as Ready))
    parent.once('exit', (code) =>
      reject(new GridError('UNREACHABLE', `member ${name} ended with code ${code} before it was ready`)),
    )
  })
}

/**
 * Ends a member at once: nothing of it is to be kept, and its NATS may be gone already. The first signal would let it
 * leave, the second kills it, the third keeps its parent from certifying that.
 */
function endProcess(parent: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (parent.exitCode !== null || parent.signalCode !== null) return resolve()
    const timer = setInterval(() => parent.kill('SIGTERM'), SIGNAL_EVERY_MS)
    parent.once('exit', () => {
      clearInterval(timer)
      resolve()
    })
    parent.kill('SIGTERM')
  })
}
