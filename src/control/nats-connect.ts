/**
 * Options for NATS, one connection made from them, and its failures in our own words.
 *
 * By default the NATS client does not reconnect by itself: what was known on one connection (a revision, a leader)
 * means nothing on the next, so a lost connection ends everything read through it and its owner starts afresh.
 */

import { JetStreamApiError } from '@nats-io/jetstream'
import {
  connect,
  credsAuthenticator,
  errors,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { GridError } from '../core/base/errors.ts'

export interface NatsOptions {
  /** `nats://host:port`, `tls://host:port` or `host:port`; the port defaults to 4222. May carry `user:pass@`. */
  readonly servers: string | readonly string[]
  /** Name of the cluster: 1–64 of `A–Z a–z 0–9 _ -`. */
  readonly cluster: string
  /** Copies that NATS keeps of the log when it is created. Default 3 where NATS is clustered, else 1. */
  readonly replicas?: 1 | 3 | undefined
  readonly user?: string | undefined
  readonly pass?: string | undefined
  readonly token?: string | undefined
  /** The text of a `.creds` file. */
  readonly credentials?: string | undefined
  readonly tls?: NodeConnectionOptions['tls'] | undefined
  /** Reads only: never creates the log, and refuses to write. Default false. */
  readonly readOnly?: boolean | undefined
  /** Told what went wrong where nobody else is told: dropped appends, lost connections. */
  readonly log?: ((message: string) => void) | undefined
}

const CONNECT_TIMEOUT_MS = 5000
const FLUSH_MS = 500

/** Options after their check: what the NATS client gets, and how messages name the servers (never with a password). */
export interface NatsTarget {
  readonly cluster: string
  readonly address: string
  readonly connection: NodeConnectionOptions
}

/** @throws GridError `BAD_OPTION` */
export function natsTarget(options: NatsOptions): NatsTarget {
  const { cluster, servers, replicas, credentials, tls } = options
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(cluster)) {
    throw new GridError('BAD_OPTION', `cluster ${JSON.stringify(cluster)} must be 1–64 of A–Z a–z 0–9 _ -`)
  }
  if (replicas !== undefined && replicas !== 1 && replicas !== 3) {
    throw new GridError('BAD_OPTION', `replicas is ${String(replicas)}, must be 1 or 3`)
  }
  const urls = (typeof servers === 'string' ? servers.split(',') : servers).map(serverUrl)
  if (urls.length === 0) throw new GridError('BAD_OPTION', 'servers is empty')
  const hosts = urls.map((url) => `${url.hostname}:${url.port || 4222}`)
  const named = urls.find((url) => url.username !== '')
  const connection: NodeConnectionOptions = {
    servers: hosts,
    name: `actorgrid ${cluster}`,
    reconnect: false,
    timeout: CONNECT_TIMEOUT_MS,
  }
  const user = options.user ?? (named && decodeURIComponent(named.username))
  const pass = options.pass ?? (named && decodeURIComponent(named.password))
  if (user !== undefined) connection.user = user
  if (pass !== undefined) connection.pass = pass
  if (options.token !== undefined) connection.token = options.token
  if (tls !== undefined) connection.tls = tls
  else if (urls.some((url) => url.protocol === 'tls:')) connection.tls = {}
  if (credentials !== undefined) connection.authenticator = credsAuthenticator(Buffer.from(credentials))
  return { cluster, address: hosts.join(', '), connection }
}

function serverUrl(server: string): URL {
  const text = server.trim()
  try {
    const url = new URL(text.includes('://') ? text : `nats://${text}`)
    if (url.hostname !== '' && (url.protocol === 'nats:' || url.protocol === 'tls:')) return url
  } catch {
    // Said below, for this and for other kinds of URL.
  }
  const shown = text.replace(/^.*@/, '')
  throw new GridError('BAD_OPTION', `servers: ${JSON.stringify(shown)} is not nats://host:port`)
}

/**
 * One connection, which ends for good when it is lost, unless `more` says otherwise.
 * @throws GridError `CONTROL_UNAVAILABLE`
 */
export async function connectNats(
  target: NatsTarget,
  more?: Pick<NodeConnectionOptions, 'reconnect' | 'maxReconnectAttempts'>,
): Promise<NatsConnection> {
  try {
    return await connect({ ...target.connection, ...more })
  } catch (error) {
    throw unavailable(target, error)
  }
}

/** Lets what was published leave first, if the server still listens. */
export async function closeNats(connection: NatsConnection): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FLUSH_MS)
  })
  await Promise.race([connection.flush(), connection.closed(), enough]).catch(() => {})
  clearTimeout(timer)
  await connection.close()
}

/** Where members and clients tell each other things, over core NATS. */
export function announceSubject(cluster: string): string {
  return `actorgrid.${cluster}.announce`
}

/** What a failure means to someone who has to mend it. Errors that are already ours pass through. */
export function unavailable(target: NatsTarget, error: unknown): GridError {
  if (error instanceof GridError) return error
  const at = `NATS at ${target.address}`
  const because = error instanceof Error ? error.message : 'the connection was closed'
  const say = (message: string) => new GridError('CONTROL_UNAVAILABLE', message, { cause: error })
  // A class that the client library does not export.
  if (error instanceof Error && error.name === 'JetStreamNotEnabled') {
    return say(`${at} has no JetStream: start nats-server with -js`)
  }
  if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError) {
    return say(`${at} refuses the credentials: ${because}`)
  }
  if (error instanceof JetStreamApiError) return say(`${at} cannot serve the log: ${because}`)
  if (error instanceof errors.PermissionViolationError) return say(`${at} does not permit it: ${because}`)
  return say(`${at} cannot be reached: ${because}`)
}
