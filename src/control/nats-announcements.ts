/**
 * Announcements over core NATS without the log, for clients that know nothing but the address of NATS.
 *
 * Needs no JetStream and creates nothing. A lost connection is made anew here, again and again until `close`: the NATS
 * client's own reconnecting ends for good on some errors, and leaves sockets behind where a server says nothing.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { assert } from '../core/base/assert.ts'
import { GridError } from '../core/base/errors.ts'
import type { Announcements } from './control.ts'
import {
  announceSubject,
  closeNats,
  connectNats,
  type NatsOptions,
  type NatsTarget,
  natsTarget,
  retryAfterMs,
} from './nats-connect.ts'

export class NatsAnnouncements implements Announcements {
  private readonly options: NatsOptions
  private readonly target: NatsTarget
  private readonly subject: string
  private readonly ending = new AbortController()
  private connection: NatsConnection | undefined

  /** @throws GridError `BAD_OPTION` */
  constructor(options: NatsOptions) {
    this.target = natsTarget(options)
    this.options = options
    this.subject = announceSubject(options.cluster)
  }

  async open(onAnnouncement: (bytes: Uint8Array) => void): Promise<void> {
    assert(this.connection === undefined, 'announcements are opened once')
    void this.keep(await this.begin(onAnnouncement), onAnnouncement)
  }

  announce(bytes: Uint8Array): void {
    try {
      this.connection?.publish(this.subject, bytes)
    } catch (error) {
      this.log((error as Error).message)
    }
  }

  async close(): Promise<void> {
    this.ending.abort()
    if (this.connection !== undefined) await closeNats(this.connection)
  }

  private get closed(): boolean {
    return this.ending.signal.aborted
  }

  private async begin(onAnnouncement: (bytes: Uint8Array) => void): Promise<NatsConnection> {
    const connection = await connectNats(this.target, this.ending.signal).catch((error: unknown) => {
      throw this.closed ? new GridError('CLOSED', 'closed while it was being opened') : error
    })
    if (this.closed) {
      await connection.close()
      throw new GridError('CLOSED', 'closed while it was being opened')
    }
    connection.subscribe(this.subject, {
      callback: (error, message) => {
        if (error) this.log(`not permitted: ${error.message}`)
        // In a turn of its own: what a handler throws must not end in the NATS client's parser.
        else queueMicrotask(() => !this.closed && onAnnouncement(message.data))
      },
    })
    this.connection = connection
    // Once the server has answered, it has the subscription too.
    await Promise.race([connection.flush(), connection.closed()])
    return connection
  }

  /** Whenever the connection is lost makes another. */
  private async keep(first: NatsConnection, onAnnouncement: (bytes: Uint8Array) => void): Promise<void> {
    let connection: NatsConnection | undefined = first
    while (connection !== undefined) {
      const error = await connection.closed()
      if (this.closed) return
      this.log(`connection lost${error ? `: ${error.message}` : ''}`)
      connection = await this.again(onAnnouncement)
    }
  }

  private async again(onAnnouncement: (bytes: Uint8Array) => void): Promise<NatsConnection | undefined> {
    const { signal } = this.ending
    for (let failures = 0; ; failures++) {
      // Ends early, with a rejection, when this is closed.
      await delay(retryAfterMs(failures), undefined, { signal }).catch(() => {})
      if (this.closed) return undefined
      try {
        return await this.begin(onAnnouncement)
      } catch (error) {
        if (!this.closed) this.log((error as Error).message)
      }
    }
  }

  private log(message: string): void {
    this.options.log?.(`announcements: ${message}`)
  }
}
