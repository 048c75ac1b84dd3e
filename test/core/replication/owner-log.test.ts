import { expect, test } from 'vitest'
import { OwnerLog, Peer } from '../../../src/core/replication/owner-log.ts'
import { A, B, C, configOf } from '../partition/support.ts'

const LEASE_MS = 2000

function logOf(inSync: readonly string[]): OwnerLog {
  const log = new OwnerLog(A, configOf({ inSync }))
  for (const id of inSync) if (id !== A) log.join(new Peer(id, 1, 1, 0, false))
  return log
}

test('the commit is what every member of the in-sync set holds, and nothing below minInSync', () => {
  const log = logOf([A, B, C])
  log.peers.get(B)!.ack = 7
  log.peers.get(C)!.ack = 5
  expect(log.committed(9, 1)).toBe(5)
  expect(log.committed(9, 3)).toBe(5)
  expect(log.committed(9, 4)).toBe(0)
  expect(logOf([A]).committed(9, 1)).toBe(9)
})

test('a learner constrains from before its addition is proposed until it is decided', () => {
  const log = logOf([A, B])
  log.peers.get(B)!.ack = 9
  log.join(new Peer(C, 2, 1, 0, true))
  log.peers.get(C)!.ack = 4
  expect(log.committed(9, 1)).toBe(9)
  log.constrain(C)
  expect(log.committed(9, 1)).toBe(4)
  log.granted(log.peers.get(B)!, 100, 100)
  expect(log.leased(100, 100, LEASE_MS)).toBe(false)
  expect(() => log.drop(C)).toThrow(/required/)
  log.adopt(configOf({ n: 2, inSync: [A, B, C] }))
  expect(log.committed(9, 1)).toBe(4)
  expect(log.adding).toBeUndefined()
})

test('a lease runs from when its beacon was sent, on both clocks', () => {
  const log = logOf([A, B])
  const peer = log.peers.get(B)!
  expect(log.leased(0, 0, LEASE_MS)).toBe(false)
  log.granted(peer, 1000, 50_000)
  expect(log.leased(2999, 51_999, LEASE_MS)).toBe(true)
  expect(log.leased(3000, 51_999, LEASE_MS)).toBe(false) // the monotonic clock has gone on
  expect(log.leased(1001, 52_000, LEASE_MS)).toBe(false) // it stood still while the machine was suspended
  expect(log.leased(1001, 49_900, LEASE_MS)).toBe(false) // somebody set the wall clock back
  log.granted(peer, 900, 60_000) // an older beacon's answer, come late
  expect(log.leased(2999, 51_999, LEASE_MS)).toBe(true)
  log.dropLeases(1500)
  expect(log.leased(1000, 50_000, LEASE_MS)).toBe(false)
  log.granted(peer, 1400, 50_400) // an answer that was on its way then
  expect(log.leased(1501, 50_501, LEASE_MS)).toBe(false)
  log.granted(peer, 1500, 50_500)
  expect(log.leased(1501, 50_501, LEASE_MS)).toBe(true)
})

test('every required replica must have granted a lease; alone, none is needed', () => {
  const log = logOf([A, B, C])
  log.granted(log.peers.get(B)!, 1000, 1000)
  expect(log.leased(1000, 1000, LEASE_MS)).toBe(false)
  log.granted(log.peers.get(C)!, 500, 500)
  expect(log.leased(2499, 2499, LEASE_MS)).toBe(true)
  expect(log.leased(2500, 2500, LEASE_MS)).toBe(false)
  expect(logOf([A]).leased(1e9, 1e9, LEASE_MS)).toBe(true)
})

test('nothing is forgotten that a replica, or a learner after its base, may still ask for', () => {
  const log = logOf([A, B])
  log.peers.get(B)!.ack = 20
  expect(log.floor(30)).toBe(21)
  const learner = new Peer(C, 2, 11, 0, true)
  learner.base = 10
  log.join(learner)
  expect(log.floor(30)).toBe(11)
  expect(logOf([A]).floor(30)).toBe(31)
})

test('whoever is not in sync any more is dropped, learners are kept', () => {
  const log = logOf([A, B])
  log.join(new Peer(C, 2, 1, 0, true))
  log.adopt(configOf({ n: 2, inSync: [A] }))
  expect([...log.peers.keys()]).toEqual([C])
  expect(log.alone).toBe(true)
})
