import { expect, test } from 'vitest'
import { Peer } from '../../src/client/peer.ts'
import { GridError } from '../../src/core/base/errors.ts'
import type { Link } from '../../src/transport/transport.ts'

const gone = new GridError('UNREACHABLE', 'closed')
const link = {} as Link

test('the pause before a member is connected to again doubles while its links die young, up to a second', () => {
  const peer = new Peer('a'.repeat(32), 'h:1', 'm', 1000)
  const pauses: number[] = []
  for (let n = 0; n < 9; n++) {
    peer.opened(link, 5000)
    expect(peer.lost(gone, 5001, 1)).toBe('failed')
    expect(peer.link).toBeUndefined()
    pauses.push(peer.nextAttemptMs - 5001)
  }
  expect(pauses).toEqual([10, 20, 40, 80, 160, 320, 640, 1000, 1000])
  peer.opened(link, 10_000)
  peer.proven = true
  expect(peer.lost(gone, 10_001, 1)).toBe('proven')
  expect(peer.nextAttemptMs).toBe(10_011)
  peer.opened(link, 20_000)
  expect(peer.lost(gone, 21_000, 1)).toBe('lived')
  expect(peer.nextAttemptMs).toBe(0)
})
