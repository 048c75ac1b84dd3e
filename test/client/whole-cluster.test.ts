/** The client against real members in one process: what only both together can show. */

import { expect, test } from 'vitest'
import { startTestCluster } from '../../src/testing.ts'

test('a mirror kept by a watch equals the map, across the death of an owner and the arrival of another', async () => {
  const cluster = await startTestCluster({ members: 3, partitionCount: 13 })
  const map = cluster.grid.map<string, { n: number }>('mirrored')
  const mirror = new Map<string, number>()
  const expected = new Map<string, number>()
  const watch = map.watch({ where: { n: { $gte: 0 } } })
  let check = (): void => {}
  const mirroring = (async () => {
    for await (const change of watch) {
      if (change.type === 'snapshot' || change.type === 'put') mirror.set(change.key, change.value.n)
      else if (change.type === 'remove' || change.type === 'leave') mirror.delete(change.key)
      else for (const key of mirror.keys()) if (change.covers(key)) mirror.delete(key)
      check()
    }
  })()
  await watch.ready
  await cluster.settled()

  const write = async (round: number): Promise<void> => {
    for (let n = 0; n < 60; n++) {
      const key = `k${(n * 7 + round) % 40}`
      if (n % 9 === 0) await map.remove(key)
      else await map.put(key, { n: n % 5 === 0 ? -1 : n })
      if (n % 9 === 0 || n % 5 === 0) expected.delete(key)
      else expected.set(key, n)
    }
  }
  await write(0)
  cluster.kill(1)
  await write(1)
  await cluster.settled()
  await cluster.add()
  await write(2)
  await new Promise<void>((resolve) => {
    check = () => {
      if (mirror.size !== expected.size) return
      for (const [key, n] of expected) if (mirror.get(key) !== n) return
      resolve()
    }
    check()
  })
  const stored = new Map<string, number>()
  for await (const [key, { n }] of map.entries({ where: { n: { $gte: 0 } } })) stored.set(key, n)
  expect(stored).toEqual(expected)
  expect(cluster.grid.metrics).toMatchObject({ staleReplies: 0, timeouts: 0 })
  await cluster.close()
  await mirroring
})
