/**
 * What the cluster does while the service that orders its configuration is away, comes back, or comes back knowing less:
 * a real nats-server, members and a client over TCP in this process.
 */

import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import { publishDeath } from '../../src/member/certificate.ts'
import { type Member, startMember } from '../../src/member/member.ts'
import { hashSecret } from '../../src/member/secret.ts'
import { TestNatsServer } from '../support/nats-server.ts'

const CLUSTER = 'outage'
const PARTITIONS = 13
const KEYS = 100

interface Mortal {
  readonly member: Member
  readonly incarnation: string
  readonly secret: string
}

let nats: TestNatsServer
let mortals: Mortal[]
let grid: Grid

async function add(name: string): Promise<void> {
  const incarnation = randomBytes(16).toString('hex')
  const secret = randomBytes(32).toString('hex')
  const member = await startMember({
    nats: [nats.url],
    cluster: CLUSTER,
    name,
    host: name,
    listen: '127.0.0.1:0',
    partitionCount: PARTITIONS,
    expectMembers: 3,
    foundAfterMs: 0,
    rebalanceDelayMs: 100,
    logLevel: 'silent',
    incarnation,
    secretHash: hashSecret(secret),
  })
  mortals.push({ member, incarnation, secret })
}

/** Stops a member dead and proves it, as its parent process does. */
async function kill({ member, incarnation, secret }: Mortal): Promise<void> {
  mortals = mortals.filter((mortal) => mortal.member !== member)
  await member.stop()
  await publishDeath({ nats: [nats.url], cluster: CLUSTER, incarnation, secret })
}

/** Resolves when every member sees what `seen` wants; looked at once for each entry that a member has read. */
async function until(seen: (member: Member) => boolean): Promise<void> {
  while (!mortals.every(({ member }) => seen(member))) await new Promise((resolve) => setTimeout(resolve, 20))
}

function fullyInSync(member: Member): boolean {
  const living = new Set(mortals.map((mortal) => mortal.member.name))
  const { partitions, controlConnected } = member.status()
  return (
    controlConnected &&
    partitions.every(({ inSync }) => inSync.length >= 2 && inSync.every((name) => living.has(name)))
  )
}

async function writeAll(value: number): Promise<void> {
  const map = grid.map<string, number>('m')
  await Promise.all(Array.from({ length: KEYS }, (_, i) => map.put(`k${i}`, value)))
}

async function readAll(): Promise<Set<number | undefined>> {
  const map = grid.map<string, number>('m')
  return new Set(await Promise.all(Array.from({ length: KEYS }, (_, i) => map.get(`k${i}`))))
}

beforeEach(async () => {
  nats = await TestNatsServer.start()
  mortals = []
  await Promise.all(['a', 'b', 'c'].map(add))
  grid = await connect({
    members: mortals.map(({ member }) => member.address),
    cluster: CLUSTER,
    timeoutMs: 30_000,
  })
  await writeAll(1)
})

afterEach(async () => {
  await grid.close()
  await Promise.all(mortals.map(({ member }) => member.stop()))
  await nats.remove()
})

test('while NATS is away reads and writes go on, and when it is back a death is taken up', async () => {
  await nats.kill()
  await until((member) => !member.status().controlConnected)
  await writeAll(2)
  expect(await readAll()).toEqual(new Set([2]))
  await nats.restart()
  await until(fullyInSync)
  await kill(mortals[0]!)
  await writeAll(3)
  expect(await readAll()).toEqual(new Set([3]))
  await add('d')
  await until(fullyInSync)
  expect(await readAll()).toEqual(new Set([3]))
}, 60_000)

test('a NATS that has lost everything is told all of it by the members', async () => {
  const before = mortals[0]!.member.status().clusterId
  await nats.loseStore()
  await until((member) => !member.status().controlConnected)
  await writeAll(2)
  await nats.restart()
  await until(fullyInSync)
  expect(mortals.map(({ member }) => member.status().clusterId)).toEqual([before, before, before])
  await kill(mortals[1]!)
  await writeAll(3)
  expect(await readAll()).toEqual(new Set([3]))
  await add('d')
  await until(fullyInSync)
  expect(await readAll()).toEqual(new Set([3]))
  const map = grid.map<string, number>('another')
  await map.put('x', 1)
  expect(await map.size()).toBe(1)
}, 60_000)

test('a NATS whose disk was put back to an earlier copy is healed', async () => {
  await nats.stop()
  const copy = await nats.copyStore()
  await nats.restart()
  await until(fullyInSync)
  // What follows is on no disk any more after the copy is back: a death, a takeover, a newcomer in its place.
  await kill(mortals[2]!)
  await add('d')
  await until(fullyInSync)
  await writeAll(2)
  await nats.rollBack(copy)
  await nats.restart()
  await until(fullyInSync)
  await writeAll(3)
  await kill(mortals[0]!)
  await writeAll(4)
  expect(await readAll()).toEqual(new Set([4]))
}, 90_000)
