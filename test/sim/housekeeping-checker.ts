/**
 * Holds what an owner does of its own accord against its clocks: an entry is expired when its time has come and not before,
 * one is evicted where a map is over its bounds and never the newest, a session is closed when it has long been idle. And
 * nothing goes without a record: after each turn an owner has as many entries as its log says.
 *
 * It reads what each owner appends in the turn in which it does.
 */

import type { Now } from '../../src/core/partition/context.ts'
import type { Owner } from '../../src/core/partition/owner.ts'
import { RecordKind, type RecordView, RemoveCause } from '../../src/core/store/record.ts'
import type { SimMember } from './member.ts'
import type { World } from './world.ts'

interface Entry {
  readonly seq: number
  readonly expiresAt: number
  readonly writtenWallMs: number
}

/** What an owner's log amounts to at its head. */
class Book {
  /** By map, then by key. */
  readonly maps = new Map<number, Map<string, Entry>>()
  /** When each session wrote last, on the owner's monotonic clock. */
  readonly sessionMonoMs = new Map<number, number>()
  /** Writes whose commit is not known yet: the session as all owners name it, and when. */
  readonly uncommitted: { readonly seq: number; readonly session: string; readonly atMs: number }[] = []
  /** What is wrong should the record at `seq` be committed; one who was replaced meanwhile may be wrong. */
  readonly doubtful: { readonly seq: number; readonly what: string }[] = []
  readonly wallStepMs: number
  head: number
  /** The newest record that is no removal. */
  newest = 0

  /** What `before` knew still holds where the log has let go of what came after it: all of that is of this turn. */
  constructor(owner: Owner, wallStepMs: number, now: Now, before?: Book) {
    const { store } = owner.replica
    this.wallStepMs = before?.wallStepMs ?? wallStepMs
    for (const [session, monoMs] of before?.sessionMonoMs ?? []) this.sessionMonoMs.set(session, monoMs)
    this.head = store.head
    for (const map of store.mapIds())
      store.page(map, 0, 1_000_000, (record) => {
        const known = before?.maps.get(map)?.get(keyOf(record))
        this.put(record, known?.seq === record.seq ? known.writtenWallMs : now.wallMs)
      })
  }

  put(record: RecordView, writtenWallMs: number): void {
    const { seq, expiresAt } = record
    this.entries(record.map).set(keyOf(record), { seq, expiresAt, writtenWallMs })
  }

  entries(map: number): Map<string, Entry> {
    const entries = this.maps.get(map) ?? new Map<string, Entry>()
    this.maps.set(map, entries)
    return entries
  }
}

export class HousekeepingChecker {
  readonly #world: World
  readonly #books = new WeakMap<Owner, Book>()
  /** When each session wrote last, whoever was the owner, in time of the world; of what is committed. */
  readonly #sessionMs = new Map<string, number>()
  readonly counts: Record<string, number> = {}

  constructor(world: World) {
    this.#world = world
  }

  /** After a turn of `member`, in which it may have appended. */
  observe(member: SimMember, owner: Owner): void {
    let book = this.#books.get(owner)
    while (book?.uncommitted[0] !== undefined && book.uncommitted[0].seq <= owner.commit) {
      const { session, atMs } = book.uncommitted.shift()!
      this.#sessionMs.set(session, Math.max(atMs, this.#sessionMs.get(session) ?? 0))
    }
    const wrong = book?.doubtful.find(({ seq }) => seq <= owner.commit)
    if (wrong) this.#fail(member, owner, wrong.what)
    if (book?.head === owner.head) return
    const now = member.clocks()
    const { store } = owner.replica
    if (!book || store.tailFirst > book.head + 1) {
      book = new Book(owner, member.wallStepMs, now, book)
      this.#books.set(owner, book)
      return
    }
    const { head } = store
    store.walkTail(book.head + 1, head, (record) => {
      this.#appended(member, owner, book, record, now)
      return true
    })
    book.head = head
    for (const [map, entries] of book.maps)
      if (store.count(map) !== entries.size)
        this.#fail(member, owner, `has ${store.count(map)} entries of map ${map}, its log ${entries.size}`)
  }

