/**
 * A real nats-server for one test file: its own port, its own store under the system's temporary folder.
 *
 * It keeps its address over restarts, so that what was connected finds it again. While it is stopped its store can be
 * copied, put back to an earlier copy, or thrown away.
 */

import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type NatsServer, type NatsServerOptions, startNatsServer } from '../../src/control/nats-server.ts'

type TestServerOptions = Pick<NatsServerOptions, 'jetStream' | 'args'>

export class TestNatsServer {
  readonly url: string
  private readonly options: TestServerOptions
  private readonly folder: string
  private server: NatsServer
  private copies = 0

  private constructor(server: NatsServer, folder: string, options: TestServerOptions) {
    this.url = server.url
    this.server = server
    this.folder = folder
    this.options = options
  }

  /** Starts one on a free loopback port. Resolves when it accepts clients. */
  static async start(options: TestServerOptions = {}): Promise<TestNatsServer> {
    const folder = await mkdtemp(join(tmpdir(), 'actorgrid-nats-'))
    const server = await startNatsServer({ ...options, storeDir: join(folder, 'store') })
    return new TestNatsServer(server, folder, options)
  }

  get pid(): number {
    return this.server.pid
  }

  /** Ends the process in good order; the store stays. */
  stop(): Promise<void> {
    return this.server.stop()
  }

  /** Ends the process as a crash would; the store stays. */
  kill(): Promise<void> {
    return this.server.kill()
  }

  /** Starts it again at the same address, after `stop` or `kill` (or kills it first). */
  async restart(): Promise<void> {
    await this.server.kill()
    const storeDir = join(this.folder, 'store')
    this.server = await startNatsServer({ ...this.options, port: this.server.port, storeDir })
  }

  /** Kills it and throws its store away. */
  async loseStore(): Promise<void> {
    await this.server.kill()
    await rm(join(this.folder, 'store'), { recursive: true, force: true })
  }

  /** Stops it and keeps a copy of its store. Resolves with the copy's path, for `rollBack`. */
  async copyStore(): Promise<string> {
    await this.server.stop()
    const copy = join(this.folder, `copy-${++this.copies}`)
    await cp(join(this.folder, 'store'), copy, { recursive: true })
    return copy
  }

  /** Kills it and puts its store back to an earlier copy. */
  async rollBack(copy: string): Promise<void> {
    await this.loseStore()
    await cp(copy, join(this.folder, 'store'), { recursive: true })
  }

  /** Ends the process and removes its files. */
  async remove(): Promise<void> {
    await this.server.kill()
    await rm(this.folder, { recursive: true, force: true })
  }
}
