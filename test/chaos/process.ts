/** One process of a chaos cluster on its host: its output in a file, its end as a promise, signals by its id. */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, createWriteStream, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Host } from './host.ts'
import { guard, release } from './watchdog.ts'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class ChaosProcess {
  readonly pid: number
  readonly ended: Promise<Ended>
  #isOver = false
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #lookers = new Set<() => void>()

  private constructor(child: ChildProcess, watched: NodeJS.ReadableStream) {
    this.#child = child
    this.pid = child.pid!
    guard(this.pid)
    createInterface({ input: watched }).on('line', (line) => {
      if (this.#lines.length < 200) this.#lines.push(line)
      for (const look of [...this.#lookers]) look()
    })
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#isOver = true
        release(this.pid)
        resolve({ code, signal })
      })
    })
  }

  /** Starts a command. One of its outputs can be looked at line by line; standard error goes to the file `log` too. */
  static async start(
    host: Host,
    command: readonly string[],
    log: string,
    watch: 'stdout' | 'stderr',
  ): Promise<ChaosProcess> {
    const [file, ...args] = [...host.exec, ...command] as [string, ...string[]]
    const out = openSync(log, 'a')
    const stdio =
      watch === 'stdout' ? (['ignore', 'pipe', out] as const) : (['ignore', 'ignore', 'pipe'] as const)
    const child = spawn(file, args, { stdio: [...stdio] })
    closeSync(out)
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    if (watch === 'stdout') return new ChaosProcess(child, child.stdout!)
    child.stderr!.pipe(createWriteStream(log, { flags: 'a' }))
    return new ChaosProcess(child, child.stderr!)
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The first of the early lines that matches. Rejects when the process ends before. */
  line(wanted: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.#lines.find((line) => wanted.test(line))
        if (found === undefined) return
        this.#lookers.delete(look)
        resolve(found)
      }
      this.#lookers.add(look)
      look()
      void this.ended.then(({ code, signal }) =>
        reject(
          new Error(
            `${this.#child.spawnargs.join(' ')} ended (${signal ?? code}): ${this.#lines.join('\n')}`,
          ),
        ),
      )
    })
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#isOver) process.kill(this.pid, signal)
  }

  /** Ends it as a crash would; resolves when it is gone. */
  async kill(): Promise<Ended> {
    this.signal('SIGKILL')
    return await this.ended
  }
}
