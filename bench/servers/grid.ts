/**
 * Our side: a cluster of members, each a process of its own, with a nats-server of its own, and one client.
 *
 * With backups, `minInSync` is all replicas, so that no write can be acknowledged by fewer than were promised.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { startNatsServer } from '../../src/control/nats-server.ts'
import type { MapClient } from '../side.ts'
import { keys, pack, type Reading, values } from '../value.ts'
import { type Running, start } from './child.ts'

export interface GridServer {
  readonly grid: Grid
  close(): Promise<void>
}

const CLUSTER = 'bench'

/** `modules` have entry processors; compiled ones. */
export async function startGrid(
  options: { readonly backups?: number; readonly modules?: readonly URL[] } = {},
): Promise<GridServer> {
  const { backups = 0, modules = [] } = options
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-bench-'))
  const nats = await startNatsServer({ storeDir })
  const members: Running[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.end('SIGTERM')))
    await nats.stop()
    await rm(storeDir, { recursive: true, force: true })
  }
  try {
    const args = [
      ...['--nats', nats.url, '--cluster', CLUSTER, '--listen', '127.0.0.1:0', '--log-level', 'error'],
      ...['--backups', String(backups), '--min-in-sync', String(backups + 1)],
      ...['--expect-members', String(backups + 1), '--found-after-ms', '0'],
      ...modules.flatMap((url) => ['--modules', fileURLToPath(url)]),
    ]
    const starting = Array.from({ length: backups + 1 }, (_, i) => startMemberProcess(i, args))
    for (const member of await Promise.all(starting)) members.push(member)
    const grid = await connect({ nats: nats.url, cluster: CLUSTER })
    return {
      grid,
      async close() {
        await grid.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function startMemberProcess(index: number, args: readonly string[]): Promise<Running> {
  const cli = fileURLToPath(new URL('./cli/main.js', import.meta.resolve('actorgrid')))
  // Replicas are kept on different hosts.
  const host = ['--host', `host-${index}`]
  return start({
    name: 'the member',
    command: process.execPath,
    args: [cli, 'start', '--json', ...args, ...host],
    ready: /"address"/,
    ipc: true,
  })
}

/** Gives and takes objects. */
export function gridClient(grid: Grid): MapClient {
  const map = grid.map<string, Reading>('bench')
  return {
    name: 'actorgrid',
    version: '',
    get: (id) => map.get(keys[id]!),
    put: (id) => map.put(keys[id]!, values[id]!),
  }
}

/** Gives and takes the bytes of the values. */
export function rawGridClient(grid: Grid): MapClient {
  const map = grid.map<string, Uint8Array>('raw')
  const bytes = values.map(pack)
  return {
    name: 'actorgrid',
    version: '',
    get: (id) => map.get(keys[id]!),
    put: (id) => map.put(keys[id]!, bytes[id]!),
  }
}
