/**
 * What nobody should send, from values that have no stored form to bytes of another protocol: each is refused with an
 * error that names it, the process lives, and nothing that was stored is touched.
 */

import { createConnection, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Grid } from '../../src/client/grid.ts'
import type { GridMap } from '../../src/client/grid-map.ts'
import { LocalControl, LocalControlStore } from '../../src/control/local.ts'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import type { GridError } from '../../src/core/base/errors.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { type Random, randomId, randomInt, seededRandom } from '../../src/core/base/random.ts'
import { encodeKey } from '../../src/core/wire/key.ts'
import {
  beginMessage,
  endMessage,
  MessageType,
  Operation,
  ReplyStatus,
  ReplyView,
  readError,
  writeCallHeader,
} from '../../src/core/wire/message.ts'
import { type Member, startMember } from '../../src/member/member.ts'
import type { MemberOptions } from '../../src/member/options.ts'
import { encodeHello, HELLO_WRONG_CLUSTER, HELLO_WRONG_VERSION } from '../../src/transport/hello.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import { type Link, PROTOCOL_VERSION, type Role } from '../../src/transport/transport.ts'
import { TestNatsServer } from '../support/nats-server.ts'

const CLUSTER = 'careful'
const transport = new TcpTransport({ limits: defaultLimits })

let members: Member[]
let grid: Grid
let map: GridMap<string, unknown>

beforeAll(async () => {
  const store = new LocalControlStore()
  const start = (name: string): Promise<Member> =>
    startMember(
      {
        cluster: CLUSTER,
        name,
        host: name,
        listen: '127.0.0.1:0',
        partitionCount: 4,
        expectMembers: 2,
        logLevel: 'silent',
      },
      { control: new LocalControl(store), foundAfterMs: 0 },
    )
  members = await Promise.all([start('a'), start('b')])
  grid = await connect({ cluster: CLUSTER, members: members.map(({ address }) => address) })
  map = grid.map('kept')
  await map.putAll(Array.from({ length: 100 }, (_, i) => [`k${i}`, { n: i }]))
})

afterAll(async () => {
  await grid.close()
  await Promise.all(members.map((member) => member.stop()))
})

/** Everything that was stored is there as it was, and both members serve. */
async function untouched(): Promise<void> {
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
  const kept = await map.getAll(keys, { consistency: 'confirmed' })
  expect(kept).toEqual(new Map(keys.map((key, n) => [key, { n }])))
  expect(await map.size()).toBe(100)
}

async function failure(promise: Promise<unknown>): Promise<GridError> {
  try {
    await promise
  } catch (error) {
    return error as GridError
  }
  throw new Error('it was not refused')
}

describe('values and keys without a stored form', () => {
  class Point {}
  const cycle: unknown[] = []
  cycle.push(cycle)
  const values: [string, unknown, RegExp][] = [
    ['undefined', { a: [1, undefined] }, /a\[1\]/],
    ['a function', { a: { b: () => 1 } }, /a\.b/],
    ['a Map', { a: new Map() }, /\.a/],
    ['a Set', [new Set()], /\[0\]/],
    ['an instance of a class', { a: new Point() }, /\.a/],
    ['a symbol', { a: Symbol('x') }, /\.a/],
    ['another typed array', { a: new Float32Array(1) }, /\.a/],
    ['a cycle', cycle, /depth|cycle/i],
    ['a lone surrogate', { a: 'x\ud800' }, /\.a/],
    ['a date that is none', { a: new Date(Number.NaN) }, /\.a/],
    ['a member called __proto__', JSON.parse('{"a":{"__proto__":1}}'), /__proto__/],
  ]
  for (const [what, value, where] of values) {
    test(`${what} is refused with the path to it`, async () => {
      const error = await failure(map.put('k1', value))
      expect(error.code).toMatch(/BAD_VALUE|TOO_LARGE/)
      expect(error.applied).toBe('no')
      expect(error.message).toMatch(where)
    })
  }

  const keys: [string, unknown, string][] = [
    ['null', null, 'BAD_KEY'],
    ['undefined', undefined, 'BAD_KEY'],
    ['NaN', Number.NaN, 'BAD_KEY'],
    ['an object', ['a', {}], 'BAD_KEY'],
    ['a lone surrogate', '\udc00', 'BAD_KEY'],
    ['a long text', 'x'.repeat(2000), 'TOO_LARGE'],
  ]
  for (const [what, key, code] of keys) {
    test(`the key ${what} is refused`, async () => {
      for (const call of [map.get(key as string), map.put(key as string, 1), map.remove(key as string)])
        expect((await failure(call)).code).toBe(code)
    })
  }

  test('and harm nothing', untouched)
})

