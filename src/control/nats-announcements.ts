/**
 * Announcements over core NATS without the log, for clients that know nothing but the address of NATS.
 *
 * Needs no JetStream and creates nothing. Here the NATS client may reconnect by itself: announcements are hints that
 * may be lost, so nothing can go stale.
 */

import type { NatsConnection } from '@nats-io/transport-node'
import { assert } from '../core/base/assert.ts'
import { GridError } from '../core/base/errors.ts'
import type { Announcements } from './control.ts'
import { announceSubject, closeNats, connectNats, type NatsOptions, natsTarget } from './nats-connect.ts'

export class NatsAnnouncements implements Announcements {
  private readonly options: NatsOptions
  private readonly subject: string
  private connection: NatsConnection | undefined
  private closed = false

  /** @throws GridError `BAD_OPTION` */
  constructor(options: NatsOptions) {
    natsTarget(options)
    this.options = options
    this.subject = announceSubject(options.cluster)
  }

  async open(onAnnouncement: (bytes: Uint8Array) => void): Promise<void> {
    assert(this.connection === undefined, 'announcements are opened once')
    const target = natsTarget(this.options)
    const connection = await connectNats(target, { reconnect: true, maxReconnectAttempts: -1 })
    if (this.closed) {
      await connection.close()
      throw new GridError('CLOSED', 'closed while it was being opened')
    }
    connection.subscribe(this.subject, {
      callback: (error, message) => {
        if (error) this.options.log?.(`announcements are not permitted: ${error.message}`)
        // In a turn of its own: what a handler throws must not end in the NATS client's parser.
        else queueMicrotask(() => !this.closed && onAnnouncement(message.data))
      },
    })
    this.connection = connection
    // Once the server has answered, it has the subscription too.
    await Promise.race([connection.flush(), connection.closed()])
  }

  announce(bytes: Uint8Array): void {
    try {
      this.connection?.publish(this.subject, bytes)
    } catch (error) {
      this.options.log?.(`announcement failed: ${(error as Error).message}`)
    }
  }

  async close(): Promise<void> {
    this.closed = true
    if (this.connection !== undefined) await closeNats(this.connection)
  }
}
