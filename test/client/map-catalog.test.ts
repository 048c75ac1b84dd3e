import { expect, test } from 'vitest'
import { MapCatalog, type MapWaiter } from '../../src/client/map-catalog.ts'
import { ByteWriter } from '../../src/core/base/bytes.ts'
import { GridError } from '../../src/core/base/errors.ts'
import type { Link } from '../../src/transport/transport.ts'

const NO_CONFIG = new Uint8Array(0)

/** A catalog whose one link counts the requests made. */
function catalog() {
  const state = { nowMs: 0, asked: 0 }
  const link = { out: new ByteWriter(64), closed: false, wake: () => state.asked++ } as unknown as Link
  const maps = new MapCatalog({
    anyLink: () => link,
    nowMs: () => state.nowMs,
    release: () => {},
    giveUp: () => {},
  })
  return { state, maps, gate: maps.gate('m', NO_CONFIG) }
}

const waiter: MapWaiter = { opened: () => {}, failed: () => {} }
const tick = (maps: MapCatalog, nowMs: number): void => maps.tick(nowMs, () => {})

test('a request without an answer is made again after two seconds', () => {
  const { state, maps, gate } = catalog()
  maps.await(gate, waiter)
  tick(maps, 1900)
  expect(state.asked).toBe(1)
  tick(maps, 2000)
  expect(state.asked).toBe(2)
})

test('nobody asks for a waiter that has left', () => {
  const { state, maps, gate } = catalog()
  maps.await(gate, waiter)
  expect(maps.hasWaiters).toBe(true)
  maps.opened(1, new GridError('NOT_READY', 'wait'))
  maps.leave(gate, waiter)
  expect(maps.hasWaiters).toBe(false)
  tick(maps, 5000)
  expect(state.asked).toBe(1)
  expect(gate.waiters).toEqual([])
})
