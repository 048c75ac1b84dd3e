/**
 * A cluster that an example can hurt: member processes around a nats-server of their own, as in production, or all
 * members inside this process where there is no nats-server.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, type Grid, type Processor } from 'actorgrid'
import { findNatsServer, startNatsServer, startTestCluster } from 'actorgrid/testing'

export interface ExampleCluster {
  readonly kind: string
  readonly grid: Grid
  /** Names of the members that are alive. */
  readonly names: readonly string[]
  /** Ends a member dead in the middle of whatever it does; returns when that has happened (`performance.now()`). */
  kill(name: string): number
  /** Starts one more member and returns its name when it has joined. */
  add(): Promise<string>
  close(): Promise<void>
}

export interface ClusterOptions {
  readonly members: number
  readonly backups: number
  /** Module that defines processors, as an URL, and what it exports. */
  readonly module: string
  readonly processors: readonly Processor<never, never, never, unknown>[]
  /** Everything in this process, even where there is a nats-server. */
  readonly embedded: boolean
}

/** Starts the cluster and connects to it. */
export async function startCluster(options: ClusterOptions): Promise<ExampleCluster> {
  if (options.embedded) return startEmbedded(options)
  try {
    findNatsServer()
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nContinuing with all members inside this process.\n`)
    return startEmbedded(options)
  }
  return startProcesses(options)
}

async function startEmbedded({ members, backups, processors }: ClusterOptions): Promise<ExampleCluster> {
  const cluster = await startTestCluster({ members, backups, processors })
  const alive = new Map(cluster.members.map((member, index) => [member.name, index]))
  return {
    kind: `${members} members inside this process (embedded)`,
    grid: cluster.grid,
    get names() {
      return [...alive.keys()]
    },
    kill(name) {
      cluster.kill(alive.get(name)!)
      alive.delete(name)
      return performance.now()
    },
    async add() {
      const member = await cluster.add()
      alive.set(member.name, cluster.members.length - 1)
      return member.name
    },
    close: () => cluster.close(),
  }
}

/** The line of JSON that `actorgrid start --json` prints. */
interface ReadyLine {
  /** Process id of the member itself; `actorgrid start` is its parent. */
  readonly pid: number
}

async function startProcesses({ members, backups, module }: ClusterOptions): Promise<ExampleCluster> {
  const cli = fileURLToPath(new URL('./cli/main.js', import.meta.resolve('actorgrid')))
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-quickstart-'))
  const starting = startNatsServer({ storeDir })
  const parents: ChildProcess[] = []
  /** Process ids of the members, by name. */
  const alive = new Map<string, number>()
  let grid: Grid | undefined
  const close = once(async () => {
    await grid?.close()
    await Promise.all(parents.map(end))
    const nats = await starting.catch(() => undefined)
    await nats?.stop()
    await rm(storeDir, { recursive: true, force: true })
  })
  closeAtSignal(close)
  const start = async (): Promise<string> => {
    const { url } = await starting
    const name = `member-${parents.length + 1}`
    const args = ['start', '--json', '--name', name, '--nats', url, '--cluster', 'quickstart']
    args.push('--listen', '127.0.0.1:0', '--backups', String(backups), '--expect-members', String(members))
    args.push('--found-after-ms', '0', '--modules', fileURLToPath(module))
    args.push('--log-level', process.env.ACTORGRID_LOG_LEVEL ?? 'error')
    // A process group of its own: a terminal's Ctrl-C is for this process, which then ends its members in order.
    const parent = spawn(process.execPath, [cli, ...args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    parents.push(parent)
    const { pid } = await readyLine(parent, name)
    alive.set(name, pid)
    return name
  }
  try {
    await Promise.all(Array.from({ length: members }, start))
    const { url } = await starting
    grid = await connect({ nats: url, cluster: 'quickstart' })
    return {
      kind: `nats-server and ${members} member processes`,
      grid,
      get names() {
        return [...alive.keys()]
      },
      kill(name) {
        process.kill(alive.get(name)!, 'SIGKILL')
        alive.delete(name)
        return performance.now()
      },
      add: start,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** A closed terminal sends SIGHUP. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const ORPHAN_CHECK_MS = 250

/** From now on these signals close the cluster first, then end the process with the exit code that shells expect. */
function closeAtSignal(close: () => Promise<void>): void {
  const onSignal = (signal: NodeJS.Signals): void => {
    void close().finally(() => process.exit(128 + constants.signals[signal]))
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  // npm runs its scripts in a shell, which ends at a signal without passing it on: this process has another parent then.
  if (process.env.npm_lifecycle_event === undefined) return
  const shell = process.ppid
  setInterval(() => process.ppid !== shell && onSignal('SIGTERM'), ORPHAN_CHECK_MS).unref()
}

/** The first call does the work; whoever else calls waits for the same end. */
function once(work: () => Promise<void>): () => Promise<void> {
  let ended: Promise<void> | undefined
  return () => {
    ended ??= work()
    return ended
  }
}

function readyLine(parent: ChildProcess, name: string): Promise<ReadyLine> {
  return new Promise((resolve, reject) => {
    createInterface({ input: parent.stdout! }).once('line', (line) => resolve(JSON.parse(line) as ReadyLine))
    parent.once('exit', (code) => reject(new Error(`${name} ended with code ${code} before it was ready`)))
  })
}

/** Ends a member process without ceremony: the first signal asks it to leave, the second kills it, the third hurries. */
function end(parent: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (parent.exitCode !== null || parent.signalCode !== null) return resolve()
    const timer = setInterval(() => parent.kill('SIGTERM'), 50)
    parent.once('exit', () => {
      clearInterval(timer)
      resolve()
    })
  })
}
