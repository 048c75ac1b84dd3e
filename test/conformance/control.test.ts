/** What every implementation of the control seam promises. */

import { jetstream } from '@nats-io/jetstream'
import { connect, headers } from '@nats-io/transport-node'
import { afterEach, describe, expect, test } from 'vitest'
import type { Announcements, Control } from '../../src/control/control.ts'
import { LocalAnnouncements, LocalControl, LocalControlStore } from '../../src/control/local.ts'
import { NatsControl, observeNats } from '../../src/control/nats.ts'
import { NatsAnnouncements } from '../../src/control/nats-announcements.ts'
import { ControlRecorder } from '../support/control-recorder.ts'
import { TestNatsServer } from '../support/nats-server.ts'

/** One store, and ways to do to it what the seam itself cannot. */
interface Bed {
  control(): Control
  observer(): Control
  announcements(): Announcements
  /** Stores entries without a hint to anyone. */
  slipIn(texts: readonly string[]): Promise<void>
  /** Stores a checkpoint that claims to cover an entry at `seq` which is not the one in the log. */
  lie(seq: number): Promise<void>
  down(): Promise<void>
  up(): Promise<void>
  /** Takes a copy of the store, and brings it back later. The store may be away for a moment. */
  save(): Promise<() => Promise<void>>
  remove(): Promise<void>
}

async function localBed(): Promise<Bed> {
  const store = new LocalControlStore()
  const lastSeq = () => store.entriesAfter(0, 1e6).at(-1)?.seq ?? 0
  return {
    control: () => new LocalControl(store),
    observer: () => new LocalControl(store, { readOnly: true }),
    announcements: () => new LocalAnnouncements(store),
    slipIn: async (texts) => {
      for (const text of texts) expect(store.append(Buffer.from(text), text, lastSeq())).toBe('stored')
    },
    lie: async (seq) => {
      const lost = { seq, bytes: bytes('lost'), id: 'lost', covers: undefined }
      store.storeCheckpoint(bytes('lie'), lost)
    },
    down: async () => store.down(),
    up: async () => store.up(),
    save: async () => {
      const seq = lastSeq()
      return async () => store.rollback(seq)
    },
    remove: async () => {},
  }
}

async function natsBed(): Promise<Bed> {
  const server = await TestNatsServer.start()
  const options = { servers: server.url, cluster: 'test' }
  return {
    control: () => new NatsControl(options),
    observer: () => observeNats(options),
    announcements: () => new NatsAnnouncements(options),
    slipIn: async (texts) => {
      const connection = await connect({ servers: server.url })
      const js = jetstream(connection)
      await Promise.all(texts.map((text) => js.publish('actorgrid.test.config', text)))
      await connection.close()
    },
    lie: async (seq) => {
      const connection = await connect({ servers: server.url })
      const mark = headers()
      mark.set('Actorgrid-Covers', `${seq} 2020-01-01T00:00:00Z`)
      await jetstream(connection).publish('actorgrid.test.checkpoint', 'lie', { headers: mark })
      await connection.close()
    },
    down: () => server.kill(),
    up: () => server.restart(),
    save: async () => {
      const copy = await server.copyStore()
      await server.restart()
      return async () => {
        await server.rollBack(copy)
        await server.restart()
      }
    },
    remove: () => server.remove(),
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text)
const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `n${from + i}`)

