/** Answers that are together larger than a link may hold: the member waits for its client instead of cutting it. */

import { expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { LocalControl, LocalControlStore } from '../../src/control/local.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { startMember } from '../../src/member/member.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import type { Transport } from '../../src/transport/transport.ts'

const tcp = new TcpTransport({ limits: defaultLimits })

/** TCP that counts the links which end. */
class Counting implements Transport {
  closes = 0
  readonly listen = tcp.listen.bind(tcp)
  readonly connect: Transport['connect'] = (address, hello, handler, signal) => {
    const counting = {
      onFrame: handler.onFrame.bind(handler),
      onClose: (...args: Parameters<typeof handler.onClose>) => {
        this.closes++
        handler.onClose(...args)
      },
    }
    return tcp.connect(address, hello, counting, signal)
  }
}

test('getAll of 100 values of 1 MB keeps its link', async () => {
  const member = await startMember(
    { name: 'one', cluster: 'c', listen: '127.0.0.1:0', partitionCount: 7, backups: 0, expectMembers: 1 },
    { control: new LocalControl(new LocalControlStore()), foundAfterMs: 0 },
  )
  const transport = new Counting()
  const grid = await connect({ cluster: 'c', members: [member.address], transport })
  const map = grid.map<number, string>('large')
  const value = 'v'.repeat(1_000_000)
  for (let i = 0; i < 100; i++) await map.put(i, value)
  const values = await map.getAll(Array.from({ length: 100 }, (_, i) => i))
  expect(values.size).toBe(100)
  expect([...values.values()].every((got) => got === value)).toBe(true)
  expect(transport.closes).toBe(0)
  await grid.close()
  await member.stop()
})
