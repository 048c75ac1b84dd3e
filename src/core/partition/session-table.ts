/**
 * What a partition remembers of its clients' calls, so that a call sent twice takes effect once.
 *
 * RIFL's completion records (Lee et al., SOSP 2015): the record of a write carries its session, call number and
 * reply, so the memory of having done it is replicated, moved and lost together with what was done. A client says in
 * each call up to which number it has every answer; completions up to there are dropped. A session is opened and
 * closed by records of its own, which give it a short number within the partition.
 *
 * The table changes only by records (owner: as they are appended; backup: as they are applied), so replicas agree. Each
 * replica notes the time of a session's last record on its own clock, and a learner is told the ages: if idleness began
 * anew with each owner, sessions would never end in a partition that changes hands more often than they are remembered.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import type { RecordView } from '../store/record.ts'
import { readId, writeId } from '../wire/message.ts'

export interface Completion {
  readonly call: number
  /** The record that did it; the answer waits for its commit. */
  readonly seq: number
  readonly status: number
  readonly reply: Uint8Array
}

export class Session {
  readonly number: number
  /** 32 hexadecimal digits. */
  readonly id: string
  /** Calls up to here are answered, and forgotten. */
  ackUpTo = 0
  /** The highest call that took effect. */
  lastCall = 0
  /** By ascending call. They come at the end and go at the front, nearly always, and are few at a time. */
  readonly completions: Completion[] = []
  /** When its last record came in, on this replica's clock: never before the owner appended it. */
  usedMonoMs: number
  /** Whose memory of answers this is part of. */
  readonly #table: { bytes: number }

  constructor(number: number, id: string, monoMs: number, table: { bytes: number }) {
    this.number = number
    this.id = id
    this.usedMonoMs = monoMs
    this.#table = table
  }

  completion(call: number): Completion | undefined {
    const found = this.completions[this.#placeOf(call)]
    return found?.call === call ? found : undefined
  }

  complete(completion: Completion, ackUpTo: number): void {
    const { call } = completion
    this.acknowledge(ackUpTo)
    if (call <= this.ackUpTo) return
    this.#table.bytes += completionBytes(completion)
    if (call > this.lastCall) {
      this.lastCall = call
      this.completions.push(completion)
      return
    }
    const place = this.#placeOf(call)
    const before = this.completion(call)
    if (before) this.#table.bytes -= completionBytes(before)
    this.completions.splice(place, before ? 1 : 0, completion)
  }

  /** The client has every answer up to `upTo`. */
  acknowledge(upTo: number): void {
    if (upTo <= this.ackUpTo) return
    this.ackUpTo = upTo
    const { completions } = this
    while (completions.length > 0 && completions[0]!.call <= upTo)
      this.#table.bytes -= completionBytes(completions.shift()!)
  }

  /** Where the first completion of this call or a later one stands. */
  #placeOf(call: number): number {
    let low = 0
    let high = this.completions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.completions[middle]!.call < call) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Memory of a completion beside its reply, about. */
const COMPLETION_BYTES = 64

function completionBytes({ reply }: Completion): number {
  return COMPLETION_BYTES + reply.length
}

const EMPTY = new Uint8Array(0)

export class SessionTable {
  readonly #byNumber = new Map<number, Session>()
  readonly #byId = new Map<string, Session>()
  /** The one that was found last: a partition is often called by one client many times in a row. */
  #latest: Session | undefined
  #lastNumber = 0
  /** Memory of all answers kept, about. */
  bytes = 0
  /** The time of this turn, for the records that are applied in it. */
  nowMonoMs = 0

  get size(): number {
    return this.#byNumber.size
  }

  get nextNumber(): number {
    return this.#lastNumber + 1
  }

  find(id: string): Session | undefined {
    if (this.#latest?.id !== id) this.#latest = this.#byId.get(id)
    return this.#latest
  }

  sessions(): IterableIterator<Session> {
    return this.#byNumber.values()
  }

  open(number: number, id: string): Session {
    const session = new Session(number, id, this.nowMonoMs, this)
    this.#byNumber.set(number, session)
    this.#byId.set(id, session)
    this.#latest = session
    this.#lastNumber = Math.max(this.#lastNumber, number)
    return session
  }

  close(number: number): void {
    const session = this.#byNumber.get(number)
    if (!session) return
    for (const completion of session.completions) this.bytes -= completionBytes(completion)
    this.#byNumber.delete(number)
    this.#byId.delete(session.id)
    this.#latest = undefined
  }

  /** A record has become part of the state: notes the completion that it carries. */
  apply(record: RecordView): void {
    if (!record.hasEnvelope) return
    const session = this.#byNumber.get(record.session)
    if (!session) return
    session.usedMonoMs = this.nowMonoMs
    const { replyStart, replyEnd } = record
    const reply =
      replyEnd > replyStart ? Uint8Array.prototype.slice.call(record.bytes, replyStart, replyEnd) : EMPTY
    const { call, seq, status } = record
    session.complete({ call, seq, status, reply }, record.ackUpTo)
  }

  clear(): void {
    this.#byNumber.clear()
    this.#byId.clear()
    this.#latest = undefined
    this.bytes = 0
    this.#lastNumber = 0
  }

  encode(w: ByteWriter): void {
    w.u32(this.#lastNumber)
    w.u32(this.#byNumber.size)
    for (const session of this.#byNumber.values()) {
      w.u32(session.number)
      writeId(w, session.id)
      w.u32(session.ackUpTo)
      w.u32(Math.min(Math.round(this.nowMonoMs - session.usedMonoMs), 0xffff_ffff))
      w.u32(session.completions.length)
      for (const { call, seq, status, reply } of session.completions) {
        w.u32(call)
        w.u48(seq)
        w.u8(status)
        w.block(reply)
      }
    }
  }

  /** @throws GridError `MALFORMED` */
  decode(r: ByteReader): void {
    this.clear()
    const lastNumber = r.u32()
    const count = r.u32()
    for (let i = 0; i < count; i++) {
      const number = r.u32()
      if (number > lastNumber) throw new GridError('MALFORMED', 'a session numbered above the last')
      const id = readId(r)
      // One of two would be counted, and could be closed, without being found.
      if (this.#byNumber.has(number) || this.#byId.has(id))
        throw new GridError('MALFORMED', `session ${number} comes twice`)
      const session = this.open(number, id)
      session.ackUpTo = r.u32()
      session.usedMonoMs = this.nowMonoMs - r.u32()
      const completions = r.u32()
      for (let c = 0; c < completions; c++) {
        const call = r.u32()
        const seq = r.u48()
        const status = r.u8()
        session.complete({ call, seq, status, reply: Uint8Array.from(r.block()) }, session.ackUpTo)
      }
    }
    this.#lastNumber = lastNumber
  }
}

/** The value of a `sessionOpen` record: `u32 number · 16-byte id`; of a `sessionClose`: `u32 number`. */
export function writeSessionOpen(w: ByteWriter, number: number, id: string): void {
  w.u32(number)
  writeId(w, id)
}
