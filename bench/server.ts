/** The two servers that are compared, each a process of its own on this machine: a grid of one member, and Redis. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { connect } from '../src/client/connect.ts'
import type { Grid } from '../src/client/grid.ts'
import { startNatsServer } from '../src/control/nats-server.ts'

export interface GridServer {
  readonly grid: Grid
  close(): Promise<void>
}

/** A cluster of one member without backups, with a nats-server of its own. */
export async function startGrid(): Promise<GridServer> {
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-bench-'))
  const nats = await startNatsServer({ storeDir })
  const cli = fileURLToPath(new URL('./cli/main.js', import.meta.resolve('actorgrid')))
  const args = ['start', '--json', '--nats', nats.url, '--cluster', 'bench', '--listen', '127.0.0.1:0']
  const member = spawn(
    process.execPath,
    [cli, ...args, '--backups', '0', '--found-after-ms', '0', '--log-level', 'error'],
    {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    },
  )
  await firstLine(member, 'the member')
  const grid = await connect({ nats: nats.url, cluster: 'bench' })
  return {
    grid,
    async close() {
      await grid.close()
      await ended(member, 'SIGTERM')
      await nats.stop()
      await rm(storeDir, { recursive: true, force: true })
    },
  }
}

export interface RedisServer {
  readonly client: Redis
  close(): Promise<void>
}

/** A redis-server without persistence. */
export async function startRedis(): Promise<RedisServer> {
  const port = await freePort()
  const binary = process.env.REDIS_SERVER_BIN ?? 'redis-server'
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = spawn(binary, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await firstLine(server, 'redis-server', /ready to accept connections/i)
  const client = new Redis(port, '127.0.0.1')
  return {
    client,
    async close() {
      client.disconnect()
      await ended(server, 'SIGKILL')
    },
  }
}

function firstLine(child: ChildProcess, name: string, wanted = /./): Promise<void> {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (wanted.test(line)) resolve()
    })
    child.once('error', (cause) => reject(new Error(`${name} cannot be started`, { cause })))
    child.once('exit', (code) => reject(new Error(`${name} ended with code ${code} before it was ready`)))
  })
}

/** Signals until the process has ended: a member wants to be told more than once that nothing is to be kept. */
function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const timer = setInterval(() => child.kill(signal), 50)
    child.once('exit', () => {
      clearInterval(timer)
      resolve()
    })
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
