/**
 * A nats-server and members as processes, started by the command line as users do, with default options and on hosts of
 * their own. Members carry the probe; what they log goes to a file each. Only the history for watchers is shorter than by
 * default: it grows until it is full, and that is to be over with the warm-up.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { NatsControl } from '../../src/control/nats.ts'
import { TestNatsServer } from '../support/nats-server.ts'
import { Ledger } from './ledger.ts'
import { PROBE, sampleFile } from './probe.ts'
import type { Sample } from './sample.ts'

const HISTORY_BYTES = 8 * 1024 * 1024

export interface ClusterOptions {
  /** For logs and samples. */
  readonly folder: string
  /** Members to wait for before the cluster is founded. */
  readonly founders: number
  readonly sampleEveryMs: number
  /** Every how many samples members make a full collection. */
  readonly collectEvery: number
  /** The leak that members are to have. */
  readonly plant?: string | undefined
}

export interface MemberProcess {
  readonly name: string
  /** The incarnation. */
  readonly id: string
  readonly address: string
  readonly pid: number
  readonly parent: ChildProcess
  /** Settles with the exit code of the parent. */
  readonly ended: Promise<number | null>
}

export class Cluster {
  readonly name = 'soak'
  readonly nats: string
  readonly ledger: Ledger
  /** Those that run, by name. */
  readonly members = new Map<string, MemberProcess>()
  /** Process ids of all that ever ran, by incarnation. */
  readonly #pids = new Map<string, number>()
  readonly #server: TestNatsServer
  readonly #options: ClusterOptions
  readonly #main = commandLine()

  private constructor(server: TestNatsServer, ledger: Ledger, options: ClusterOptions) {
    this.#server = server
    this.nats = server.url
    this.ledger = ledger
    this.#options = options
  }

  /** Resolves when the members take part and all partitions are where they belong. */
  static async start(options: ClusterOptions, names: readonly string[]): Promise<Cluster> {
    const server = await TestNatsServer.start()
    const ledger = await Ledger.open(new NatsControl({ servers: [server.url], cluster: 'soak' }))
    const cluster = new Cluster(server, ledger, options)
    try {
      await Promise.all(names.map((name) => cluster.add(name)))
      await ledger.atRest(names.length)
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  get natsPid(): number {
    return this.#server.pid
  }

  /** Process ids of the members, their parents and the nats-server. */
  get pids(): number[] {
    const members = [...this.members.values()]
    return [...members.flatMap(({ pid, parent }) => [pid, parent.pid!]), this.natsPid]
  }

  /** Starts a member; resolves when it takes part. */
  async add(name: string): Promise<MemberProcess> {
    const { folder, founders, sampleEveryMs, collectEvery, plant } = this.#options
    const probe = fileURLToPath(new URL('probe.js', import.meta.url))
    const where = ['--nats', this.nats, '--cluster', this.name, '--listen', '127.0.0.1:0']
    const own = ['--name', name, '--host', name, '--expect-members', String(founders), '--modules', probe]
    const bounded = ['--history-bytes', String(HISTORY_BYTES)]
    const env: NodeJS.ProcessEnv = { ...process.env, [PROBE.folder]: folder }
    env[PROBE.everyMs] = String(sampleEveryMs)
    env[PROBE.collectEvery] = String(collectEvery)
    if (plant !== undefined) env[PROBE.plant] = plant
    const log = openSync(join(folder, `${name}.log`), 'a')
    const parent = spawn(process.execPath, [this.#main, 'start', '--json', ...where, ...own, ...bounded], {
      env,
      // The channel lets the member leave when this process ends, however that comes.
      stdio: ['ignore', 'pipe', log, 'ipc'],
    })
    closeSync(log)
    const ended = new Promise<number | null>((resolve) => parent.once('close', resolve))
    const { id, pid, address } = await ready(name, parent, ended)
    const member = { name, id, pid, address, parent, ended }
    this.members.set(name, member)
    this.#pids.set(id, pid)
    return member
  }

  /** Asks a member to leave; resolves when its process has ended well. */
  async leave(name: string): Promise<void> {
    const { parent, ended } = this.#take(name)
    parent.kill('SIGTERM')
    const code = await ended
    if (code !== 0) throw new Error(`${name} was to leave and ended with ${code}; see its log`)
  }

  /** Ends a member process with SIGKILL. Its parent lives to certify that, or is killed with it. */
  kill(name: string, withParent: boolean): MemberProcess {
    const member = this.#take(name)
    this.ledger.kill(member.id)
    process.kill(member.pid, 'SIGKILL')
    if (withParent) member.parent.kill('SIGKILL')
    return member
  }

  /** What the probe of a process has written. */
  samplesOf(pid: number): Sample[] {
    const file = sampleFile(this.#options.folder, pid)
    if (!existsSync(file)) return []
    const lines = readFileSync(file, 'utf8').split('\n')
    // The last one is empty, or is just being written.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as Sample)
  }

  /** The sample of an incarnation, dead or alive, whose time contains a moment. */
  sampleAt(incarnation: string, atMs: number): Sample | undefined {
    const pid = this.#pids.get(incarnation)
    return pid === undefined ? undefined : this.samplesOf(pid).find((sample) => sample.atMs >= atMs)
  }

  async close(): Promise<void> {
    const members = [...this.members.values()]
    for (const { pid, parent } of members) {
      process.kill(pid, 'SIGKILL')
      parent.kill('SIGKILL')
    }
    await Promise.all(members.map(({ ended }) => ended))
    await this.ledger.close()
    await this.#server.remove()
  }

  #take(name: string): MemberProcess {
    const member = this.members.get(name)
    if (member === undefined) throw new Error(`there is no member ${name}`)
    this.members.delete(name)
    return member
  }
}

async function ready(
  name: string,
  parent: ChildProcess,
  ended: Promise<number | null>,
): Promise<{ id: string; pid: number; address: string }> {
  const lines = createInterface({ input: parent.stdout! })
  const line = new Promise<string>((resolve) => lines.once('line', resolve))
  const early = ended.then((code): never => {
    throw new Error(`${name} ended with ${code} before it was ready; see its log`)
  })
  // Once the member is ready, its end is no failure of its start.
  early.catch(() => {})
  return JSON.parse(await Promise.race([line, early])) as { id: string; pid: number; address: string }
}

/** The compiled command line of the package that this file is in. */
function commandLine(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    if (folder === dirname(folder)) throw new Error('this file is in no package')
    folder = dirname(folder)
  }
  return join(folder, 'dist', 'cli', 'main.js')
}
