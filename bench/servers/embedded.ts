/** A real member in the process of the benchmark itself, with a nats-server beside, and a client that reads through it. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../src/client/connect.ts'
import { startNatsServer } from '../../src/control/nats-server.ts'
import { startMember } from '../../src/member/member.ts'
import type { GridServer } from './grid.ts'

export async function startEmbedded(): Promise<GridServer> {
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-bench-embedded-'))
  const nats = await startNatsServer({ storeDir })
  const closing: (() => Promise<unknown>)[] = [
    () => rm(storeDir, { recursive: true, force: true }),
    () => nats.stop(),
  ]
  const close = async (): Promise<void> => {
    for (let last = closing.pop(); last !== undefined; last = closing.pop()) await last()
  }
  try {
    const member = await startMember(
      { nats: [nats.url], cluster: 'bench', listen: '127.0.0.1:0', backups: 0, logLevel: 'error' },
      { foundAfterMs: 0 },
    )
    closing.push(() => member.stop())
    const grid = await connect({ members: member.address, cluster: 'bench', local: member })
    closing.push(() => grid.close())
    return { grid, close }
  } catch (error) {
    await close()
    throw error
  }
}
