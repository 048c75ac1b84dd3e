/**
 * A cluster that an example can hurt: member processes around a nats-server of their own, as in production, or all
 * members inside this process where there is no nats-server.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, type Grid, type Processor } from 'actorgrid'
import { findNatsServer, type NatsServer, startNatsServer, startTestCluster } from 'actorgrid/testing'

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

interface MemberProcess {
  /** The parent, which `actorgrid start` is. */
  readonly parent: ChildProcess
  /** Process id of the member itself. */
  readonly pid: number
  readonly address: string
}

/** The line of JSON that `actorgrid start --json` prints. */
interface ReadyLine {
  readonly pid: number
  readonly address: string
}

async function startProcesses({ members, backups, module }: ClusterOptions): Promise<ExampleCluster> {
  const cli = fileURLToPath(new URL('./cli/main.js', import.meta.resolve('actorgrid')))
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-quickstart-'))
  const nats: NatsServer = await startNatsServer({ storeDir })
  const alive = new Map<string, MemberProcess>()
  let started = 0
  const start = async (): Promise<string> => {
    const name = `member-${++started}`
    const args = ['start', '--json', '--name', name, '--nats', nats.url, '--cluster', 'quickstart']
    args.push('--listen', '127.0.0.1:0', '--backups', String(backups), '--expect-members', String(members))
    args.push(
      '--found-after-ms',
      '0',
      '--modules',
      fileURLToPath(module),
      '--log-level',
      process.env.ACTORGRID_LOG_LEVEL ?? 'error',
    )
    const parent = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    const { pid, address } = await readyLine(parent, name)
    alive.set(name, { parent, pid, address })
    return name
  }
  const close = async (): Promise<void> => {
    await Promise.all([...alive.values()].map(end))
    await nats.stop()
    await rm(storeDir, { recursive: true, force: true })
  }
  try {
    await Promise.all(Array.from({ length: members }, start))
    const grid = await connect({ nats: nats.url, cluster: 'quickstart' })
    return {
      kind: `nats-server and ${members} member processes`,
      grid,
      get names() {
        return [...alive.keys()]
      },
      kill(name) {
        process.kill(alive.get(name)!.pid, 'SIGKILL')
        alive.delete(name)
        return performance.now()
      },
      add: start,
      async close() {
        await grid.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

function readyLine(parent: ChildProcess, name: string): Promise<ReadyLine> {
  return new Promise((resolve, reject) => {
    createInterface({ input: parent.stdout! }).once('line', (line) => resolve(JSON.parse(line) as ReadyLine))
    parent.once('exit', (code) => reject(new Error(`${name} ended with code ${code} before it was ready`)))
  })
}

/** Ends a member process without ceremony: the first signal asks it to leave, the second kills it, the third hurries. */
function end({ parent }: MemberProcess): Promise<void> {
  return new Promise((resolve) => {
    if (parent.exitCode !== null || parent.signalCode !== null) return resolve()
    const timer = setInterval(() => parent.kill('SIGTERM'), 50)
    parent.once('exit', () => {
      clearInterval(timer)
      resolve()
    })
  })
}
