/**
 * Finds a nats-server on this machine and runs it as a child process with JetStream.
 *
 * For `actorgrid dev`, the quickstart and the tests; production runs NATS by its own means. The server counts as
 * started when it says so itself. It never outlives this process, however that ends: a watch of a few lines of shell waits
 * for the end of a pipe that only this process holds. No signal handler is needed for that, so that none stands in the way
 * of what the program around does with its signals. (Where there is no `sh`, only an orderly exit takes the server along.)
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { delimiter, join } from 'node:path'
import { GridError } from '../core/base/errors.ts'

export interface NatsServerOptions {
  /** Where JetStream keeps its files. Created if it is missing; never removed here. */
  readonly storeDir: string
  /** Loopback port. Default 0: any free one. */
  readonly port?: number | undefined
  /** Default true. */
  readonly jetStream?: boolean | undefined
  /** Further arguments, for example `['--user', 'u', '--pass', 'p']`. */
  readonly args?: readonly string[] | undefined
  /** Receives the server's log, line by line. */
  readonly log?: ((line: string) => void) | undefined
}

export interface NatsServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Resolves when the process has ended, for whatever reason. */
  readonly ended: Promise<void>
  /** Ends it in good order. Resolves when the process is gone. */
  stop(): Promise<void>
  /** Ends it as a crash would (SIGKILL). Resolves when the process is gone. */
  kill(): Promise<void>
}

const LINES_KEPT = 20
/** Debian installs into the first, which is not on the PATH of ordinary users. */
const USUAL_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin']

/**
 * Path of the nats-server to run: the variable `NATS_SERVER_BIN`, else the first on `PATH`, else in a usual folder.
 * @throws GridError `CONTROL_UNAVAILABLE` that says what to install
 */
export function findNatsServer(
  env: Readonly<Record<string, string | undefined>> = process.env,
  usualFolders: readonly string[] = USUAL_FOLDERS,
): string {
  const chosen = env.NATS_SERVER_BIN
  if (chosen) {
    if (isProgram(chosen)) return chosen
    throw new GridError('CONTROL_UNAVAILABLE', `NATS_SERVER_BIN is ${chosen}, which is not a program`)
  }
  const name = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server'
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const folder of [...folders, ...usualFolders]) {
    const path = join(folder, name)
    if (isProgram(path)) return path
  }
  throw new GridError(
    'CONTROL_UNAVAILABLE',
    'no nats-server found: install it (apt-get install nats-server, brew install nats-server, or ' +
      'https://nats.io/download), or set NATS_SERVER_BIN to its path',
  )
}

/**
 * Starts a nats-server on the loopback interface. Resolves when it accepts clients.
 * @throws GridError `CONTROL_UNAVAILABLE` if none is found or it does not start, `PORT_IN_USE`
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { port = 0, jetStream = true, args = [] } = options
  const child = spawn(
    findNatsServer(),
    [
      ...['-a', '127.0.0.1', '-p', String(port === 0 ? -1 : port)],
      ...(jetStream ? ['-js', '-sd', options.storeDir] : []),
      ...args,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const stopWatch = child.pid === undefined ? () => {} : watch(child.pid)
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      process.removeListener('exit', killAtExit)
      stopWatch()
      resolve()
    })
  })
  const end = (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    return ended
  }
  const actualPort = await ready(child, options.log)
  return {
    url: `nats://127.0.0.1:${actualPort}`,
    port: actualPort,
    pid: child.pid!,
    ended,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  }
}

/** Has process `pid` killed when this process is gone. Returns what ends the watch. */
function watch(pid: number): () => void {
  // In a group of its own: a terminal that closes, or Ctrl-C, must not end the watch first.
  const shell = spawn('sh', ['-c', 'read -r _; kill -9 "$1"', 'nats-server-watch', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.on('error', () => {})
  shell.stdin.on('error', () => {})
  // It is not this process's work, and must not keep it from ending.
  shell.unref()
  ;(shell.stdin as Socket).unref()
  return () => shell.kill('SIGKILL')
}

/** Waits for the server's own word that it is ready; resolves with the port that it listens on. */
function ready(child: ChildProcess, log: ((line: string) => void) | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    let port = 0
    let rest = ''
    const lines: string[] = []
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop()!
      for (const line of parts) {
        log?.(line)
        lines.push(line)
        if (lines.length > LINES_KEPT) lines.shift()
        const listening = /Listening for client connections on .*:(\d+)$/.exec(line)
        if (listening) port = Number(listening[1])
        else if (line.endsWith('Server is ready')) resolve(port)
      }
    })
    child.once('error', (cause) => {
      reject(new GridError('CONTROL_UNAVAILABLE', `nats-server cannot be run: ${cause.message}`, { cause }))
    })
    child.once('close', (code, signal) => {
      const said = lines.join('\n')
      const taken = said.includes('address already in use')
      reject(
        new GridError(
          taken ? 'PORT_IN_USE' : 'CONTROL_UNAVAILABLE',
          `nats-server ended (${signal ?? code}) before it was ready:\n${said}`,
        ),
      )
    })
  })
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