describe.each([
  ['local', localBed],
  ['nats', natsBed],
])('%s control', (_, makeBed) => {
  const cleanups: (() => Promise<void>)[] = []

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  async function bedOf(): Promise<Bed> {
    const bed = await makeBed()
    cleanups.push(() => bed.remove())
    return bed
  }

  async function opened(control: Control): Promise<{ control: Control; told: ControlRecorder }> {
    cleanups.push(() => control.close())
    const told = new ControlRecorder()
    await control.open(told)
    expect(told.calls[0]).toBe('open')
    return { control, told }
  }

  async function appended(to: { control: Control; told: ControlRecorder }, text: string): Promise<void> {
    to.control.append(bytes(text), text, to.told.lastSeq)
    await to.told.until(() => to.told.texts.includes(text))
  }

  test('an empty log: one call that says so', async () => {
    const bed = await bedOf()
    const { told } = await opened(bed.control())
    await told.until(() => told.caughtUp)
    expect(told.calls).toEqual(['open', 'entries 0 end'])
    expect(told.checkpoint).toBeUndefined()
  })

  test('entries come in order, without gaps, also over several batches and past checkpoints', async () => {
    const bed = await bedOf()
    const first = await opened(bed.control())
    await appended(first, 'begin')
    await bed.slipIn(numbers(200))
    first.control.read()
    await first.told.until(() => first.told.entries.length === 201)
    const seqs = first.told.entries.map((entry) => entry.seq)
    // Places after a checkpoint's own are what a reader could trip over.
    first.control.checkpoint(bytes('a fold'), seqs[150]!)
    await appended(first, 'end')
    await bed.slipIn(numbers(200, 200))
    const second = await opened(bed.control())
    await second.told.until(() => second.told.caughtUp)
    expect(second.told.checkpoint?.seq).toBe(seqs[150])
    expect(second.told.texts).toEqual([...numbers(50, 150), 'end', ...numbers(200, 200)])
    first.control.read()
    await first.told.until(() => first.told.entries.length === 402)
    expect(first.told.texts).toEqual(['begin', ...numbers(200), 'end', ...numbers(200, 200)])
    const all = first.told.entries.map((entry) => entry.seq)
    expect(all).toEqual([...all].sort((a, b) => a - b))
    expect(second.told.entries.at(-1)?.seq).toBe(all.at(-1))
    expect(all.at(-1)).toBe(403)
  })

  test('an entry that nobody was told of is found by read()', async () => {
    const bed = await bedOf()
    const { control, told } = await opened(bed.control())
    await told.until(() => told.caughtUp)
    await bed.slipIn(['quiet'])
    control.read()
    await told.until(() => told.texts.includes('quiet'))
    expect(told.texts).toEqual(['quiet'])
  })

  test('an append on an old end is refused, and shows what came between', async () => {
    const bed = await bedOf()
    const mine = await opened(bed.control())
    await mine.told.until(() => mine.told.caughtUp)
    await bed.slipIn(['other'])
    mine.control.append(bytes('refused'), 'refused', 0)
    await mine.told.until(() => mine.told.texts.includes('other'))
    await appended(mine, 'mine')
    expect(mine.told.texts).toEqual(['other', 'mine'])
  })

  test('a resend with the same id is harmless', async () => {
    const bed = await bedOf()
    const mine = await opened(bed.control())
    for (let i = 0; i < 3; i++) mine.control.append(bytes('once'), 'the id', 0)
    await mine.told.until(() => mine.told.texts.length > 0)
    mine.control.append(bytes('once'), 'the id', mine.told.lastSeq)
    await appended(mine, 'after')
    expect(mine.told.texts).toEqual(['once', 'after'])
  })

  test('members that race see one log, in which each entry stands once', async () => {
    const bed = await bedOf()
    const members = await Promise.all([0, 1, 2].map(() => opened(bed.control())))
    for (const [m, { control, told }] of members.entries()) {
      const wishes = numbers(10, m * 10)
      told.afterEntries = () => {
        const wish = wishes.find((text) => !told.texts.includes(text))
        if (wish !== undefined && told.caughtUp) control.append(bytes(wish), wish, told.lastSeq)
      }
      if (told.caughtUp) told.afterEntries()
    }
    await Promise.all(members.map(({ told }) => told.until(() => told.entries.length === 30)))
    const [a, b, c] = members.map(({ told }) => told.entries.map(({ seq, bytes }) => `${seq} ${bytes}`))
    expect(b).toEqual(a)
    expect(c).toEqual(a)
    expect([...members[0]!.told.texts].sort()).toEqual(numbers(30).sort())
  })

  test('a fresh open starts from the newest checkpoint, and can append to it', async () => {
    const bed = await bedOf()
    const writer = await opened(bed.control())
    await appended(writer, 'one')
    writer.control.checkpoint(bytes('fold of one'), writer.told.lastSeq)
    await appended(writer, 'two')
    const upToTwo = writer.told.lastSeq
    writer.control.checkpoint(bytes('fold of two'), upToTwo)
    // Stored in the order in which they were sent, so this one's refusal shows that the checkpoint is there.
    writer.control.append(bytes('late'), 'late', 0)
    await appended(writer, 'three')
    const reader = await opened(bed.control())
    expect(reader.told.checkpoint?.seq).toBe(upToTwo)
    expect(Buffer.from(reader.told.checkpoint!.bytes).toString()).toBe('fold of two')
    await reader.told.until(() => reader.told.caughtUp)
    expect(reader.told.texts).toEqual(['three'])
    reader.control.checkpoint(bytes('fold of three'), reader.told.lastSeq)
    await appended(reader, 'four')
    await writer.told.until(() => writer.told.texts.includes('four'))
    expect(writer.told.texts).toEqual(['one', 'two', 'three', 'four'])
  })

  test('where nothing follows the checkpoint, the next append names its place', async () => {
    const bed = await bedOf()
    const writer = await opened(bed.control())
    await appended(writer, 'one')
    writer.control.checkpoint(bytes('fold'), writer.told.lastSeq)
    await appended(writer, 'two')
    const end = writer.told.lastSeq
    writer.control.checkpoint(bytes('fold again'), end)
    writer.control.checkpoint(bytes('never read that far'), 999)
    // Storing it reports nothing, so look until it is there.
    let reader = await opened(bed.control())
    while (reader.told.checkpoint?.seq !== end) reader = await opened(bed.control())
    await appended(reader, 'three')
    expect(reader.told.texts).toEqual(['three'])
  })

  test('a checkpoint of a history that was lost is not believed', async () => {
    const bed = await bedOf()
    const writer = await opened(bed.control())
    await appended(writer, 'one')
    writer.control.checkpoint(bytes('fold of one'), writer.told.lastSeq)
    await appended(writer, 'two')
    for (const seq of [writer.told.lastSeq, 999]) {
      await bed.lie(seq)
      const { told } = await opened(bed.control())
      expect(told.checkpoint?.seq).toBe(1)
      await told.until(() => told.caughtUp)
      expect(told.texts).toEqual(['two'])
    }
  })

  test('when the store comes back everything is told again', async () => {
    const bed = await bedOf()
    const mine = await opened(bed.control())
    const other = await opened(bed.control())
    await appended(mine, 'one')
    await appended(mine, 'two')
    await other.told.until(() => other.told.entries.length === 2)
    await bed.down()
    await Promise.all([mine, other].map(({ told }) => told.until(() => told.downs.length === 1)))
    mine.control.append(bytes('lost'), 'lost', mine.told.lastSeq)
    mine.control.announce(bytes('lost'))
    mine.control.checkpoint(bytes('lost'), mine.told.lastSeq)
    mine.control.read()
    const late = bed.control()
    await expect(late.open(new ControlRecorder())).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' })
    await late.close()
    await bed.up()
    for (const { told } of [mine, other]) {
      await told.until(() => told.evidences.length === 2 && told.caughtUp)
      expect(told.texts).toEqual(['one', 'two'])
      expect(told.calls.filter((call) => !call.startsWith('entries'))).toEqual(['open', 'down', 'open'])
    }
    await appended(other, 'three')
    await mine.told.until(() => mine.told.texts.includes('three'))
    expect(mine.told.texts).toEqual(['one', 'two', 'three'])
    expect(mine.told.announcements).toEqual([])
  })

  test('a store that went back in time is read afresh, and its places are given out again', async () => {
    const bed = await bedOf()
    const mine = await opened(bed.control())
    await appended(mine, 'one')
    const goBack = await bed.save()
    for (const text of ['two', 'three']) {
      // The store may have been away for the copy.
      mine.told.afterEntries = () => mine.control.append(bytes(text), text, mine.told.lastSeq)
      mine.told.afterEntries()
      await mine.told.until(() => mine.told.texts.includes(text))
      mine.told.afterEntries = undefined
    }
    const lost = mine.told.lastSeq
    const before = mine.told.evidences.length
    await goBack()
    await mine.told.until(() => mine.told.evidences.length > before && mine.told.caughtUp)
    expect(mine.told.texts).toEqual(['one'])
    expect(mine.told.evidences.at(-1)).not.toBe(mine.told.evidences[0])
    await appended(mine, 'another')
    expect(mine.told.lastSeq).toBeLessThanOrEqual(lost)
    expect(mine.told.texts).toEqual(['one', 'another'])
  })

  test('announcements reach every member, the announcer and clients', async () => {
    const bed = await bedOf()
    const [one, two] = [await opened(bed.control()), await opened(bed.control())]
    const heard: string[] = []
    let settle: (() => void) | undefined
    const all = new Promise<void>((resolve) => {
      settle = resolve
    })
    const client = bed.announcements()
    cleanups.push(() => client.close())
    await client.open((message) => {
      heard.push(Buffer.from(message).toString())
      if (heard.length === 2) settle!()
    })
    one!.control.announce(bytes('here I am'))
    await Promise.all([one, two].map(({ told }) => told.until(() => told.announcements.length === 1)))
    client.announce(bytes('who is there?'))
    await Promise.all([one, two].map(({ told }) => told.until(() => told.announcements.length === 2)))
    await all
    for (const list of [heard, one.told.announcements, two.told.announcements]) {
      expect(list).toEqual(['here I am', 'who is there?'])
    }
  })

  test('an observer sees the log and may not write', async () => {
    const bed = await bedOf()
    const member = await opened(bed.control())
    await appended(member, 'one')
    const { control, told } = await opened(bed.observer())
    await told.until(() => told.caughtUp)
    expect(told.texts).toEqual(['one'])
    await appended(member, 'two')
    await told.until(() => told.texts.includes('two'))
    const forbidden = expect.objectContaining({ code: 'FORBIDDEN' })
    expect(() => control.append(bytes('x'), 'x', told.lastSeq)).toThrow(forbidden)
    expect(() => control.checkpoint(bytes('x'), told.lastSeq)).toThrow(forbidden)
    expect(() => control.announce(bytes('x'))).toThrow(forbidden)
  })

  test('after close nothing is told, and closing twice is harmless', async () => {
    const bed = await bedOf()
    const [open, closing] = [await opened(bed.control()), await opened(bed.control())]
    await closing.told.until(() => closing.told.caughtUp)
    const calls = closing.told.calls.length
    await bed.slipIn(['one'])
    open.control.read()
    closing.control.read()
    const closed = closing.control.close()
    const atClose = closing.told.calls.length
    expect(atClose).toBe(calls)
    await closed
    await closing.control.close()
    closing.control.append(bytes('x'), 'x', 0)
    closing.control.announce(bytes('x'))
    closing.control.read()
    await open.told.until(() => open.told.texts.includes('one'))
    await appended(open, 'two')
    expect(closing.told.calls.length).toBe(atClose)
    expect(open.told.texts).toEqual(['one', 'two'])
    expect(open.told.announcements).toEqual([])
  })
})
