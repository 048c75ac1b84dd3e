/**
 * The nats-servers of a chaos cluster: one, or three that keep the log together. Each has a host, a port that it keeps
 * over restarts, and a store that can be thrown away or put back to an earlier image while it is down.
 */

import { cp, mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { findNatsServer } from '../../src/control/nats-server.ts'
import type { Host } from './host.ts'
import { ChaosProcess } from './process.ts'

/** Inside a namespace of its own no port is taken. */
const OWN_PORT = 4222
const OWN_ROUTE_PORT = 6222

interface Ports {
  readonly client: number
  readonly route: number
}

export class ChaosNatsServer {
  readonly name: string
  readonly host: Host
  readonly ports: Ports
  readonly storeDir: string
  readonly #log: string
  #routes: readonly string[] = []
  #process: ChaosProcess | undefined
  #images = 0

  private constructor(name: string, host: Host, ports: Ports, folder: string) {
    this.name = name
    this.host = host
    this.ports = ports
    this.storeDir = join(folder, name, 'store')
    this.#log = join(folder, `${name}.log`)
  }

  static async on(host: Host, name: string, folder: string): Promise<ChaosNatsServer> {
    await mkdir(join(folder, name), { recursive: true })
    const isOwn = host.exec.length > 0
    const ports = isOwn
      ? { client: OWN_PORT, route: OWN_ROUTE_PORT }
      : { client: await freePort(), route: await freePort() }
    return new ChaosNatsServer(name, host, ports, folder)
  }

  get url(): string {
    return `nats://${this.host.address}:${this.ports.client}`
  }

  get isRunning(): boolean {
    return this.#process !== undefined
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** The other servers of its NATS cluster; none for a server that stands alone. To be said before it starts. */
  join(servers: readonly ChaosNatsServer[]): void {
    this.#routes = servers.map(({ host, ports }) => `nats://${host.address}:${ports.route}`)
  }

  /** Starts it where it does not run. Resolves when it accepts clients. */
  async start(): Promise<void> {
    if (this.#process !== undefined) return
    const { address } = this.host
    const own = ['-a', address, '-p', String(this.ports.client), '-js', '-sd', this.storeDir]
    const shared = [
      ...['--server_name', this.name, '--cluster_name', 'chaos'],
      ...['--cluster', `nats://${address}:${this.ports.route}`, '--routes', this.#routes.join(',')],
    ]
    const command = [findNatsServer(), ...own, ...(this.#routes.length > 0 ? shared : [])]
    const started = await ChaosProcess.start(this.host, command, this.#log, 'stderr')
    this.#process = started
    await started.line(/Server is ready/)
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    const running = this.#process
    this.#process = undefined
    await running?.kill()
  }

  pause(): void {
    this.#process?.signal('SIGSTOP')
  }

  resume(): void {
    this.#process?.signal('SIGCONT')
  }

  /** Throws away what it has stored; it must be down. */
  async loseStore(): Promise<void> {
    await rm(this.storeDir, { recursive: true, force: true })
  }

  /** Copies its store as it is at one moment, as a snapshot of the disk would. Resolves with the path. */
  async image(): Promise<string> {
    const image = `${this.storeDir}-${++this.#images}`
    this.pause()
    try {
      await cp(this.storeDir, image, { recursive: true })
    } finally {
      this.resume()
    }
    return image
  }

  /** Puts an earlier image in the place of the store; it must be down. */
  async rollBack(image: string): Promise<void> {
    await this.loseStore()
    await cp(image, this.storeDir, { recursive: true })
    await rm(image, { recursive: true })
  }
}

/** All nats-servers of one cluster. */
export class ChaosNats {
  readonly servers: readonly ChaosNatsServer[]

  constructor(servers: readonly ChaosNatsServer[]) {
    this.servers = servers
    if (servers.length > 1)
      for (const server of servers) server.join(servers.filter((other) => other !== server))
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url)
  }

  async start(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.start()))
  }

  async kill(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.kill()))
  }

  pause(): void {
    for (const server of this.servers) server.pause()
  }

  resume(): void {
    for (const server of this.servers) server.resume()
  }

  /** The server that leads the stream of the cluster, where there is one. */
  async leader(cluster: string): Promise<ChaosNatsServer | undefined> {
    const connection = await connect({ servers: this.urls, reconnect: false, timeout: 5000 })
    try {
      const manager = await jetstreamManager(connection, { timeout: 5000 })
      const info = await manager.streams.info(`ACTORGRID_${cluster}`)
      return this.servers.find(({ name }) => name === info.cluster?.leader)
    } finally {
      await connection.close()
    }
  }

  /** Resolves when the log of that cluster can be written. */
  async canWrite(cluster: string, withinMs: number): Promise<void> {
    const stream = `ACTORGRID_${cluster}`
    const connection = await connect({ servers: this.urls, reconnect: false, timeout: withinMs })
    try {
      const manager = await jetstreamManager(connection, { timeout: withinMs })
      const [subject] = (await manager.streams.info(stream)).config.subjects
      // An entry of no bytes holds no item.
      await manager.jetstream().publish(subject!, '', { timeout: withinMs, expect: { streamName: stream } })
    } finally {
      await connection.close()
    }
  }

  /** Resolves when JetStream answers: three servers need a moment to elect who leads them. */
  async ready(withinMs: number): Promise<void> {
    const untilMs = performance.now() + withinMs
    for (;;) {
      try {
        const connection = await connect({ servers: this.urls, reconnect: false, timeout: 2000 })
        try {
          const manager = await jetstreamManager(connection, { timeout: 2000 })
          // Only a stream of as many copies shows that all servers have found each other.
          await manager.streams.add({ name: 'probe', subjects: ['probe'], num_replicas: this.servers.length })
          await manager.streams.delete('probe')
          return
        } finally {
          await connection.close()
        }
      } catch (error) {
        if (performance.now() > untilMs) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

/**
 * A port that was free a moment ago: servers must know each other's before they start. Below those that the system gives
 * to whoever asks for any, so that nobody has it when the server comes back.
 */
function freePort(): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 12_000)
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(freePort()))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(port)))
  })
}