describe('filters, queries, options', () => {
  const queries: [string, unknown, RegExp][] = [
    ['an unknown operator', { where: { n: { $gtt: 1 } } }, /BAD_FILTER.*n\.\$gtt.*\$gt/],
    ['an unknown operator of the whole', { where: { $any: [] } }, /BAD_FILTER.*\$any.*\$and/],
    ['an operand of the wrong kind', { where: { n: { $in: 5 } } }, /BAD_FILTER.*\$in/],
    ['a path with an empty part', { where: { 'a..b': 5 } }, /BAD_FILTER.*a\.\.b/],
    ['an order that is none', { orderBy: [['n', 'up']] }, /BAD_FILTER.*orderBy.*'asc' or 'desc'/],
    ['a limit below 0', { limit: -1 }, /BAD_FILTER.*limit/],
    ['an option that is none', { were: {} }, /BAD_OPTION.*were.*where/],
    ['a selection that is none', { select: [7] }, /BAD_FILTER/],
  ]
  for (const [what, query, message] of queries) {
    test(`${what} in a query is named`, async () => {
      expect((await failure(map.query(query as never))).message).toMatch(message)
    })
  }

  test('a filter that is refused by watch, entries and invokeAll', async () => {
    const where = { n: { $gtt: 1 } } as never
    expect(() => map.watch({ where })).toThrow(/BAD_FILTER/)
    expect((await failure(map.entries({ where }).next())).code).toBe('BAD_FILTER')
    expect((await failure(map.invokeAll('any', 1, { where }))).code).toBe('BAD_FILTER')
  })

  test('misspelt options are named with the nearest known one', async () => {
    expect((await failure(map.put('k1', 1, { ttl: 5 } as never))).message).toMatch(/BAD_OPTION.*ttl.*ttlMs/)
    expect((await failure(map.put('k1', 1, { ttlMs: -5 }))).message).toMatch(/BAD_OPTION.*ttlMs.*-5/)
    const options = { cluster: CLUSTER, member: ['x:1'] } as never
    expect((await failure(connect(options))).message).toMatch(/BAD_OPTION.*member.*members/)
    const typo = { lisen: '127.0.0.1:0' } as unknown as MemberOptions
    expect((await failure(startMember(typo))).message).toMatch(/BAD_OPTION.*lisen.*listen/)
    const bounds = { backups: 99 }
    expect((await failure(startMember(bounds))).message).toMatch(/BAD_OPTION.*backups = 99.*0 to 6/)
  })

  test('and harm nothing', untouched)
})

/** A client, or member, that says what it likes in frames that are well formed. */
class Stranger {
  readonly #link: Link
  readonly #frames: Buffer[] = []
  #arrived: () => void = () => {}
  readonly closed: Promise<void>

  private constructor(link: Link, closed: Promise<void>) {
    this.#link = link
    this.closed = closed
  }

  static async connect(role: Role = 'client', id = randomId(seededRandom(1))): Promise<Stranger> {
    let stranger: Stranger | undefined
    let close: () => void = () => {}
    const closed = new Promise<void>((resolve) => {
      close = resolve
    })
    const early: Buffer[] = []
    const link = await transport.connect(
      members[0]!.address,
      { role, cluster: CLUSTER, id },
      {
        onFrame: (_, bytes, start, end) => {
          const frame = Buffer.from(bytes.subarray(start, end))
          if (stranger === undefined) early.push(frame)
          else {
            stranger.#frames.push(frame)
            stranger.#arrived()
          }
        },
        onClose: () => close(),
      },
    )
    stranger = new Stranger(link, closed)
    stranger.#frames.push(...early)
    return stranger
  }

