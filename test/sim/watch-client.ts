/**
 * A simulated subscriber to one partition of a map: it follows the owner, resumes where it stopped, and holds every event
 * against the committed log as the checker has seen it.
 */

import { type ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import { hashBytes } from '../../src/core/ring/hash.ts'
import { RecordKind } from '../../src/core/store/record.ts'
import {
  EventKind,
  readEvent,
  readEventsHeader,
  type WatchEvent,
  writeCredit,
  writeWatch,
} from '../../src/core/wire/message.ts'
import { encodeValue } from '../../src/core/wire/value.ts'
import { decodeTrusted } from '../../src/core/wire/value-decode.ts'
import type { SimClient } from './client.ts'
import type { CommittedRecord, Ledger } from './ledger.ts'
import type { LinkEnd } from './network.ts'

const CREDIT = 12

export class WatchClient {
  readonly watch: number
  readonly partition: number
  readonly map: number
  readonly filtered: boolean
  readonly #client: SimClient
  readonly #ledger: Ledger
  /** What the subscriber believes to be there, by key: the value and the seq of its record. */
  readonly held = new Map<string, { readonly value: string; readonly seq: number }>()
  #era = 0
  /** Where a resume begins; 0: from the beginning. */
  #position = 0
  /** The newest change seen. */
  #lastSeq = 0
  #streaming = false
  #end: LinkEnd | undefined
  events = 0
  resets = 0
  #owed = 0

  constructor(
    client: SimClient,
    ledger: Ledger,
    watch: number,
    partition: number,
    map: number,
    filtered: boolean,
  ) {
    this.#client = client
    this.#ledger = ledger
    this.watch = watch
    this.partition = partition
    this.map = map
    this.filtered = filtered
  }

  get position(): number {
    return this.#position
  }

  /** Subscribes where it has no subscription; to be called now and then. */
  follow(): void {
    if (this.#end && !this.#end.closed) return
    const end = this.#client.ownerLink(this.partition)
    if (!end) return
    this.#end = end
    this.#owed = 0
    // Now and then it has lost what it had.
    if (this.#client.world.chance(0.2)) this.#position = 0
    const resume = this.#position > 0 ? { era: this.#era, seq: this.#position } : undefined
    if (!resume) this.#forget()
    const heldKnown = this.filtered && resume !== undefined && this.#client.world.chance(0.5)
    const where = new ByteWriter(64)
    if (this.filtered) encodeValue(where, { g: 1 }, defaultLimits)
    writeWatch(end.out, {
      watch: this.watch,
      partition: this.partition,
      epoch: this.#client.epochOf(this.partition),
      map: this.map,
      initial: resume === undefined,
      resume,
      heldKnown,
      keysOnly: false,
      credit: CREDIT,
      where: where.take(),
      held: heldKnown ? [...this.held.keys()].map(hashOfHex) : [],
    })
    end.wake()
  }

  ended(end: LinkEnd): void {
    if (this.#end === end) this.#end = undefined
  }

  #forget(): void {
    this.held.clear()
    this.#lastSeq = 0
    this.#position = 0
    this.#streaming = false
  }

  onEvents(end: LinkEnd, r: ByteReader): void {
    const header = readEventsHeader(r)
    if (end !== this.#end) return
    if (header.era !== this.#era) this.#otherEra(r, header.count)
    this.#era = header.era
    for (let i = 0; i < header.count; i++) this.#event(readEvent(r), header.era)
    if (this.#streaming !== header.position > 0) this.#fail(`position ${header.position} out of phase`)
    if (header.position > 0) {
      this.#expectNothing(header.position, header.era)
      if (header.position < this.#position) this.#fail('the position goes back')
      this.#position = header.position
      this.#lastSeq = Math.max(this.#lastSeq, header.position)
    }
    this.#owed += header.count
    if (this.#owed > 4) {
      writeCredit(end.out, this.watch, this.partition, this.#owed)
      end.wake()
      this.#owed = 0
    }
  }

  /** What was known of another era is void, and it is told so first. */
  #otherEra(r: ByteReader, count: number): void {
    if (this.#position === 0) return
    const at = r.offset
    const first = count > 0 ? readEvent(r).kind : 0
    r.offset = at
    if (first !== EventKind.reset) this.#fail('another era goes on where the one before had stopped')
  }

  #event(event: WatchEvent, era: number): void {
    this.events++
    const { seq } = event
    const key = Buffer.from(event.key).toString('hex')
    const value = Buffer.from(event.value).toString('hex')
    switch (event.kind) {
      case EventKind.reset:
        this.resets++
        this.#forget()
        return
      case EventKind.snapshot:
        if (this.#streaming) this.#fail('a row after the snapshot')
        this.held.set(key, { value, seq })
        return
      case EventKind.snapshotEnd:
        if (this.#streaming) this.#fail('the snapshot ends twice')
        this.#streaming = true
        this.#lastSeq = Math.max(this.#lastSeq, seq)
        this.#expectWhole(seq, era)
        return
    }
    if (seq <= this.#lastSeq) this.#fail(`event ${event.kind} of seq ${seq} after ${this.#lastSeq}`)
    this.#expectNothing(seq - 1, era)
    this.#lastSeq = seq
    const record = this.#ledger.record(this.partition, era, seq)
    if (record === 'absent') this.#fail(`event of seq ${seq}, which is not committed`)
    if (record && event.kind !== EventKind.clear && record.key !== key)
      this.#fail(`seq ${seq} of another key`)
    if (record && !this.#saysSo(event, record, value)) this.#fail(`seq ${seq} differs (${event.kind})`)
    if (event.kind === EventKind.put) {
      this.held.set(key, { value, seq })
    } else if (event.kind === EventKind.clear) this.held.clear()
    else this.held.delete(key)
  }

  /** Whether an event is what the record means to this subscriber. */
  #saysSo({ kind, cause }: WatchEvent, record: CommittedRecord, value: string): boolean {
    switch (kind) {
      case EventKind.put:
        return record.kind === RecordKind.put && record.value === value && (!this.filtered || matches(value))
      case EventKind.leave:
        return record.kind === RecordKind.put && this.filtered && !matches(record.value)
      case EventKind.remove:
        return record.kind === RecordKind.remove && record.cause === cause
      default:
        return record.kind === RecordKind.clear && record.map === this.map
    }
  }

  /** Nothing that had to be told stands between the last event and `toSeq`. */
  #expectNothing(toSeq: number, era: number): void {
    if (!this.#streaming) return
    for (let seq = this.#lastSeq + 1; seq <= toSeq; seq++) {
      const record = this.#ledger.record(this.partition, era, seq)
      if (record === 'absent') this.#fail(`told up to ${toSeq}, of which ${seq} is not committed`)
      if (record && record.map === this.map && this.#concerns(record)) this.#fail(`seq ${seq} was left out`)
    }
  }

  /** What is held is what was there at `seq`. */
  #expectWhole(seq: number, era: number): void {
    const there = this.#ledger.entriesAt(this.partition, era, this.map, seq)
    if (!there) return
    const wanted = [...there].filter(([, value]) => !this.filtered || matches(value))
    const same =
      wanted.length === this.held.size && wanted.every(([key, value]) => this.held.get(key)?.value === value)
    if (!same)
      this.#fail(`the rows end with ${this.held.size} entries, there were ${wanted.length} at ${seq}`)
  }

  #concerns(record: CommittedRecord): boolean {
    if (record.kind === RecordKind.clear) return this.held.size > 0
    if (record.kind !== RecordKind.put && record.kind !== RecordKind.remove) return false
    if (!this.filtered || this.held.has(record.key)) return true
    return record.kind === RecordKind.put && matches(record.value)
  }

  #fail(what: string): never {
    const { world, host } = this.#client
    return world.fail(
      `watcher of ${host} on partition ${this.partition}${this.filtered ? ' (filtered)' : ''}: ${what}`,
    )
  }
}

/** Whether a value passes the filter that filtered watchers have. */
export function matches(value: string): boolean {
  const bytes = Buffer.from(value, 'hex')
  return (decodeTrusted(bytes, 0, bytes.length) as { g?: number }).g === 1
}

function hashOfHex(key: string): number {
  const bytes = Buffer.from(key, 'hex')
  return hashBytes(bytes, 0, bytes.length)
}
