/**
 * A full disk. Members keep nothing on disk but what is done with their standard error; nats-servers keep the
 * configuration log. While that cannot be written members serve as if NATS were away: changes of configuration wait.
 *
 * A nats-server that runs out of space turns its JetStream off until it is started again: with the space, whoever runs it
 * gives it a restart. So does the heal, where JetStream does not come back by itself.
 */

import type { Random } from '../../src/core/base/random.ts'
import { between } from './chance.ts'
import type { ChaosCluster } from './cluster.ts'
import type { Fault } from './fault.ts'
import { last, randomMember } from './fault-process.ts'
import type { Variant } from './variant.ts'

const hasSmallDisk = (variant: Variant): boolean => variant.diskBytes !== undefined
const BACK_WITHIN_MS = 2000

async function free(cluster: ChaosCluster): Promise<void> {
  cluster.disk?.free()
  const names = cluster.nats.servers.map(({ name }) => name).join(', ')
  try {
    await cluster.nats.canWrite(cluster.name, BACK_WITHIN_MS)
  } catch {
    process.stdout.write(`${cluster.name}: ${names} is started again, for its JetStream stays off\n`)
    await cluster.nats.kill()
    await cluster.nats.start()
  }
}

async function fill(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  cluster.hit()
  cluster.disk?.fill()
  await cluster.acks(between(random, 100, 2000))
  return () => free(cluster)
}

/** Somebody dies, and that cannot be written down until there is room. */
async function killWhileFull(cluster: ChaosCluster, random: Random): Promise<() => Promise<void>> {
  await cluster.settled()
  cluster.disk?.fill()
  await cluster.acks(between(random, 1, 300))
  if (random.next() < 0.5) cluster.kill(randomMember(cluster, random))
  else cluster.killHost(randomMember(cluster, random))
  await last(between(random, 500, 5000))
  return async () => {
    await free(cluster)
    await cluster.add()
  }
}

export const diskFaults: readonly Fault[] = [
  { name: 'disk-full', allows: 'none', weight: 2, fits: hasSmallDisk, inject: fill },
  { name: 'disk-full-kill', allows: 'unknown', weight: 2, fits: hasSmallDisk, inject: killWhileFull },
]
