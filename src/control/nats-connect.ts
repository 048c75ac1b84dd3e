/**
 * Options for NATS, one connection made from them, and its failures in our own words.
 *
 * By default the NATS client does not reconnect by itself: what was known on one connection (a revision, a leader)
 * means nothing on the next, so a lost connection ends everything read through it and its owner starts afresh.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
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
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 2000

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

/** The attempt that a socket is opened for, so that it can be found when the attempt fails. */
const attempt = new AsyncLocalStorage<Set<Socket>>()
let attempts = 0

/**
 * One connection, which ends for good when it is lost. An abort of `signal` ends the attempt.
 *
 * The NATS client does not close the socket of an attempt that its timer ends: where a server accepts and says nothing,
 * each one would stay open and keep the process alive. Node tells of every socket that is made, and those of an attempt
 * that failed are destroyed here.
 * @throws GridError `CONTROL_UNAVAILABLE`
 */
export async function connectNats(target: NatsTarget, signal?: AbortSignal): Promise<NatsConnection> {
  const sockets = new Set<Socket>()
  const destroy = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const onSocket = (message: unknown): void => {
    if (attempt.getStore() !== sockets) return
    sockets.add((message as { readonly socket: Socket }).socket)
    if (signal?.aborted) destroy()
  }
  subscribe('net.client.socket', onSocket)
  signal?.addEventListener('abort', destroy)
  attempts++
  try {
    return await attempt.run(sockets, () => connect(target.connection))
  } catch (error) {
    destroy()
    throw unavailable(target, error)
  } finally {
    signal?.removeEventListener('abort', destroy)
    unsubscribe('net.client.socket', onSocket)
    // While it is in use Node follows every promise of this process: a fifth of what a client's calls cost.
    if (--attempts === 0) attempt.disable()
  }
}

/** How long to wait before the next attempt to connect; has chance in it, so that a cluster does not come all at once. */
export function retryAfterMs(failures: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures) * (0.5 + Math.random() / 2)
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