  say(bytes: Uint8Array): void {
    if (this.#link.closed) return
    this.#link.out.bytes(bytes)
    this.#link.wake()
  }

  /** The next reply to a call; other messages are passed over. */
  async reply(): Promise<ReplyView> {
    for (;;) {
      const frame = this.#frames.shift()
      if (frame === undefined) {
        await new Promise<void>((resolve) => {
          this.#arrived = resolve
        })
        continue
      }
      for (let at = 0; at < frame.length; ) {
        const end = at + 4 + frame.readUIntLE(at + 1, 3)
        if (frame[at] === MessageType.reply) return new ReplyView().read(new ByteReader(frame, at + 4, end))
        at = end
      }
    }
  }

  close(): void {
    this.#link.close()
  }
}

function message(type: number, payload: Uint8Array): Buffer {
  const w = new ByteWriter(64)
  const mark = beginMessage(w, type as MessageType)
  w.bytes(payload)
  endMessage(w, mark)
  return Buffer.from(w.take())
}

function randomBytes(random: Random, sizeMax: number): Buffer {
  const bytes = Buffer.alloc(randomInt(random, sizeMax))
  for (let i = 0; i < bytes.length; i++) bytes[i] = randomInt(random, 256)
  return bytes
}

/** A stored key that the first member owns. */
function ours(): string {
  const partitions = grid.partitions()
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
  return keys.find((key) => partitions[grid.partitionOf(key)]!.owner?.id === members[0]!.id)!
}

/** A call on the partition of that key, with whatever stands for key and argument. */
function callOn(
  key: Uint8Array,
  operation: Operation,
  argument: Uint8Array,
  partition = grid.partitionOf(ours()),
): Buffer {
  const w = new ByteWriter(64)
  const mark = beginMessage(w, MessageType.call)
  writeCallHeader(w, partition, 1, 0, 0, operation, 0, 1, key.length)
  w.bytes(key)
  w.bytes(argument)
  endMessage(w, mark)
  return Buffer.from(w.take())
}

function keyBytes(key: string): Uint8Array {
  const w = new ByteWriter(64)
  encodeKey(w, key, defaultLimits)
  return w.take()
}

describe('well-formed frames of nonsense', () => {
  const put = (value: number[]): Uint8Array => Uint8Array.from([0, 0, 0, 0, 0, 0, ...value])
  const calls: [string, () => Buffer][] = [
    ['a value cut short', () => callOn(keyBytes(ours()), Operation.put, put([0xa5, 0x61]))],
    ['a value that is no UTF-8', () => callOn(keyBytes(ours()), Operation.put, put([0xa2, 0xc3, 0x28]))],
    ['two values', () => callOn(keyBytes(ours()), Operation.put, put([1, 2]))],
    [
      'an extension type that is unknown',
      () => callOn(keyBytes(ours()), Operation.put, put([0xd4, 0x55, 0])),
    ],
    [
      'an array that claims 4 G elements',
      () => callOn(keyBytes(ours()), Operation.put, put([0xdd, 255, 255, 255, 255])),
    ],
    [
      'a key in its second spelling',
      () => callOn(Uint8Array.from([0xd9, ours().length, ...Buffer.from(ours())]), Operation.get, put([])),
    ],
    [
      'a key of another partition',
      () => callOn(keyBytes(ours()), Operation.get, put([]), (grid.partitionOf(ours()) + 1) % 4),
    ],
    ['an operation that is unknown', () => callOn(keyBytes(ours()), 99 as Operation, put([]))],
    ['an update that is none', () => callOn(keyBytes(ours()), Operation.update, Uint8Array.from([0xc0]))],
    ['a query that is none', () => callOn(new Uint8Array(), Operation.query, Uint8Array.from([0xc3]))],
  ]
  for (const [what, bytes] of calls) {
    test(`${what}: the call is refused and the connection lives`, async () => {
      const stranger = await Stranger.connect()
      stranger.say(bytes())
      const reply = await stranger.reply()
      if (what !== 'a key of another partition') expect(reply.status).toBe(ReplyStatus.error)
      if (reply.status === ReplyStatus.error) {
        const error = readError(new ByteReader(reply.bytes, reply.payloadStart, reply.payloadEnd))
        expect(error.code).toMatch(/MALFORMED|BAD_VALUE|BAD_KEY|BAD_UPDATE|BAD_FILTER|TOO_LARGE/)
        expect(error.applied).toBe('no')
      } else expect(reply.status).toBe(ReplyStatus.notOwner)
      stranger.say(callOn(keyBytes(ours()), Operation.get, new Uint8Array()))
      expect((await stranger.reply()).status).toBe(ReplyStatus.ok)
      stranger.close()
    })
  }

  test('a client that speaks as a member is cut off', async () => {
    for (let type = 40; type <= 59; type++) {
      const stranger = await Stranger.connect()
      stranger.say(message(type, new Uint8Array(100)))
      await stranger.closed
    }
    await untouched()
  })

  test('messages cut off, of unknown types and of random bytes: no member minds', async () => {
    const random = seededRandom(5)
    const types = Object.values(MessageType)
    for (let i = 0; i < 600; i++) {
      const stranger = await Stranger.connect(i % 3 === 0 ? 'member' : 'client', randomId(random))
      for (let j = randomInt(random, 4); j >= 0; j--) {
        const type =
          randomInt(random, 3) === 0 ? randomInt(random, 256) : types[randomInt(random, types.length)]!
        const bytes = message(type, randomBytes(random, 200))
        stranger.say(randomInt(random, 4) === 0 ? bytes.subarray(0, randomInt(random, bytes.length)) : bytes)
      }
      stranger.close()
      await stranger.closed
    }
    await untouched()
    for (const member of members) expect(member.status().state).toBe('active')
  })
})

describe('connections of another kind', () => {
  /** What a member answers to a hello of bytes. */
  function answerTo(bytes: Buffer): Promise<Buffer> {
    const [host, port] = members[0]!.address.split(':')
    return new Promise((resolve) => {
      const chunks: Buffer[] = []
      const socket = createConnection(Number(port), host, () => socket.write(bytes))
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.on('error', () => {})
      socket.on('close', () => resolve(Buffer.concat(chunks)))
    })
  }

  test('another cluster is named, with ours', async () => {
    const error = await failure(connect({ cluster: 'other', members: [members[0]!.address] }))
    expect(error.message).toMatch(/WRONG_CLUSTER.*"careful".*"other"/)
    const answer = await answerTo(encodeHello({ role: 'member', cluster: 'other', id: 'a'.repeat(32) }))
    expect(answer[6]).toBe(HELLO_WRONG_CLUSTER)
  })

  test('another version of the protocol is told apart on both sides', async () => {
    const hello = encodeHello({ role: 'client', cluster: CLUSTER, id: 'a'.repeat(32) })
    hello.writeUInt16LE(PROTOCOL_VERSION + 1, 4)
    const answer = await answerTo(hello)
    expect(answer.subarray(0, 4).toString()).toBe('AGRD')
    expect(answer[6]).toBe(HELLO_WRONG_VERSION)

    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.write(hello)
    })
    const port = await listening(server)
    const error = await failure(
      connect({ cluster: CLUSTER, members: [`127.0.0.1:${port}`], timeoutMs: 1000 }),
    )
    expect(error.message).toMatch(/PROTOCOL_VERSION.*version 2.*1/)
    server.close()
  })

