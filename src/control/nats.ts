/**
 * The configuration log in a JetStream stream, and announcements over core NATS.
 *
 * One connection, which never reconnects by itself: when it is lost, `onDown` is told, and a new one is made after a
 * pause that grows and has chance in it (so that a whole cluster does not come back at once); on it everything is read
 * afresh, because nothing known before need still be true. Writing is fire and forget: whoever must know what became
 * of an append reads the log. After an append is stored its writer says so on a subject of core NATS, and everybody
 * reads on; who misses that looks once a second anyway.
 */

import type { NatsConnection } from '@nats-io/transport-node'
import { assert } from '../core/base/assert.ts'
import { GridError } from '../core/base/errors.ts'
import type { Control, ControlHandler } from './control.ts'
import {
  announceSubject,
  closeNats,
  connectNats,
  type NatsOptions,
  type NatsTarget,
  natsTarget,
  retryAfterMs,
  unavailable,
} from './nats-connect.ts'
import { NatsReader, type ReaderNews } from './nats-reader.ts'
import { isRefused, NatsStream } from './nats-stream.ts'

/** Appends and checkpoints whose answer is outstanding. Beyond that they are dropped: callers send again. */
const WRITES_MAX = 256

/** One connection with everything that lives on it. */
interface Link {
  readonly connection: NatsConnection
  readonly stream: NatsStream
  readonly reader: NatsReader
}

export class NatsControl implements Control {
  private readonly options: NatsOptions
  private readonly target: NatsTarget
  private readonly announceSubject: string
  private readonly appendedSubject: string
  private handler: ControlHandler | undefined
  /** Set from just before each `onOpen` until the connection is lost. */
  private link: Link | undefined
  /** The connection on which reading has yet to begin. */
  private beginning: NatsConnection | undefined
  private running: Promise<void> | undefined
  private writing = 0
  private closed = false
  private endPause: (() => void) | undefined

  /** @throws GridError `BAD_OPTION` */
  constructor(options: NatsOptions) {
    this.options = options
    this.target = natsTarget(options)
    this.announceSubject = announceSubject(options.cluster)
    this.appendedSubject = `actorgrid.${options.cluster}.appended`
  }

  async open(handler: ControlHandler): Promise<void> {
    assert(this.handler === undefined, 'a control is opened once')
    const { link, news } = await this.begin()
    if (this.closed) {
      await closeNats(link.connection)
      throw new GridError('CLOSED', 'closed while it was being opened')
    }
    this.handler = handler
    this.tell(handler, link, news)
    this.running = this.run(handler, link)
  }

