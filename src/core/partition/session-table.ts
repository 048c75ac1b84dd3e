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
  readonly completions = new Map<number, Completion>()
  /** When its last record came in, on this replica's clock: never before the owner appended it. */
  usedMonoMs: number
  /** Memory of the answers kept, about: here, and in the whole table. */
  bytes = 0
  readonly #total: { bytes: number }

  constructor(number: number, id: string, monoMs: number, total: { bytes: number }) {
    this.number = number
    this.id = id
    this.usedMonoMs = monoMs
    this.#total = total
  }

  complete(call: number, ackUpTo: number, completion: Completion): void {
    this.acknowledge(ackUpTo)
    if (call <= this.ackUpTo) return
    this.#forget(call)
    this.#count(completionBytes(completion))
    this.completions.set(call, completion)
    if (call > this.lastCall) this.lastCall = call
  }

  /** The client has every answer up to `upTo`. */
  acknowledge(upTo: number): void {
    if (upTo <= this.ackUpTo) return
    this.ackUpTo = upTo
    // Calls complete nearly in order, so the first few of the map's insertion order are the ones to go.
    for (const call of this.completions.keys()) {
      if (call > upTo) break
      this.#forget(call)
    }
    if (this.completions.size > 64) {
      for (const call of this.completions.keys()) if (call <= upTo) this.#forget(call)
    }
  }

  #count(bytes: number): void {
    this.bytes += bytes
    this.#total.bytes += bytes
  }

  #forget(call: number): void {
    const completion = this.completions.get(call)
    if (!completion) return
    this.#count(-completionBytes(completion))
    this.completions.delete(call)
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
  readonly #total = { bytes: 0 }
  #lastNumber = 0
  /** The time of this turn, for the records that are applied in it. */
  nowMonoMs = 0

  get size(): number {
    return this.#byNumber.size
  }

  /** Memory of all answers kept, about. */
  get bytes(): number {
    return this.#total.bytes
  }

  get nextNumber(): number {
    return this.#lastNumber + 1
  }

  find(id: string): Session | undefined {
    return this.#byId.get(id)
  }

  sessions(): IterableIterator<Session> {
    return this.#byNumber.values()
  }

  open(number: number, id: string): Session {
    const session = new Session(number, id, this.nowMonoMs, this.#total)
    this.#byNumber.set(number, session)
    this.#byId.set(id, session)
    this.#lastNumber = Math.max(this.#lastNumber, number)
    return session
  }

  close(number: number): void {
    const session = this.#byNumber.get(number)
    if (!session) return
    this.#total.bytes -= session.bytes
    this.#byNumber.delete(number)
    this.#byId.delete(session.id)
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
    session.complete(record.call, record.ackUpTo, { seq: record.seq, status: record.status, reply })
  }

  clear(): void {
    this.#byNumber.clear()
    this.#byId.clear()
    this.#total.bytes = 0
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
      w.u32(session.completions.size)
      for (const [call, { seq, status, reply }] of session.completions) {
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
        session.complete(call, session.ackUpTo, { seq, status, reply: Uint8Array.from(r.block()) })
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
