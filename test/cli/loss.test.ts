/** Losses as operators meet them: member processes over NATS that die alone or together, and the command that begins anew. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { observeNats } from '../../src/control/nats.ts'
import { type NatsServer, startNatsServer } from '../../src/control/nats-server.ts'
import { lossOf } from '../../src/core/membership/loss.ts'
import { LogFollower } from '../../src/member/log-follower.ts'
import { actorgrid, build, type Running, start } from '../support/cli.ts'
import { removeTemporaryFolders, temporaryFolder } from '../support/temporary-folder.ts'

interface Process {
  readonly running: Running
  readonly id: string
  readonly pid: number
}

let nats: NatsServer
let cluster = ''
let number = 0
const processes: Process[] = []
const ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  build()
  nats = await startNatsServer({ storeDir: temporaryFolder('loss') })
}, 300_000)

afterEach(async () => {
  for (const end of ends.splice(0)) await end()
  for (const process of processes) loseMachine(process)
  await Promise.all(processes.splice(0).map(({ running }) => running.finished))
})

afterAll(async () => {
  await nats.stop()
  removeTemporaryFolders()
})

const at = (): string[] => ['--nats', nats.url, '--cluster', cluster]

async function startMember(name: string, ...more: string[]): Promise<Process> {
  const shape = ['--backups', '0', '--partition-count', '7', '--expect-members', '2', '--found-after-ms', '0']
  const times = ['--rebalance-delay-ms', '50', '--grace-ms', '3000', '--silent-remove-ms', '3000']
  const own = ['--json', '--name', name, '--host', name, '--listen', '127.0.0.1:0']
  const running = start('start', ...own, ...at(), ...shape, ...times, ...more)
  const { id, pid } = JSON.parse(await running.line(/^\{/)) as { id: string; pid: number }
  const process = { running, id, pid }
  processes.push(process)
  return process
}

/** Two members of a new cluster, and a client. */
async function twoMembers(): Promise<{ a: Process; b: Process; grid: Grid }> {
  cluster = `loss-${++number}`
  const [a, b] = await Promise.all([startMember('a'), startMember('b')])
  const grid = await connect({ nats: nats.url, cluster, timeoutMs: 20_000 })
  ends.push(() => grid.close())
  return { a, b, grid }
}

async function follow(): Promise<LogFollower> {
  const log = await LogFollower.open(observeNats({ servers: nats.url, cluster }))
  ends.push(() => log.close())
  return log
}

/** The member and the parent that could certify its death end at once. */
function loseMachine({ running, pid }: Process): void {
  if (running.process.exitCode !== null || running.process.signalCode !== null) return
  process.kill(pid, 'SIGKILL')
  running.process.kill('SIGKILL')
}

describe('partitions reset', () => {
  test('shows what is lost, and begins it anew when it is told to', async () => {
    const { b, grid } = await twoMembers()
    const map = grid.map<string, number>('m')
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
    for (const key of keys) await map.put(key, 1)
    const lostKey = keys.find((key) => grid.partitions()[grid.partitionOf(key)]!.owner!.id === b.id)!
    const partition = String(grid.partitionOf(lostKey))
    const nothing = await actorgrid('partitions', 'reset', ...at())
    expect(nothing).toMatchObject({ code: 0, stdout: 'No partition is lost.\n' })

    loseMachine(b)
    const log = await follow()
    expect(await log.until(() => lossOf(log.view, Number(partition)) !== undefined, 20_000)).toBe(true)
    const get = await actorgrid('map', 'get', 'm', lostKey, ...at())
    expect(get.code).toBe(1)
    expect(get.stderr).toMatch(new RegExp(`PARTITION_LOST.*b ${b.id} \\(silent\\).*partitions reset`))

    const shown = await actorgrid('partitions', 'reset', ...at())
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(new RegExp(`^${partition} +0 +b ${b.id} \\(silent\\)$`, 'm'))
    expect(shown.stdout).toMatch(/of 7 partitions are lost\. With --yes.*\(m\)/)
    expect(lossOf(log.view, Number(partition))).toBeDefined()
    const json = await actorgrid('partitions', 'reset', '--json', '--partition', partition, ...at())
    expect(JSON.parse(json.stdout)).toMatchObject({ partition: Number(partition), era: 0 })

    const done = await actorgrid('partitions', 'reset', '--yes', ...at())
    expect(done.code).toBe(0)
    expect(done.stdout).toMatch(new RegExp(`^${partition} +1 +a$`, 'm'))
    expect(await map.get(lostKey)).toBeUndefined()
    await map.put(lostKey, 2)
    expect((await actorgrid('map', 'get', 'm', lostKey, ...at())).stdout).toBe('2\n')
    expect((await actorgrid('partitions', 'reset', '--yes', ...at())).stdout).toBe('No partition is lost.\n')
  }, 120_000)

  test('refuses what is not lost, and a cluster that is not there', async () => {
    const { grid } = await twoMembers()
    const owner = grid.partitions()[3]!.owner!
    const alive = await actorgrid('partitions', 'reset', '--partition', '3', '--yes', ...at())
    expect(alive.code).toBe(2)
    expect(alive.stderr).toContain(`partition 3 is not lost: its replica ${owner.name} (${owner.id})`)
    const unknown = await actorgrid('partitions', 'reset', '--partition', '7', ...at())
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('only 0 to 6') })
    const word = await actorgrid('partitions', 'reset', '--partition', 'x', ...at())
    expect(word).toMatchObject({ code: 2, stderr: expect.stringContaining('--partition x') })
    const nowhere = await actorgrid(
      'partitions',
      'reset',
      '--yes',
      '--nats',
      nats.url,
      '--cluster',
      'nowhere',
    )
    expect(nowhere).toMatchObject({ code: 1, stderr: expect.stringContaining('CONTROL_UNAVAILABLE') })
  }, 120_000)
})