  append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): void {
    this.write('append', async ({ connection, stream, reader }) => {
      const seq = await stream.append(bytes, id, expectedSeq)
      connection.publish(this.appendedSubject, String(seq))
      reader.hint(seq)
    })
  }

  checkpoint(bytes: Uint8Array, seq: number): void {
    this.write('checkpoint', async ({ stream, reader }) => {
      const stamp = reader.stampOf(seq)
      if (stamp === undefined) throw new Error(`entry ${seq} is not among the last ones read`)
      await stream.storeCheckpoint(bytes, seq, stamp)
    })
  }

  read(): void {
    this.link?.reader.hint()
  }

  verify(): void {
    this.link?.reader.verify()
  }

  announce(bytes: Uint8Array): void {
    this.write('announcement', async ({ connection }) => connection.publish(this.announceSubject, bytes))
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.endPause?.()
    await this.beginning?.close()
    const link = this.link
    this.link = undefined
    if (link !== undefined) await closeNats(link.connection)
    await this.running
  }

  /** Connects and reads the first thing that there is to tell, which is always an `open`. */
  private async begin(): Promise<{ link: Link; news: ReaderNews }> {
    const connection = await connectNats(this.target)
    this.beginning = connection
    try {
      const { readOnly = false, replicas } = this.options
      const stream = await NatsStream.on(this.target, connection)
      const link = { connection, stream, reader: new NatsReader(stream, !readOnly, replicas) }
      this.listen(link)
      return { link, news: await link.reader.next() }
    } catch (error) {
      await connection.close()
      throw unavailable(this.target, error)
    } finally {
      this.beginning = undefined
    }
  }

  private listen(link: Link): void {
    const { connection, reader } = link
    const refused = (error: Error) => this.log(unavailable(this.target, error).message)
    connection.subscribe(this.appendedSubject, {
      callback: (error, message) => {
        if (error) return refused(error)
        const seq = Number(message.string())
        reader.hint(Number.isSafeInteger(seq) ? seq : undefined)
      },
    })
    connection.subscribe(this.announceSubject, {
      callback: (error, message) => {
        if (error) return refused(error)
        // In a turn of its own: what a handler throws must not end in the NATS client's parser.
        queueMicrotask(() => {
          if (this.link === link) this.handler?.onAnnouncement(message.data)
        })
      },
    })
    connection.closed().then(() => reader.hint())
  }

  /** Tells what is read until closed. A handler that throws ends the process, as an unhandled rejection. */
  private async run(handler: ControlHandler, first: Link): Promise<void> {
    let link: Link | undefined = first
    while (link !== undefined) {
      const reason = await this.follow(handler, link)
      if (this.closed) return
      this.log(reason.message)
      handler.onDown(reason.message)
      link = await this.reconnect(handler)
    }
  }

  private async follow(handler: ControlHandler, link: Link): Promise<GridError> {
    for (;;) {
      let news: ReaderNews
      try {
        news = await link.reader.next()
      } catch (error) {
        this.link = undefined
        await link.connection.close()
        return unavailable(this.target, error)
      }
      if (!this.closed) this.tell(handler, link, news)
    }
  }

  private async reconnect(handler: ControlHandler): Promise<Link | undefined> {
    for (let attempt = 0; ; attempt++) {
      await this.pause(retryAfterMs(attempt))
      if (this.closed) return undefined
      let begun: { link: Link; news: ReaderNews }
      try {
        begun = await this.begin()
      } catch (error) {
        this.log(unavailable(this.target, error).message)
        continue
      }
      if (this.closed) {
        await closeNats(begun.link.connection)
        return undefined
      }
      this.tell(handler, begun.link, begun.news)
      return begun.link
    }
  }

  private tell(handler: ControlHandler, link: Link, news: ReaderNews): void {
    this.link = link
    if (news.kind === 'open') handler.onOpen(news.evidence, news.checkpoint)
    else handler.onEntries(news.entries, news.caughtUp)
  }

  /** Does one write if it can. @throws GridError `FORBIDDEN`, and nothing else */
  private write(what: string, work: (link: Link) => Promise<void>): void {
    if (this.options.readOnly) throw new GridError('FORBIDDEN', `${what}: this connection only reads`)
    const link = this.link
    if (link === undefined) this.log(`${what} dropped: not connected`)
    else if (this.writing >= WRITES_MAX) this.log(`${what} dropped: ${WRITES_MAX} are waiting`)
    else void this.settle(what, link, work)
  }

  private async settle(what: string, link: Link, work: (link: Link) => Promise<void>): Promise<void> {
    this.writing++
    try {
      await work(link)
    } catch (error) {
      this.log(`${what} failed: ${error instanceof Error ? error.message : String(error)}`)
      if (isRefused(error)) link.reader.hint()
    } finally {
      this.writing--
    }
  }

  private pause(timeMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeMs)
      this.endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private log(message: string): void {
    this.options.log?.(message)
  }
}

/**
 * The log and the announcements of a cluster for one that only looks: a client that knows nothing but NATS. Never
 * creates the log: where there is none, `open` throws `CONTROL_UNAVAILABLE`.
 * @throws GridError `BAD_OPTION`
 */
export function observeNats(options: NatsOptions): Control {
  return new NatsControl({ ...options, readOnly: true })
}
