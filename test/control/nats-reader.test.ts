import { expect, test } from 'vitest'
import { NatsReader } from '../../src/control/nats-reader.ts'
import type { NatsStream } from '../../src/control/nats-stream.ts'

/** A stream whose evidence is what comes next in `seen`. */
function streamWith(seen: (string | undefined)[]): NatsStream {
  const stream: Partial<Record<keyof NatsStream, unknown>> = {
    name: 'ACTORGRID_test',
    ensure: async () => ({ state: { first_seq: 1, last_seq: 0 } }),
    evidence: async () => (seen.length > 1 ? seen.shift() : seen[0]),
    newestCheckpoint: async () => undefined,
    entryFrom: async () => null,
  }
  return stream as unknown as NatsStream
}

test('a new connection waits until the stream has a leader', async () => {
  const seen = [undefined, undefined, 'n1', 'n1']
  const reader = new NatsReader(streamWith(seen), true, undefined)
  expect(await reader.next()).toEqual({ kind: 'open', evidence: 'n1', checkpoint: undefined })
})

test('a log whose leader is gone while it is followed is not waited for', async () => {
  const seen = ['n1', 'n1', 'n2', undefined]
  const reader = new NatsReader(streamWith(seen), true, undefined)
  await reader.next()
  reader.verify()
  await expect(reader.next()).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' })
})
