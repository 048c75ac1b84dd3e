/**
 * Members that can be asked what they see of themselves (member.ts), each a process of its own, with a nats-server.
 *
 * Where the benchmarks compare with rivals, members are started by the command line as users do (grid.ts); here they
 * are the same members with a window in them.
 */

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { startNatsServer } from '../../src/control/nats-server.ts'
import type { MemberOptions } from '../../src/member/options.ts'
import { type Running, start } from './child.ts'
import type { Look, Order } from './member.ts'

const CLUSTER = 'bench'
const LOOK_EVERY_MS = 100
/** Without a change of configuration for so long, nothing is on its way any more. */
const REST_MS = 3000
const REST_WITHIN_MS = 15 * 60_000

export interface WindowedMember {
  readonly address: string
  look(): Promise<Look>
  /** After a full collection, for what the heap really holds. */
  collect(): Promise<Look>
  /** From now on stalls count anew. */
  reset(): Promise<unknown>
  /** Time on a processor since its start, of all its threads. */
  processorMs(): Promise<number>
  /** Hands everything over; resolves when the process has ended. */
  leave(): Promise<void>
  stop(): Promise<void>
}

export interface Cluster {
  readonly grid: Grid
  readonly members: readonly WindowedMember[]
  /** Starts one more; resolves when it is in the roster, which is before it has any data. */
  add(): Promise<WindowedMember>
  close(): Promise<void>
}

export interface ClusterOptions {
  readonly members: number
  readonly backups: number
  readonly partitionCount?: number
  /** Of each member. */
  readonly maxMemoryBytes?: number
}

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { members: count, backups, ...rest } = options
  const storeDir = await mkdtemp(join(tmpdir(), 'actorgrid-bench-'))
  const nats = await startNatsServer({ storeDir })
  const members: WindowedMember[] = []
  let started = 0
  const add = async (): Promise<WindowedMember> => {
    const host = `host-${started++}`
    const member = await startWindowed({
      ...{ nats: [nats.url], cluster: CLUSTER, listen: '127.0.0.1:0', host, name: host, logLevel: 'error' },
      ...{ backups, minInSync: Math.min(count, backups + 1), expectMembers: count, foundAfterMs: 0, ...rest },
    })
    members.push(member)
    return member
  }
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.stop()))
    await nats.stop()
    await rm(storeDir, { recursive: true, force: true })
  }
  try {
    // Together, for none is ready before all have come.
    await Promise.all(Array.from({ length: count }, () => add()))
    const grid = await connect({ nats: nats.url, cluster: CLUSTER })
    return {
      grid,
      members,
      add,
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

async function startWindowed(options: MemberOptions): Promise<WindowedMember> {
  const path = fileURLToPath(new URL('./member.js', import.meta.url))
  const server: Running = await start({
    name: 'the member',
    command: process.execPath,
    args: [path, JSON.stringify(options)],
    ready: /ready/,
    ipc: true,
  })
  const { child } = server
  const ended = once(child, 'exit')
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  // One order at a time: the channel does not say which question an answer belongs to.
  let last: Promise<unknown> = Promise.resolve()
  const ask = <T = Look>(order: Order): Promise<T> => {
    const answer = last.then(async () => {
      const gone = ended.then((): never => {
        throw new Error('the member has ended')
      })
      const said = once(child, 'message') as Promise<[T]>
      child.send(order)
      return (await Promise.race([said, gone]))[0]
    })
    last = answer.catch(() => {})
    return answer
  }
  const end = async (order: Order): Promise<void> => {
    await last
    if (child.exitCode !== null || child.signalCode !== null) return
    child.send(order)
    const [code] = (await ended) as [number | null]
    if (code !== 0) throw new Error(`the member ended with ${code} when it was told to ${order}`)
  }
  return {
    address,
    look: () => ask('look'),
    collect: () => ask('collect'),
    reset: () => ask('reset'),
    processorMs: () => ask<number>('processor'),
    leave: () => end('leave'),
    stop: () => end('stop'),
  }
}

/**
 * Resolves when partitions are where they belong by a member's view: each has all its replicas and none too many, and
 * nothing changes any more. Returns when the last change was seen, on this process's monotonic clock.
 */
export async function atRest(member: WindowedMember, copiesMin: number): Promise<number> {
  const limitMs = performance.now() + REST_WITHIN_MS
  let changedMs = performance.now()
  let seen = -1
  for (;;) {
    const { epochSeq, isWhole, copies } = await member.look()
    const nowMs = performance.now()
    if (epochSeq !== seen) {
      seen = epochSeq
      changedMs = nowMs
    }
    if (isWhole && copies >= copiesMin && nowMs - changedMs > REST_MS) return changedMs
    if (nowMs > limitMs)
      throw new Error(
        `not at rest within ${REST_WITHIN_MS} ms: ${copies} copies, ${isWhole ? 'all' : 'not all'} replicas in sync`,
      )
    await delay(LOOK_EVERY_MS)
  }
}
