/**
 * One real member in a process of its own, with a nats-server beside, that says what its memory is when it is asked:
 * by its own account (blocks and index) and as the operating system sees the process.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNatsServer } from '../../src/control/nats-server.ts'
import { startMember } from '../../src/member/member.ts'

export interface StoreMemory {
  readonly storeBytes: number
  readonly residentBytes: number
}

const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-bench-store-'))
const nats = await startNatsServer({ storeDir })
const member = await startMember(
  {
    nats: [nats.url],
    cluster: 'bench',
    listen: '127.0.0.1:0',
    backups: 0,
    maxMemoryBytes: 8 * 2 ** 30,
    logLevel: 'error',
  },
  { foundAfterMs: 0 },
)

process.on('message', (message) => {
  if (message === 'memory') {
    const { storeBytes } = member.status()
    process.send?.({ storeBytes, residentBytes: process.memoryUsage.rss() } satisfies StoreMemory)
  } else void stop()
})
process.once('disconnect', () => void stop())

async function stop(): Promise<void> {
  await member.stop()
  await nats.stop()
  await rm(storeDir, { recursive: true, force: true })
  process.exit(0)
}

process.send?.({ address: member.address })
process.stdout.write('ready\n')
