/**
 * Reads a cluster's log on one connection, in order, from the newest checkpoint on.
 *
 * `next()` says what is to be told: a fresh start, or entries. Each round asks for what follows the last message seen
 * and then looks whether that message is still where it was: in a store that was rolled back it is gone, or its place
 * is taken by another, and everything is read afresh. The order of the two matters: what was read before the check
 * cannot come from another history than the check.
 *
 * Hints only shorten the wait; without them the log is looked at once a second.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredMsg } from '@nats-io/jetstream'
import { GridError } from '../core/base/errors.ts'
import type { LogEntry } from './control.ts'
import type { NatsStream } from './nats-stream.ts'

/** Requests under way at once: two while nothing much happens, so that one new entry and the end are seen together. */
const WINDOW_MIN = 2
/** … and up to so many while catching up. Also the most entries in one batch. */
const WINDOW_MAX = 128
const POLL_MS = 1000
/** How long a new connection waits for the stream to have a leader, and how often it looks. */
const LEADER_WITHIN_MS = 10_000
const LEADER_POLL_MS = 250
/** The store's evidence is asked for so often, however busy the log is. */
const EVIDENCE_MS = 5000
/** Entries whose time of storing is remembered, for checkpoints. */
const STAMPS_MAX = 4096

export type ReaderNews =
  | { readonly kind: 'open'; readonly evidence: string; readonly checkpoint: LogEntry | undefined }
  | { readonly kind: 'entries'; readonly entries: readonly LogEntry[]; readonly caughtUp: boolean }

export class NatsReader {
  private readonly stream: NatsStream
  private readonly create: boolean
  private readonly replicas: 1 | 3 | undefined
  private started = false
  private evidence = ''
  private seq = 0
  /** The message that proves that the history is still the one that was read. */
  private anchor: StoredMsg | undefined
  /** Whether the log's end has been seen after `seq`. */
  private caughtUp = false
  private window = WINDOW_MIN
  private evidenceAtMs = 0
  private readonly stamps = new Map<number, string>()
  /** The highest place that a hint spoke of since the last look; infinite for "look anyway". */
  private hinted = 0
  private wake: (() => void) | undefined

  constructor(stream: NatsStream, create: boolean, replicas: 1 | 3 | undefined) {
    this.stream = stream
    this.create = create
    this.replicas = replicas
  }

  /** Ends the wait for the next poll: there may be an entry at `seq`, or somewhere. */
  hint(seq = Number.POSITIVE_INFINITY): void {
    if (seq <= this.hinted) return
    this.hinted = seq
    this.wake?.()
  }

  /** Has the store's evidence asked for now. */
  verify(): void {
    this.evidenceAtMs = Number.NEGATIVE_INFINITY
    this.hint()
  }

  /** When the entry at `seq` was stored, or undefined if it is not among the last ones read. */
  stampOf(seq: number): string | undefined {
    return seq === 0 ? '' : this.stamps.get(seq)
  }

  /** Waits for something to tell. Rejects when the connection is lost. Calls must not overlap. */
  async next(): Promise<ReaderNews> {
    if (!this.started) {
      await this.leader()
      return await this.start()
    }
    for (;;) {
      if (this.caughtUp && this.hinted <= this.seq) await this.idle()
      if (!(await this.evidenceHolds())) return await this.start()
      this.hinted = 0
      const { messages, end } = await this.readOn()
      if (!(await this.anchorHolds())) return await this.start()
      if (messages.length > 0 || !this.caughtUp) return this.take(messages, end)
    }
  }

  /** A NATS that has just started, or lost a server, chooses a leader for the stream first: that takes some seconds. */
  private async leader(): Promise<void> {
    const untilMs = performance.now() + LEADER_WITHIN_MS
    while (performance.now() < untilMs) {
      const info = await this.stream.ensure(this.create, this.replicas)
      if ((await this.stream.evidence(info)) !== undefined) return
      await sleep(LEADER_POLL_MS)
    }
  }

  private async start(): Promise<ReaderNews> {
    this.started = false
    const info = await this.stream.ensure(this.create, this.replicas)
    const evidence = await this.stream.evidence(info)
    if (evidence === undefined) {
      throw new GridError('CONTROL_UNAVAILABLE', `stream ${this.stream.name} has no leader at the moment`)
    }
    this.evidence = evidence
    const checkpoint = await this.stream.newestCheckpoint(info.state.first_seq)
    this.seq = checkpoint?.covers ?? 0
    if (this.seq + 1 < info.state.first_seq) {
      throw new GridError(
        'CONTROL_UNAVAILABLE',
        `stream ${this.stream.name} begins at ${info.state.first_seq} and has no checkpoint that reaches so far`,
      )
    }
    this.anchor = checkpoint?.message
    this.stamps.clear()
    if (checkpoint !== undefined) this.stamps.set(checkpoint.covers, checkpoint.stamp)
    this.caughtUp = false
    this.window = Math.max(WINDOW_MIN, Math.min(WINDOW_MAX, info.state.last_seq + 1 - this.seq))
    this.started = true
    return {
      kind: 'open',
      evidence,
      checkpoint: checkpoint && { seq: checkpoint.covers, bytes: checkpoint.message.data },
    }
  }

  /** The entries after the last one, up to the window; `end` if there were no more when they were read. */
  private async readOn(): Promise<{ messages: StoredMsg[]; end: boolean }> {
    const from = this.seq + 1
    const replies = await Promise.all(
      Array.from({ length: this.window }, (_, i) => this.stream.entryFrom(from + i)),
    )
    const messages: StoredMsg[] = []
    let last = this.seq
    for (const [i, message] of replies.entries()) {
      if (message === null) {
        // What came in after this request was answered is for the next round, or there would be a gap.
        if (replies.slice(i).some((later) => later !== null)) this.hint()
        this.window = WINDOW_MIN
        return { messages, end: true }
      }
      // Where a checkpoint stands between entries, two requests find the same one.
      if (message.seq > last) messages.push(message)
      last = message.seq
    }
    this.window = Math.min(WINDOW_MAX, this.window * 2)
    return { messages, end: false }
  }

  private async anchorHolds(): Promise<boolean> {
    if (this.anchor === undefined) return true
    const { seq, timestamp, data } = this.anchor
    const now = await this.stream.at(seq)
    return now !== null && now.timestamp === timestamp && Buffer.compare(now.data, data) === 0
  }

  private take(messages: readonly StoredMsg[], end: boolean): ReaderNews {
    for (const { seq, timestamp } of messages) {
      this.stamps.set(seq, timestamp)
      if (this.stamps.size > STAMPS_MAX) this.stamps.delete(this.stamps.keys().next().value!)
    }
    this.anchor = messages.at(-1) ?? this.anchor
    this.seq = messages.at(-1)?.seq ?? this.seq
    this.caughtUp = end
    return {
      kind: 'entries',
      entries: messages.map(({ seq, data }) => ({ seq, bytes: data })),
      caughtUp: end,
    }
  }

  /** Waits for a hint or the next poll. */
  private async idle(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, POLL_MS)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.wake = undefined
  }

  /** Whether the store still is what it was when reading began, asked once in a while. */
  private async evidenceHolds(): Promise<boolean> {
    if (performance.now() - this.evidenceAtMs < EVIDENCE_MS) return true
    this.evidenceAtMs = performance.now()
    const now = await this.stream.evidence()
    return now === undefined || now === this.evidence
  }
}
