/**
 * The way in: finds a member, connects, and waits until the cluster can be used.
 */

import { randomBytes } from 'node:crypto'
import { NatsAnnouncements } from '../control/nats-announcements.ts'
import { natsTarget } from '../control/nats-connect.ts'
import { GridError } from '../core/base/errors.ts'
import { defaultLimits, type Limits } from '../core/base/limits.ts'
import { TcpTransport } from '../transport/tcp.ts'
import { Grid } from './grid.ts'
import { addressesOf, type ConnectOptions, checkConnectOptions, withoutUndefined } from './options.ts'

const TIMEOUT_MS = 10_000

/**
 * Connects to a cluster: through the addresses of some members, or of NATS servers, or both.
 *
 * Resolves when a member is connected and the cluster has partitions. From then on the client finds its way by
 * itself: calls are retried until their deadlines, lost members are replaced, and where none can be reached it goes
 * on trying until it is closed.
 *
 * @throws GridError `UNREACHABLE`, `CONTROL_UNAVAILABLE`, `NOT_READY` (no partitions in time), `WRONG_CLUSTER`,
 * `PROTOCOL_VERSION`, `BAD_OPTION`, `ABORTED`
 */
export async function connect(options: ConnectOptions): Promise<Grid> {
  checkConnectOptions(options)
  const { cluster, nats, timeoutMs = TIMEOUT_MS, name = '', signal } = options
  if (signal?.aborted) throw abortedBy(signal)
  if (nats !== undefined) natsTarget({ servers: nats, cluster })
  const limits: Limits = { ...defaultLimits, ...withoutUndefined(options.limits ?? {}) }
  const grid = new Grid(cluster, name, {
    hello: { role: 'client', cluster, id: randomBytes(16).toString('hex') },
    transport: options.transport ?? new TcpTransport({ limits }),
    seeds: addressesOf(options.members),
    announcements: nats === undefined ? undefined : () => new NatsAnnouncements({ servers: nats, cluster }),
    nowMs: () => performance.now(),
    wallMs: () => Date.now(),
    limits,
    timeoutMs,
    local: options.local,
  })
  let onAbort: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedBy(signal!))
    signal?.addEventListener('abort', onAbort)
  })
  try {
    await Promise.race([grid.open(performance.now() + timeoutMs), aborted])
    return grid
  } catch (error) {
    await grid.close()
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort!)
  }
}

function abortedBy(signal: AbortSignal): GridError {
  return new GridError('ABORTED', 'connecting was given up', { applied: 'no', cause: signal.reason })
}
