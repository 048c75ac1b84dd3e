/** redis-server without persistence, alone or with a replica, and the clients of it that Node programs use. */

import { tmpdir } from 'node:os'
import { Redis } from 'ioredis'
import { createClient, RESP_TYPES } from 'redis'
import type { MapClient } from '../side.ts'
import { keys, pack, unpack, values } from '../value.ts'
import { freePort, outputOf, type Running, start } from './child.ts'
import { packageVersion } from './package-version.ts'

export interface RedisServer {
  readonly port: number
  /** Of the server, for rows. */
  readonly version: string
  /** Opens one more ioredis client; it is closed with the server. */
  ioredis(options?: { readonly enableAutoPipelining?: boolean }): Redis
  close(): Promise<void>
}

const HELP = 'install it (Debian: apt-get install redis-server) or set REDIS_SERVER_BIN to its path'

export async function startRedis(primary?: RedisServer): Promise<RedisServer> {
  const binary = process.env.REDIS_SERVER_BIN ?? 'redis-server'
  const version = /v=(\S+)/.exec(outputOf(binary, ['--version'], HELP))?.[1] ?? 'unknown'
  const port = await freePort()
  // A replica keeps what it is sent in a file first.
  const folder = ['--dir', tmpdir()]
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...folder]
  const following = primary ? ['--replicaof', '127.0.0.1', String(primary.port)] : []
  const server: Running = await start({
    name: 'redis-server',
    command: binary,
    // Without a delay before the replica gets its copy: it is empty.
    args: [...args, '--repl-diskless-sync-delay', '0', ...following],
    ready: primary ? /Finished with success|Done loading RDB/ : /ready to accept connections/i,
  })
  const clients: Redis[] = []
  return {
    port,
    version: `redis-server ${version}`,
    ioredis(options = {}) {
      const client = new Redis({ port, host: '127.0.0.1', ...options })
      clients.push(client)
      return client
    },
    async close() {
      for (const client of clients) client.disconnect()
      await server.end('SIGKILL')
    },
  }
}

/** ioredis writes each command by itself, or all of a turn together (`enableAutoPipelining`). */
export function ioredisClient(server: RedisServer, enableAutoPipelining = false): MapClient {
  const client = server.ioredis({ enableAutoPipelining })
  return {
    name: enableAutoPipelining ? 'ioredis auto-pipelining' : 'ioredis',
    version: ioredisVersion(server),
    get: async (id) => unpack(await client.getBuffer(keys[id]!)),
    put: (id) => client.set(keys[id]!, pack(values[id]!)),
  }
}

export function rawIoredisClient(server: RedisServer, enableAutoPipelining = false): MapClient {
  const client = server.ioredis({ enableAutoPipelining })
  const bytes = values.map(pack)
  return {
    name: enableAutoPipelining ? 'ioredis auto-pipelining' : 'ioredis',
    version: ioredisVersion(server),
    get: (id) => client.getBuffer(keys[id]!),
    put: (id) => client.set(keys[id]!, bytes[id]!),
  }
}

export const ioredisVersion = ({ version }: RedisServer): string => `${version}, ${packageVersion('ioredis')}`

/** node-redis pipelines by itself what is called in one turn. */
export async function startNodeRedis(server: RedisServer): Promise<MapClient & { close(): Promise<void> }> {
  const plain = createClient({ url: `redis://127.0.0.1:${server.port}` })
  plain.on('error', () => {}) // calls report it
  await plain.connect()
  const client = plain.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  return {
    name: 'node-redis',
    version: `${server.version}, node-${packageVersion('redis')}`,
    get: async (id) => unpack(await client.get(keys[id]!)),
    put: (id) => client.set(keys[id]!, pack(values[id]!)),
    async close() {
      plain.destroy()
    },
  }
}
