/**
 * Announcements over core NATS, for clients that know nothing but the address of NATS.
 *
 * A lost connection is made again when there is something to announce: announcements are hints, and whoever still
 * needs an answer asks again.
 */

import type { NatsConnection } from '@nats-io/transport-node'
import { GridError } from '../core/base/errors.ts'
import type { Announcements } from './control.ts'
import { connectNats, type NatsOptions, type NatsTarget, natsTarget } from './nats-connect.ts'

export class NatsAnnouncement implements Announcements {
  readonly #target: NatsTarget
  readonly #subject: string
  #onAnnouncement: ((bytes: Uint8Array) => void) | undefined
  #connection: NatsConnection | undefined
  #opening: Promise<NatsConnection> | undefined
  #closed = false

  /** @throws GridError `BAD_OPTION` */
  constructor(options: NatsOptions) {
    this.#target = natsTarget(options)
    this.#subject = `actorgrid.${options.cluster}.announce`
  }

  async open(onAnnouncement: (bytes: Uint8Array) => void): Promise<void> {
    this.#onAnnouncement = onAnnouncement
    await this.#connect()
  }

  announce(bytes: Uint8Array): void {
    const connection = this.#connection
    if (connection !== undefined && !connection.isClosed()) connection.publish(this.#subject, bytes)
    else
      this.#connect().then(
        (fresh) => fresh.publish(this.#subject, bytes),
        () => {}, // A hint that is lost; the next one tries again.
      )
  }

  async close(): Promise<void> {
    this.#closed = true
    const connection = this.#connection ?? (await this.#opening?.catch(() => undefined))
    await connection?.close()
  }

  #connect(): Promise<NatsConnection> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(): Promise<NatsConnection> {
    if (this.#closed) throw new GridError('CLOSED', 'the announcements have been closed')
    const connection = await connectNats(this.#target)
    if (this.#closed) {
      await connection.close()
      throw new GridError('CLOSED', 'the announcements have been closed')
    }
    connection.subscribe(this.#subject, {
      callback: (error, message) => {
        if (error === null) this.#onAnnouncement?.(message.data)
      },
    })
    this.#connection = connection
    return connection
  }
}
