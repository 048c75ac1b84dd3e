/**
 * A whole cluster in one process, for tests and for trying things: real members, clients and partitions, over a
 * loopback network and a configuration log in memory. Nothing is mocked but the wires.
 *
 * Import it as `actorgrid/testing`.
 */

import { randomBytes } from 'node:crypto'
import { connect } from './client/connect.ts'
import type { Grid } from './client/grid.ts'
import { LocalAnnouncements, LocalControl, LocalControlStore } from './control/local.ts'
import { defaultLimits } from './core/base/limits.ts'
import type { Processor } from './core/wire/processor.ts'
import { deathCertificate, recordDeath } from './member/certificate.ts'
import { type Member, startMember } from './member/member.ts'
import type { MemberOptions } from './member/options.ts'
import { hashSecret } from './member/secret.ts'
import { LoopbackNetwork } from './transport/loopback.ts'

export interface TestClusterOptions {
  /** Members to start with. Default 3. */
  readonly members?: number | undefined
  /** Copies of each partition beside its owner. Default 1 (0 with a single member). */
  readonly backups?: number | undefined
  readonly minInSync?: number | undefined
  /** Default 31: small clusters start faster with fewer. */
  readonly partitionCount?: number | undefined
  readonly processors?: readonly Processor<never, never, never, unknown>[] | undefined
  /** Any other option of a member. */
  readonly member?: MemberOptions | undefined
}

export interface TestCluster {
  /** A client of the cluster. */
  readonly grid: Grid
  /** The members that were started, dead ones too, by index. */
  readonly members: readonly Member[]
  /**
   * Connects one more client, with a session of its own; with `local` it reads what that member owns without a link. The
   * cluster closes it at its end.
   */
  connect(options?: { readonly local?: Member | undefined }): Promise<Grid>
  /**
   * Stops a member dead: its links break and it says nothing more. Its death is certified at once, as the parent of a
   * member process does; with `certified: false` the others must find out by its silence, as when a machine vanishes.
   */
  kill(index: number, options?: { readonly certified?: boolean | undefined }): void
  /** Starts another member. */
  add(options?: MemberOptions): Promise<Member>
  /** Resolves when every partition has as many in-sync replicas as the cluster wants and can have. */
  settled(): Promise<void>
  /** Closes the clients and stops the members. Rejects if a member that was killed could not be recorded as dead. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** For tests over real processes. */
export { findNatsServer, type NatsServer, startNatsServer } from './control/nats-server.ts'

const CLUSTER = 'test'

/** Starts a cluster. Close it, or use `await using`. @throws GridError `BAD_OPTION` */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const { members: count = 3, partitionCount = 31, minInSync = 1, processors = [] } = options
  const backups = options.backups ?? Math.min(1, count - 1)
  const network = new LoopbackNetwork({ limits: defaultLimits })
  const store = new LocalControlStore()
  const members: Member[] = []
  const dead = new Set<Member>()
  /** Ends starts that will come to nothing. */
  const giveUp = new AbortController()
  const grids: Grid[] = []
  /** What follows from a kill, which waits for none of it. */
  const afterKills: Promise<unknown>[] = []
  const afterKill = (work: Promise<unknown>): void => {
    work.catch(() => {}) // close() reports it
    afterKills.push(work)
  }

  const secrets = new Map<string, string>()
  const start = (index: number, given: MemberOptions = {}): Promise<Member> => {
    const incarnation = randomBytes(16).toString('hex')
    const secret = randomBytes(32).toString('hex')
    secrets.set(incarnation, secret)
    return startMember(
      {
        incarnation,
        secretHash: hashSecret(secret),
        cluster: CLUSTER,
        name: `member-${index + 1}`,
        // Members of one process would all be on one machine; for placement each counts as one of its own.
        host: `host-${index + 1}`,
        listen: '127.0.0.1:0',
        backups,
        minInSync,
        partitionCount,
        expectMembers: count,
        rebalanceDelayMs: 50,
        logLevel: 'silent',
        ...options.member,
        ...given,
      },
      {
        transport: network.transport(),
        control: new LocalControl(store),
        processors,
        foundAfterMs: 0,
        signal: giveUp.signal,
      },
    )
  }
  const living = (): Member[] => members.filter((member) => !dead.has(member))
  const newGrid = async ({ local }: { readonly local?: Member | undefined } = {}): Promise<Grid> => {
    const addresses = living().map(({ address }) => address)
    const grid = await connect({
      cluster: CLUSTER,
      members: addresses,
      local,
      transport: network.transport(),
    })
    grids.push(grid)
    return grid
  }
  /** All of them or none: where one fails the others would wait for it for ever, or stay behind. */
  const startAll = async (): Promise<Grid> => {
    const starting = Array.from({ length: count }, (_, index) => start(index))
    const failed = Promise.all(starting).catch((error: unknown) => {
      giveUp.abort()
      throw error
    })
    failed.catch(() => {}) // awaited below
    for (const started of await Promise.allSettled(starting))
      if (started.status === 'fulfilled') members.push(started.value)
    await failed
    return newGrid()
  }
  const isSettled = (): boolean => {
    const alive = living()
    const ids = new Set(alive.map(({ name }) => name))
    const wanted = Math.min(backups + 1, alive.length)
    return alive.every((member) => {
      const { partitions } = member.status()
      return (
        partitions.length > 0 &&
        partitions.every(({ inSync }) => inSync.length >= wanted && inSync.every((m) => ids.has(m)))
      )
    })
  }

  const close = async (): Promise<void> => {
    await Promise.all(grids.map((grid) => grid.close()))
    await Promise.all(living().map((member) => member.stop()))
    await Promise.all(afterKills)
  }

  const grid = await startAll().catch(async (error: unknown) => {
    await close()
    throw error
  })
  const cluster: TestCluster = {
    grid,
    members,
    connect: newGrid,
    kill(index, { certified = true } = {}) {
      const member = members[index]
      if (!member || dead.has(member)) return
      dead.add(member)
      network.kill(member.id)
      afterKill(member.stop())
      if (!certified) return
      const secret = secrets.get(member.id)!
      new LocalAnnouncements(store).announce(deathCertificate(member.id, secret))
      // Where nobody is left to hear it, the log must know nevertheless.
      afterKill(recordDeath(new LocalControl(store), { incarnation: member.id, secret }))
    },
    async add(given) {
      const member = await start(members.length, given)
      members.push(member)
      return member
    },
    async settled() {
      while (!isSettled()) await new Promise((resolve) => setTimeout(resolve, 5))
    },
    close,
    [Symbol.asyncDispose]: close,
  }
  return cluster
}
