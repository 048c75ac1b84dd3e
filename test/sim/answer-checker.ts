/**
 * Holds every answer against the committed log: a write is the record that it names, made of what stood there before it; a
 * read saw what stood at its place in the log; pages and queries returned the rows that were there.
 *
 * It knows more than the search for linearizability, versions and expiries for example, but only what each answer claims of
 * itself: whether the claims of different calls fit together is for the histories to say.
 */

import { RecordKind } from '../../src/core/store/record.ts'
import { TTL_NONE } from '../../src/core/wire/message.ts'
import { type CommittedState, type SimValue, storedValue, type Version } from './committed-state.ts'
import type { CommittedRecord, Ledger } from './ledger.ts'
import { type Answer, isWrite, type Request, type Row } from './workload.ts'
import type { World } from './world.ts'

/** Where and when a call was answered. */
export interface Answered {
  readonly era: number
  readonly epoch: number
  readonly seq: number
  /** The owner's wall clock when the call was sent to it, and now. */
  readonly wallLow: number
  readonly wallHigh: number
}

/** A walk through all pages of a map, which others write to meanwhile. */
interface Paging {
  readonly era: number
  readonly firstSeq: number
  readonly seen: Set<string>
}

export class AnswerChecker {
  readonly #world: World
  readonly #ledger: Ledger
  readonly #state: CommittedState
  /** By map: the time to live that entries get by themselves. */
  readonly #ttls: readonly number[]
  readonly #later: { readonly request: Request; readonly answer: Answer; readonly at: Answered }[] = []
  readonly #pagings = new Map<number, Paging>()
  readonly counts: Record<string, number> = {}

  constructor(world: World, ledger: Ledger, state: CommittedState, ttls: readonly number[]) {
    this.#world = world
    this.#ledger = ledger
    this.#state = state
    this.#ttls = ttls
  }