  test('and harm nothing', untouched)
})

function listening(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
}

describe('surroundings', () => {
  test('a port in use is named', async () => {
    const server = createServer()
    const port = await listening(server)
    const seams = { control: new LocalControl(new LocalControlStore()), foundAfterMs: 0 }
    const options: MemberOptions = { listen: `127.0.0.1:${port}`, cluster: CLUSTER, logLevel: 'silent' }
    expect((await failure(startMember(options, seams))).message).toMatch(new RegExp(`PORT_IN_USE.*${port}`))
    server.close()
  })

  test('NATS that cannot be reached is named', async () => {
    const nats = ['nats://127.0.0.1:9']
    const options: MemberOptions = { nats, cluster: CLUSTER, listen: '127.0.0.1:0', logLevel: 'silent' }
    for (const attempt of [startMember(options), connect({ nats, cluster: CLUSTER, timeoutMs: 2000 })]) {
      expect((await failure(attempt)).message).toMatch(/CONTROL_UNAVAILABLE.*127\.0\.0\.1:9/)
    }
  })

  test('NATS without JetStream: the error says what to do', async () => {
    const server = await TestNatsServer.start({ jetStream: false })
    const options: MemberOptions = {
      nats: [server.url],
      cluster: CLUSTER,
      listen: '127.0.0.1:0',
      logLevel: 'silent',
    }
    expect((await failure(startMember(options))).message).toMatch(/CONTROL_UNAVAILABLE.*JetStream.*-js/)
    const client = await failure(connect({ nats: server.url, cluster: CLUSTER, timeoutMs: 500 }))
    expect(client.message).toMatch(/UNREACHABLE|CONTROL_UNAVAILABLE/)
    await server.remove()
  })

  test('a member that is not there is named', async () => {
    const error = await failure(connect({ cluster: CLUSTER, members: ['127.0.0.1:9'], timeoutMs: 500 }))
    expect(error.message).toMatch(/UNREACHABLE.*127\.0\.0\.1:9/)
    expect(error.retryable).toBe(true)
  })
})
