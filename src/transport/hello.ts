/**
 * The hello: what two processes say to each other before anything else is parsed.
 *
 * `'AGRD' · u16 version · u8 status · u8 role · id (16 bytes) · u8 length · cluster name`, at most 279 bytes. Both
 * directions have the same layout. The first seven bytes stay where they are in every version to come, so that two
 * versions can always tell each other apart. The listener answers a hello that it does not like as well, with a
 * status, so that the caller learns what is wrong instead of seeing a connection that closes.
 */

import { getU16, putU16 } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { isUtf8 } from '../core/base/utf8.ts'
import { type Hello, PROTOCOL_VERSION } from './transport.ts'

const MAGIC = Buffer.from('AGRD')
const ID_BYTES = 16
const FIXED_BYTES = 8 + ID_BYTES + 1
const HELLO_BYTES_MAX = FIXED_BYTES + 255

export const HELLO_OK = 0
export const HELLO_WRONG_VERSION = 1
export const HELLO_WRONG_CLUSTER = 2
export const HELLO_MALFORMED = 3
/** The listener does not want this link now: too many at once, or it is closing. */
export const HELLO_REFUSED = 4

/** @throws GridError `BAD_OPTION`: the cluster's name is empty or above 255 bytes, or the id is not 32 hex digits. */
export function encodeHello(hello: Hello, status = HELLO_OK): Buffer {
  const name = Buffer.from(hello.cluster)
  if (name.length === 0 || name.length > 255)
    throw new GridError('BAD_OPTION', `cluster name of ${name.length} bytes; 1 to 255 are allowed`)
  if (!/^[0-9a-f]{32}$/.test(hello.id))
    throw new GridError(
      'BAD_OPTION',
      `id ${JSON.stringify(hello.id)} is not 32 lower-case hexadecimal digits`,
    )
  const bytes = Buffer.alloc(FIXED_BYTES + name.length)
  MAGIC.copy(bytes)
  putU16(bytes, 4, PROTOCOL_VERSION)
  bytes[6] = status
  bytes[7] = hello.role === 'member' ? 1 : 0
  bytes.write(hello.id, 8, 'hex')
  bytes[8 + ID_BYTES] = name.length
  name.copy(bytes, FIXED_BYTES)
  return bytes
}

export interface PeerHello extends Hello {
  readonly status: number
}

/** Gathers the first bytes of a connection until they are a hello; holds at most 280 of them. */
export class HelloReader {
  /** Where, in the chunk last pushed, the bytes after the hello begin. */
  rest = 0
  readonly #remote: string
  readonly #bytes = Buffer.alloc(HELLO_BYTES_MAX)
  #count = 0

  /** `remote` says in errors where the peer is. */
  constructor(remote: string) {
    this.#remote = remote
  }

  /**
   * Takes the next chunk; returns the hello once it is whole.
   * @throws GridError `MALFORMED`, `PROTOCOL_VERSION`
   */
  push(chunk: Buffer): PeerHello | undefined {
    const before = this.#count
    this.#count += chunk.copy(this.#bytes, before)
    const size = this.#size()
    if (size === undefined || this.#count < size) return undefined
    this.rest = size - before
    const bytes = this.#bytes
    const role = bytes[7]!
    if (role > 1) throw new GridError('MALFORMED', `hello with role ${role}`)
    if (!isUtf8(bytes, FIXED_BYTES, size))
      throw new GridError('MALFORMED', 'hello with a cluster name that is not valid UTF-8')
    return {
      status: bytes[6]!,
      role: role === 1 ? 'member' : 'client',
      id: bytes.toString('hex', 8, 8 + ID_BYTES),
      cluster: bytes.toString('utf8', FIXED_BYTES, size),
    }
  }

  /** Size of the hello once it is known. The first byte that is wrong ends the connection. */
  #size(): number | undefined {
    const magic = Math.min(this.#count, MAGIC.length)
    if (this.#bytes.compare(MAGIC, 0, magic, 0, magic) !== 0)
      throw new GridError('MALFORMED', `${this.#remote} does not speak the actorgrid protocol`)
    if (this.#count < 7) return undefined
    const version = getU16(this.#bytes, 4)
    if (version !== PROTOCOL_VERSION)
      throw new GridError(
        'PROTOCOL_VERSION',
        `${this.#remote} speaks protocol version ${version}, this side ${PROTOCOL_VERSION}`,
      )
    if (this.#count < FIXED_BYTES) return undefined
    const name = this.#bytes[FIXED_BYTES - 1]!
    if (name === 0) throw new GridError('MALFORMED', 'hello without a cluster name')
    return FIXED_BYTES + name
  }
}

/** @throws GridError `WRONG_CLUSTER`, naming both clusters. */
export function checkCluster(own: Hello, peer: Hello, remote: string): void {
  if (own.cluster === peer.cluster) return
  const names = [peer.cluster, own.cluster].map((name) => JSON.stringify(name))
  throw new GridError('WRONG_CLUSTER', `${remote} belongs to cluster ${names[0]}, this side to ${names[1]}`)
}

/**
 * What the caller makes of the listener's hello.
 * @throws GridError `WRONG_CLUSTER`, `UNREACHABLE`
 */
export function checkReply(own: Hello, reply: PeerHello, remote: string): void {
  checkCluster(own, reply, remote)
  if (reply.status === HELLO_OK) return
  const why = reply.status === HELLO_REFUSED ? 'it takes no more links now' : `status ${reply.status}`
  throw new GridError('UNREACHABLE', `${remote} refused the link: ${why}`)
}

/** The status that tells the caller why its hello was not taken. */
export function statusOf(error: unknown): number {
  const code = error instanceof GridError ? error.code : 'INTERNAL'
  if (code === 'PROTOCOL_VERSION') return HELLO_WRONG_VERSION
  if (code === 'WRONG_CLUSTER') return HELLO_WRONG_CLUSTER
  return code === 'MALFORMED' ? HELLO_MALFORMED : HELLO_REFUSED
}
