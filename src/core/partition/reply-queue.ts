/**
 * Answers that are decided but may not be heard yet, because what they say could still be lost.
 *
 * Each depends on a record; when the commit has passed it, the answer leaves. Dependencies are queued in rising
 * order (one that depends on less than its predecessor waits for that too), so releasing is a walk from the front. A
 * write's answer is read from its own record; nothing is copied for it.
 */

import { ByteWriter } from '../base/bytes.ts'
import type { GridError } from '../base/errors.ts'
import type { PartitionConfig } from '../membership/config.ts'
import type { LogStore } from '../store/log-store.ts'
import { RecordView } from '../store/record.ts'
import {
  beginMessage,
  endMessage,
  MessageType,
  ReplyStatus,
  writeError,
  writeReplyHeader,
} from '../wire/message.ts'
import type { Outlet } from './context.ts'

/** Where in the partition's history an answer stands. */
export interface Position {
  readonly era: number
  readonly epoch: number
  readonly seq: number
}

interface Waiting {
  readonly dependsOn: number
  readonly client: Outlet
  readonly call: number
  readonly position: Position
  readonly status: number
  /** The record whose envelope holds the answer, or -1: then `payload` is it. */
  readonly location: number
  readonly payload: Uint8Array
}

const EMPTY = Buffer.alloc(0)

export class ReplyQueue {
  readonly #partition: number
  readonly #store: LogStore
  readonly #record = new RecordView()
  #queue: Waiting[] = []
  #first = 0
  /** Answers that are held, and their bytes. */
  size = 0
  bytes = 0

  constructor(partition: number, store: LogStore) {
    this.#partition = partition
    this.#store = store
  }

  /** Queues the answer that stands in a record's envelope. */
  pushRecord(client: Outlet, call: number, position: Position, location: number): void {
    this.#push({ dependsOn: position.seq, client, call, position, status: 0, location, payload: EMPTY })
  }

  /** Queues an answer made of bytes, which must be the queue's own. */
  pushBytes(
    dependsOn: number,
    client: Outlet,
    call: number,
    position: Position,
    status: number,
    payload: Uint8Array,
  ): void {
    this.#push({ dependsOn, client, call, position, status, location: -1, payload })
  }

  /** Sends what the commit has passed. */
  release(commit: number): void {
    if (this.size === 0) return
    const queue = this.#queue
    while (this.#first < queue.length) {
      const waiting = queue[this.#first]!
      if (waiting.dependsOn > commit) break
      this.#first++
      this.size--
      this.bytes -= waiting.payload.length
      this.#send(waiting)
    }
    if (this.#first === queue.length) {
      this.#queue = []
      this.#first = 0
    } else if (this.#first > 1024 && this.#first * 2 > queue.length) {
      this.#queue = queue.slice(this.#first)
      this.#first = 0
    }
  }

  /** The ownership is lost before the outcome was known: every client is sent on to who will know. */
  abandon(visit: (client: Outlet, call: number) => void): void {
    for (let i = this.#first; i < this.#queue.length; i++) visit(this.#queue[i]!.client, this.#queue[i]!.call)
    this.#queue = []
    this.#first = 0
    this.size = 0
    this.bytes = 0
  }

  #push(waiting: Waiting): void {
    this.size++
    this.bytes += waiting.payload.length
    const last = this.#queue.at(-1)
    this.#queue.push(
      last && last.dependsOn > waiting.dependsOn ? { ...waiting, dependsOn: last.dependsOn } : waiting,
    )
  }

  #send(waiting: Waiting): void {
    const { client, call, position, location } = waiting
    if (client.closed) return
    if (location < 0) {
      sendReply(
        client,
        this.#partition,
        call,
        waiting.status,
        position,
        waiting.payload,
        0,
        waiting.payload.length,
      )
      return
    }
    const record = this.#store.view(location, this.#record)
    sendReply(
      client,
      this.#partition,
      call,
      record.status,
      position,
      record.bytes,
      record.replyStart,
      record.replyEnd,
    )
  }
}

export function sendReply(
  client: Outlet,
  partition: number,
  call: number,
  status: number,
  position: Position,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const w = client.out
  const mark = beginMessage(w, MessageType.reply)
  writeReplyHeader(w, partition, call, status, position.era, position.epoch, position.seq)
  w.bytes(bytes, start, end)
  endMessage(w, mark)
  client.wake()
}

/** Refuses a call on a partition that this member does not own. */
export function sendRefusal(
  client: Outlet,
  partition: number,
  call: number,
  config: PartitionConfig | undefined,
  error: GridError,
): void {
  if (client.closed) return
  const w = new ByteWriter(256)
  writeError(w, error)
  const position = { era: config?.era ?? 0, epoch: config?.epoch ?? 0, seq: 0 }
  sendReply(client, partition, call, ReplyStatus.error, position, w.buffer, w.start, w.length)
}

/** Sends a call on to who owns the partition as far as this member knows. `taken`: it may have taken effect here. */
export function sendRedirect(
  client: Outlet,
  partition: number,
  call: number,
  position: Position,
  owner: string,
  taken: boolean,
): void {
  if (client.closed) return
  const id = Buffer.alloc(16)
  if (owner !== '') id.write(owner, 'hex')
  const status = taken ? ReplyStatus.moved : ReplyStatus.notOwner
  sendReply(client, partition, call, status, position, id, 0, 16)
}