describe('a whole cluster is started anew on the same NATS', () => {
  /** What a client that was there before sees: the cluster, empty, in new eras. */
  async function beginsEmpty(grid: Grid, downAndUp: () => Promise<Process[]>): Promise<void> {
    const map = grid.map<string, number>('m')
    await map.put('k', 1)
    const { version } = (await map.getEntry('k'))!
    const watch = map.watch()[Symbol.asyncIterator]()
    const { token } = (await watch.next()).value!
    const started = await downAndUp()
    expect(await map.get('k')).toBeUndefined()
    await map.put('k', 2)
    expect(await map.replace('k', 3, { ifVersion: version })).toBe(false)
    expect((await map.getEntry('k'))!.version).toMatch(/^1\./)
    const types: string[] = []
    for await (const change of map.watch({ resume: token })) {
      types.push(change.type)
      if (change.key === 'k' && change.value === 2) break
    }
    expect(types).toContain('reset')
    for (;;) {
      const { value } = await watch.next()
      if (value?.key === 'k' && value.value === 2) break
    }
    expect(await map.size()).toBe(1)
    const members = (await follow()).view.members
    expect([...members.keys()].sort()).toEqual(started.map(({ id }) => id).sort())
    // Loudly: with an error in somebody's log.
    for (const { running } of started) running.process.kill('SIGTERM')
    const logs = await Promise.all(started.map(({ running }) => running.finished))
    expect(logs.map(({ stderr }) => stderr).join()).toMatch(/"level":50.*"kind":"lost".*era 1 begins empty/)
  }

  const both = (...more: string[]): Promise<Process[]> =>
    Promise.all([startMember('a', ...more), startMember('b', ...more)])

  test('after all were killed, their deaths certified', async () => {
    const { a, b, grid } = await twoMembers()
    await beginsEmpty(grid, async () => {
      for (const { pid } of [a, b]) process.kill(pid, 'SIGKILL')
      for (const { running } of [a, b]) {
        const { code, stderr } = await running.finished
        expect(code).toBe(137)
        expect(stderr).toMatch(/death certificate is published/)
      }
      return both()
    })
  }, 120_000)

  test('after all have left', async () => {
    const { a, b, grid } = await twoMembers()
    await beginsEmpty(grid, async () => {
      for (const { running } of [a, b]) running.process.kill('SIGTERM')
      for (const { running } of [a, b]) expect((await running.finished).code).toBe(0)
      return both()
    })
  }, 120_000)

  test('after all machines were lost, by successors under exclusive names', async () => {
    const { a, b, grid } = await twoMembers()
    await beginsEmpty(grid, async () => {
      for (const process of [a, b]) loseMachine(process)
      return both('--exclusive-name', 'true', '--silent-remove-ms', '600000')
    })
  }, 120_000)
})
