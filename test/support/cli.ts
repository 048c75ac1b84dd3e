/** Runs the compiled command line as its users do, in processes of its own. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Compiles what has changed, so that a test never runs yesterday's program. */
export function build(): void {
  execFileSync(process.execPath, ['test/support/setup.mjs'], { cwd: ROOT, stdio: 'inherit' })
}

/** A command that runs until it is told to stop. */
export interface Running {
  readonly process: ChildProcess
  readonly finished: Promise<Finished>
  /** The first line of standard output that matches. Rejects when the command ends before. */
  line(wanted: RegExp): Promise<string>
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

export function launch(file: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [file, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'], // the channel lets members end when this process does
  })
  let stdout = ''
  let stderr = ''
  const lines: string[] = []
  const lookers: (() => void)[] = []
  createInterface({ input: child.stdout! }).on('line', (line) => {
    lines.push(line)
    stdout += `${line}\n`
    for (const look of lookers) look()
  })
  child.stderr!.on('data', (chunk) => {
    stderr += chunk
  })
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
  const line = (wanted: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.find((text) => wanted.test(text))
        if (found !== undefined) resolve(found)
      }
      lookers.push(look)
      look()
      void finished.then((end) =>
        reject(new Error(`ended with ${end.code} before ${wanted}:\n${end.stderr}`)),
      )
    })
  return { process: child, finished, line }
}

/** Starts a command of `actorgrid` with variables of its own. */
export function startWith(env: Record<string, string>, ...args: readonly string[]): Running {
  return launch(MAIN, args, env)
}

/** Starts a command of `actorgrid`. */
export function start(...args: readonly string[]): Running {
  return launch(MAIN, args)
}

/** Runs a command of `actorgrid` to its end. */
export function actorgrid(...args: readonly string[]): Promise<Finished> {
  return start(...args).finished
}