  #appended(member: SimMember, owner: Owner, book: Book, record: RecordView, now: Now): void {
    const { kind, seq } = record
    if (record.hasEnvelope) {
      book.sessionMonoMs.set(record.session, now.monoMs)
      const session = nameOf(owner, record.session)
      book.uncommitted.push({ seq, session, atMs: this.#world.nowMs })
    }
    if (kind === RecordKind.put) book.put(record, now.wallMs)
    else if (kind === RecordKind.clear) book.entries(record.map).clear()
    else if (kind === RecordKind.remove) this.#removed(member, owner, book, record, now)
    else if (kind === RecordKind.sessionClose) this.#closed(member, owner, book, record, now)
    if (kind !== RecordKind.remove) book.newest = seq
  }

  #removed(member: SimMember, owner: Owner, book: Book, record: RecordView, now: Now): void {
    const { map, cause } = record
    const entries = book.entries(map)
    const entry = entries.get(keyOf(record))
    if (!entry) this.#fail(member, owner, `removes at ${record.seq} what is not there`)
    const config = owner.context.mapConfig(map)
    if (cause === RemoveCause.expired) {
      this.#count('expired')
      const due = entry.expiresAt !== 0 && entry.expiresAt <= now.wallMs
      // Whose clock was set has seen a time at which it was idle.
      const idleMs = config?.maxIdleMs ?? Number.POSITIVE_INFINITY
      const idle =
        entry.writtenWallMs + idleMs <= now.wallMs + (member.wallStepMs === book.wallStepMs ? 0 : 10_000)
      if (!due && !idle)
        this.#fail(member, owner, `expires at ${now.wallMs} what is to live until ${entry.expiresAt}`)
      if (!due) this.#count('idled away')
    } else if (cause === RemoveCause.evicted) {
      this.#count('evicted')
      if (entry.seq === book.newest)
        this.#fail(member, owner, `evicts at ${record.seq} what it has just stored`)
      this.#bounds(member, owner, record, entries.size)
    }
    entries.delete(keyOf(record))
  }

  #bounds(member: SimMember, owner: Owner, record: RecordView, count: number): void {
    const { eviction } = owner.context.mapConfig(record.map) ?? {}
    const { partitionCount } = owner.context
    const within =
      eviction?.maxEntries !== undefined && count <= Math.ceil(eviction.maxEntries / partitionCount)
    if (!eviction || (within && eviction.maxBytes === undefined))
      this.#fail(member, owner, `evicts at ${record.seq} from ${count} entries, which are not too many`)
  }

  #closed(member: SimMember, owner: Owner, book: Book, record: RecordView, now: Now): void {
    this.#count('sessions closed')
    const session = record.bytes.readUInt32LE(record.valueStart)
    const here = book.sessionMonoMs.get(session)
    book.sessionMonoMs.delete(session)
    const elsewhere = this.#sessionMs.get(nameOf(owner, session)) ?? Number.NEGATIVE_INFINITY
    const idleMs = here === undefined ? this.#world.nowMs - elsewhere : now.monoMs - here
    // What it has from other owners comes by their clocks, which run a little faster or slower.
    const leastMs = owner.context.timing.sessionIdleMs * (here === undefined ? 0.95 : 1)
    if (idleMs >= leastMs) return
    const what = `closes session ${session} after ${Math.round(idleMs)} ms`
    if (here === undefined) book.doubtful.push({ seq: record.seq, what })
    else this.#fail(member, owner, what)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  #fail(member: SimMember, owner: Owner, what: string): never {
    return this.#world.fail(`housekeeping: ${member.host} ${what} (partition ${owner.partition})`)
  }
}

/** A session's number is given once in an era of a partition, by a committed record. */
function nameOf({ partition, config }: Owner, session: number): string {
  return `${partition} ${config.era} ${session}`
}

function keyOf(record: RecordView): string {
  return record.bytes.toString('latin1', record.keyStart, record.keyEnd)
}
