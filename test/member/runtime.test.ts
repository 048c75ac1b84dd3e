import { afterEach, expect, test, vi } from 'vitest'
import { Engine } from '../../src/core/engine/engine.ts'
import { startTestCluster } from '../../src/testing.ts'

afterEach(() => vi.restoreAllMocks())

const broken = (): never => {
  throw new Error('a contradiction')
}

test('a contradiction found when a client goes stops the member', async () => {
  const cluster = await startTestCluster({ members: 1, partitionCount: 1 })
  vi.spyOn(Engine.prototype, 'clientDown').mockImplementation(broken)
  await cluster.grid.close()
  expect(await cluster.members[0]!.ended).toBe('failed: a contradiction')
  await cluster.close()
})

test('a contradiction found when another member goes stops the member', async () => {
  const cluster = await startTestCluster({ members: 2, partitionCount: 1 })
  vi.spyOn(Engine.prototype, 'peerDown').mockImplementation(broken)
  cluster.kill(1)
  expect(await cluster.members[0]!.ended).toBe('failed: a contradiction')
  vi.restoreAllMocks()
  await cluster.close()
})
