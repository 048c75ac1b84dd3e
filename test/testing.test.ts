import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { defineProcessor } from '../src/core/wire/processor.ts'
import { startTestCluster } from '../src/testing.ts'
import { build, launch } from './support/cli.ts'

beforeAll(build, 300_000)

const program = fileURLToPath(new URL('./support/failing-cluster.mjs', import.meta.url))

test.each([
  ['a member that cannot start', 'PORT_IN_USE'],
  ['a client that cannot connect', 'WRONG_CLUSTER'],
])(
  '%s leaves nothing behind: the process comes to its end',
  async (_what, code) => {
    expect(await launch(program, [code]).finished).toEqual({ code: 0, stdout: `${code}\n`, stderr: '' })
  },
  60_000,
)

test('a refused option and a processor given twice are told, and further clients can connect', async () => {
  await expect(startTestCluster({ member: { backups: 99 } })).rejects.toMatchObject({ code: 'BAD_OPTION' })
  const twice = [1, 2].map(() => defineProcessor('twice', () => null))
  await expect(startTestCluster({ members: 1, processors: twice })).rejects.toThrow(/twice/)
  await using cluster = await startTestCluster({ members: 2 })
  await cluster.grid.map<string, number>('m').put('k', 1)
  const other = await cluster.connect()
  expect(await other.map<string, number>('m').get('k')).toBe(1)
}, 60_000)

test('closing just after a kill waits until the death is recorded', async () => {
  const cluster = await startTestCluster({ members: 3 })
  cluster.kill(1)
  await expect(cluster.close()).resolves.toBeUndefined()
})
