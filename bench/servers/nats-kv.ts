/** NATS KV with its values in memory, on a nats-server of its own. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StorageType } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect } from '@nats-io/transport-node'
import { findNatsServer, startNatsServer } from '../../src/control/nats-server.ts'
import type { MapClient } from '../side.ts'
import { keys, pack, unpack, values } from '../value.ts'
import { outputOf } from './child.ts'
import { packageVersion } from './package-version.ts'

export async function startNatsKv(): Promise<MapClient & { close(): Promise<void> }> {
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-bench-kv-'))
  const version = outputOf(findNatsServer(), ['--version'], 'install nats-server').trim().replace(': v', ' ')
  const server = await startNatsServer({ storeDir })
  const connection = await connect({ servers: server.url })
  const kv = await new Kvm(connection).create('bench', { storage: StorageType.Memory, history: 1 })
  return {
    name: 'NATS KV',
    version: `${version}, ${packageVersion('@nats-io/kv')}`,
    get: async (id) => unpack((await kv.get(keys[id]!))?.value),
    put: (id) => kv.put(keys[id]!, pack(values[id]!)),
    async close() {
      await connection.close()
      await server.stop()
      await rm(storeDir, { recursive: true, force: true })
    },
  }
}
