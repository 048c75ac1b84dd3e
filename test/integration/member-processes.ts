/** A real cluster for one test file: a nats-server and member processes started by the command line, as users do. */

import { fileURLToPath } from 'node:url'
import type { Control } from '../../src/control/control.ts'
import { observeNats } from '../../src/control/nats.ts'
import { decodeView } from '../../src/core/membership/checkpoint.ts'
import { emptyView, foldEntries, type View } from '../../src/core/membership/view.ts'
import { hashSecret } from '../../src/member/secret.ts'
import { type Running, start } from '../support/cli.ts'
import { TestNatsServer } from '../support/nats-server.ts'

const PROCESSORS = fileURLToPath(new URL('processors.mjs', import.meta.url))

interface MemberProcess {
  readonly running: Running
  /** The member itself; `running` is its parent. */
  readonly pid: number
  readonly address: string
}

export class MemberProcesses {
  readonly cluster = 'killing'
  readonly #server: TestNatsServer
  readonly #members = new Map<string, MemberProcess>()
  readonly #ends: (() => Promise<unknown>)[] = []

  /** The configuration log, read along as members do. */
  readonly #control: Control
  #view: View = emptyView
  #waiting: (() => void)[] = []
  #following: Promise<void> | undefined

  private constructor(server: TestNatsServer) {
    this.#server = server
    this.#control = observeNats({ servers: [server.url], cluster: this.cluster })
  }

  static async start(): Promise<MemberProcesses> {
    return new MemberProcesses(await TestNatsServer.start())
  }

  async #follow(): Promise<void> {
    await this.#control.open({
      onOpen: (_, checkpoint) => {
        this.#view = checkpoint ? decodeView(checkpoint.bytes) : emptyView
      },
      onEntries: (entries) => {
        this.#view = foldEntries(this.#view, entries, hashSecret)
        this.#folded()
      },
      onDown: () => {},
      onAnnouncement: () => {},
    })
  }

  get nats(): string {
    return this.#server.url
  }

  names(): string[] {
    return [...this.#members.keys()]
  }

  addressOf(name: string): string {
    return this.#members.get(name)!.address
  }

  /** Starts a member; resolves when it takes part. */
  async add(name: string): Promise<void> {
    const at = ['--nats', this.nats, '--cluster', this.cluster, '--name', name, '--host', name]
    const own = ['--listen', '127.0.0.1:0', '--expect-members', '3', '--partition-count', '31']
    const running = start(
      'start',
      '--json',
      '--modules',
      PROCESSORS,
      '--rebalance-delay-ms',
      '50',
      ...at,
      ...own,
    )
    const { pid, address } = JSON.parse(await running.line(/^\{/)) as { pid: number; address: string }
    this.#members.set(name, { running, pid, address })
    this.#following ??= this.#follow()
    await this.#following
  }

  /** Ends the member process itself, at once; its parent lives to certify that. */
  kill(name: string): void {
    process.kill(this.#members.get(name)!.pid, 'SIGKILL')
    this.#members.delete(name)
  }

  /** Asks a member to leave; resolves when its process has ended well. */
  async leave(name: string): Promise<void> {
    const { running } = this.#members.get(name)!
    this.#members.delete(name)
    running.process.kill('SIGTERM')
    const { code, stderr } = await running.finished
    if (code !== 0) throw new Error(`${name} ended with ${code}:\n${stderr}`)
  }

  /** Resolves when every partition has as many in-sync replicas as the cluster wants, all of them in the roster. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#folded()
    })
  }

  #folded(): void {
    const { configs, members, backups } = this.#view
    if (configs.length === 0 || this.#waiting.length === 0) return
    const isSettled = configs.every(
      ({ inSync }) => inSync.length > backups && inSync.every((id) => members.has(id)),
    )
    if (isSettled) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Something that must end before the servers do. */
  atEnd(end: () => Promise<unknown>): void {
    this.#ends.push(end)
  }

  async close(): Promise<void> {
    for (const end of this.#ends) await end()
    for (const { running, pid } of this.#members.values()) {
      process.kill(pid, 'SIGKILL')
      running.process.kill('SIGKILL')
    }
    await Promise.all([...this.#members.values()].map(({ running }) => running.finished))
    await this.#control.close()
    await this.#server.remove()
  }
}
