/** Child processes of the benchmarks: each is ready when it says so, and none outlives this process. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'

export interface Program {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** A line of its output that says that it is ready. */
  readonly ready: RegExp
  readonly cwd?: string
  /** A channel for messages. */
  readonly ipc?: boolean
}

export interface Running {
  readonly child: ChildProcess
  readonly pid: number
  /** Signals until it has ended: a member wants to be told more than once that nothing is to be kept. */
  end(signal: NodeJS.Signals): Promise<void>
}

const LINES_KEPT = 20
const SIGNAL_EVERY_MS = 50
const READY_WITHIN_MS = 120_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Resolves when the program is ready. @throws Error with its last lines if it ends before */
export async function start({ name, command, args, ready, cwd, ipc = false }: Program): Promise<Running> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
    ...(cwd === undefined ? {} : { cwd }),
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  try {
    await readiness(child, name, ready)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return { child, pid: child.pid!, end: (signal) => ended(child, signal) }
}

function readiness(child: ChildProcess, name: string, ready: RegExp): Promise<void> {
  const lines: string[] = []
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${name} was not ready within ${READY_WITHIN_MS} ms`)),
      READY_WITHIN_MS,
    )
    const fail = (text: string, cause?: unknown): void => {
      clearTimeout(timer)
      reject(new Error([`${name} ${text}`, ...lines].join('\n'), { cause }))
    }
    const read = (line: string): void => {
      lines.push(line)
      if (lines.length > LINES_KEPT) lines.shift()
      if (!ready.test(line)) return
      clearTimeout(timer)
      resolve()
    }
    // Read to the end, so that the program never waits for a full pipe.
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', read)
    child.once('error', (cause) => fail(`cannot be started: ${cause.message}`, cause))
    child.once('exit', (code, signal) => fail(`ended (${signal ?? code}) before it was ready`))
  })
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.kill(signal)
    const timer = setInterval(() => child.kill(signal), SIGNAL_EVERY_MS)
    child.once('exit', () => {
      clearInterval(timer)
      resolve()
    })
  })
}

/** What a program prints. @throws Error that says `help` where it cannot be run */
export function outputOf(command: string, args: readonly string[], help: string): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (error !== undefined) throw new Error(`${command} cannot be run (${error.message}): ${help}`)
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr || stdout}`)
  return stdout + stderr
}

/** A port of the loopback interface that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