  check(request: Request, answer: Answer, at: Answered): void {
    const { kind, partition } = request
    this.#count(`call ${kind}`)
    if (this.#state.reaches(partition, at.era, at.seq)) this.#judge(request, answer, at)
    else this.#later.push({ request, answer, at })
  }

  /** Reads may name the end of a log that was not committed then; now it is, or nobody will ever know. */
  finish(): void {
    for (const { request, answer, at } of this.#later) {
      if (this.#state.reaches(request.partition, at.era, at.seq)) this.#judge(request, answer, at)
      else this.#count('call not checked')
    }
  }

  #judge(request: Request, answer: Answer, at: Answered): void {
    const { kind } = request
    if (kind === 'size' || kind === 'page' || kind === 'query') this.#whole(request, answer, at)
    else if (!isWrite(kind)) this.#read(request, answer, at)
    else if (tookEffect(kind, answer.result)) this.#effect(request, answer, at)
    else this.#unchanged(request, answer, at)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  // ---- one key

  #seen({ partition, map, keyHex }: Request, at: Answered): readonly Version[] {
    return this.#state.seen(partition, at.era, map, keyHex, at.seq, at.epoch)
  }

  #read(request: Request, answer: Answer, at: Answered): void {
    const fits = this.#seen(request, at).some(({ seq, record }) => {
      if (record && expiredBefore(record, at.wallLow)) return false
      if (request.kind === 'has') return answer.result === (record ? 1 : 0)
      if (answer.result !== (record && storedValue(record).n)) return false
      const entry = request.kind === 'getEntry' && record
      return !entry || (answer.seq === seq && answer.expiresAt === record.expiresAt)
    })
    if (!fits) this.#fail(request, answer, at, 'was not there')
  }

  /** A write whose condition failed. A repetition is remembered by a record, and stands at its place. */
  #unchanged(request: Request, answer: Answer, at: Answered): void {
    if (request.kind === 'clear') {
      if (answer.result !== 0) this.#fail(request, answer, at, 'has no record')
      return
    }
    const fits = this.#seen(request, at).some(
      (version) => answer.result === 0 && !mayWrite(request, version, at),
    )
    if (!fits) this.#fail(request, answer, at, 'should have taken effect')
  }

  #effect(request: Request, answer: Answer, at: Answered): void {
    const { partition, map, kind, keyHex, place } = request
    const record = this.#ledger.record(partition, at.era, at.seq)
    if (!record || record === 'absent') return
    if (kind === 'clear') {
      const count = this.#state.entries(partition, at.era, map, at.seq - 1).size
      if (record.kind !== RecordKind.clear || record.map !== map || answer.result !== count)
        this.#fail(request, answer, at, `is no such record: ${count} entries were there`)
      return
    }
    const before = this.#state.at(partition, at.era, map, keyHex, at.seq - 1)
    const removes = kind === 'remove' || kind === 'removeVersion'
    const shape = record.map === map && record.key === keyHex
    if (!shape || record.kind !== (removes ? RecordKind.remove : RecordKind.put))
      this.#fail(request, answer, at, 'is another record')
    if (!mayWrite(request, before, at)) this.#fail(request, answer, at, 'may not have been written')
    if (removes) return
    const was = before.record && storedValue(before.record)
    const adds = kind === 'increment' || kind === 'invoke'
    const wanted = adds ? (was?.n ?? 0) + request.number : request.number
    const written = storedValue(record)
    if (written.n !== wanted || (adds && (answer.result !== wanted || !kept(was, written))))
      this.#fail(request, answer, at, `writes ${written.n}, not ${wanted}`)
    this.#expiry(request, answer, at, record, before.record, this.#ttls[place] ?? 0)
  }

  /** An entry expires when it was told to, or when the one before it did. */
  #expiry(
    request: Request,
    answer: Answer,
    at: Answered,
    { expiresAt }: CommittedRecord,
    before: CommittedRecord | undefined,
    mapTtlMs: number,
  ): void {
    const { kind, ttlMs } = request
    const own = (kind === 'put' || kind === 'putIfAbsent' || kind.startsWith('replace')) && ttlMs > 0
    const keeps = !own && kind !== 'put' && kind !== 'putIfAbsent' && before
    const ttl = own ? (ttlMs === TTL_NONE ? 0 : ttlMs) : mapTtlMs
    if (keeps ? expiresAt === before.expiresAt : ttl === 0 && expiresAt === 0) return
    // By the clock of whoever carried it out, which need not be the one that answers.
    if (!keeps && ttl > 0 && expiresAt > 0) return
    this.#fail(
      request,
      answer,
      at,
      `expires at ${expiresAt}, with ${before?.expiresAt} before and ${ttl} to live`,
    )
  }

  // ---- a whole map

  #whole(request: Request, answer: Answer, at: Answered): void {
    const { partition, map } = request
    const there = this.#state.entries(partition, at.era, map, at.seq)
    if (request.kind === 'size') {
      if (answer.result !== there.size) this.#fail(request, answer, at, `is not ${there.size}`)
      return
    }
    for (const row of answer.rows) {
      const record = there.get(row.key)
      if (!record || record.value !== row.value || expiredBefore(record, at.wallLow))
        this.#fail(request, answer, at, `has a row of ${row.key} that was not there`)
    }
    if (new Set(answer.rows.map(({ key }) => key)).size < answer.rows.length)
      this.#fail(request, answer, at, 'has a row twice')
    // What is about to expire may be missing already.
    const lasting = new Map([...there].filter(([, record]) => !expiredBefore(record, at.wallHigh)))
    if (request.kind === 'query') this.#query(request, answer, at, lasting)
    else this.#page(request, answer, at, lasting)
  }

  #query(
    request: Request,
    answer: Answer,
    at: Answered,
    lasting: ReadonlyMap<string, CommittedRecord>,
  ): void {
    const { where, orderBy, limit = Number.POSITIVE_INFINITY } = request.query!
    const passes = ({ g }: SimValue): boolean => where === undefined || g === where.g
    const rows = answer.rows.map(numbered)
    if (rows.some((row) => !passes(row.value)) || rows.length > limit)
      this.#fail(request, answer, at, 'has rows that were not asked for')
    const missing = [...lasting].filter(
      ([key, record]) => passes(storedValue(record)) && !answer.rows.some((row) => row.key === key),
    )
    if (rows.length < limit && missing.length > 0)
      this.#fail(request, answer, at, `lacks the row of ${missing[0]![0]}`)
    if (orderBy === undefined) return
    for (let i = 1; i < rows.length; i++)
      if (rows[i]!.value.n < rows[i - 1]!.value.n) this.#fail(request, answer, at, 'is out of order')
    const last = rows.at(-1)
    if (last && missing.some(([, record]) => storedValue(record).n < last.value.n))
      this.#fail(request, answer, at, 'does not have the first rows')
  }

  /** What is there all the time comes exactly once over all pages. */
  #page(request: Request, answer: Answer, at: Answered, lasting: ReadonlyMap<string, CommittedRecord>): void {
    const { walk, fromHash } = request.page
    if (fromHash === 0) this.#pagings.set(walk, { era: at.era, firstSeq: at.seq, seen: new Set() })
    const paging = this.#pagings.get(walk)
    if (paging?.era !== at.era) return
    const { firstSeq, seen } = paging
    const stayed = (key: string): boolean => this.#stayed(request, key, firstSeq, at)
    for (const { key } of answer.rows) {
      if (seen.has(key) && stayed(key)) this.#fail(request, answer, at, `has ${key} on two pages`)
      seen.add(key)
    }
    if (answer.nextHash >= 0) return
    this.#count('paged to the end')
    this.#pagings.delete(walk)
    for (const key of lasting.keys())
      if (!seen.has(key) && stayed(key)) this.#fail(request, answer, at, `has ${key} on no page`)
  }

  /** Whether a key was there from one place of the log to another, and did not expire in between. */
  #stayed({ partition, map }: Request, key: string, fromSeq: number, at: Answered): boolean {
    for (let seq = at.seq; seq >= fromSeq; ) {
      const version = this.#state.at(partition, at.era, map, key, seq)
      if (!version.record || expiredBefore(version.record, at.wallHigh)) return false
      seq = version.seq - 1
    }
    return true
  }

  #fail(request: Request, answer: Answer, at: Answered, what: string): never {
    const { kind, name, map, partition, number, version } = request
    const asked = `${kind} ${name} ${number}${version ? ` if ${version.era}.${version.seq}` : ''}`
    return this.#world.fail(
      `answer: ${asked} = ${answer.result} of map ${map} at ${partition}/${at.era}/${at.seq} (epoch ${at.epoch}) ${what}`,
    )
  }
}

/** Whether an answered write has changed something. */
export function tookEffect(kind: Request['kind'], result: Answer['result']): boolean {
  if (kind === 'put' || kind === 'increment' || kind === 'invoke') return true
  return kind === 'clear' ? result !== 0 : result === 1
}

/** Whether the condition of a write holds of what is there. */
function mayWrite({ kind, version }: Request, { seq, record }: Version, at: Answered): boolean {
  switch (kind) {
    case 'putIfAbsent':
      return record === undefined
    case 'replace':
    case 'remove':
      return record !== undefined
    case 'replaceVersion':
    case 'removeVersion':
      return record !== undefined && version !== undefined && seq === version.seq && at.era === version.era
    default:
      return true
  }
}

function expiredBefore({ expiresAt }: CommittedRecord, wallMs: number): boolean {
  return expiresAt !== 0 && expiresAt <= wallMs
}

/** A change of the number alone keeps the rest of the value. */
function kept(before: SimValue | undefined, after: SimValue): boolean {
  return before === undefined || (before.g === after.g && before.pad === after.pad)
}

function numbered({ value }: Row): { readonly value: SimValue } {
  return { value: storedValue({ value } as CommittedRecord) }
}
