/**
 * What the owner does to entries of its own accord: expiry, idleness, eviction, and the closing of idle sessions.
 *
 * Each removal is a record like any other, so every replica and every watcher sees it, once and in order; no replica
 * drops anything by its own clock. An entry past its time is gone for every read at once, whether swept or not.
 *
 * Times of last access live beside the owner's index, are not logged, and start again after a failover. Eviction is
 * sampled, as in Redis: of a few entries drawn at random the least recently (or least frequently) used one goes. Bounds
 * of a map are shared out equally among partitions.
 */

import { ByteWriter } from '../base/bytes.ts'
import type { EvictionConfig, MapConfig } from '../membership/config.ts'
import { blankRecord, type RecordInput, RecordKind, type RecordView, RemoveCause } from '../store/record.ts'
import type { Now } from './context.ts'
import type { Ownership } from './ownership.ts'

/** Entries drawn for each eviction. */
const SAMPLE = 8
/** Evictions that one write may cause. */
const EVICTIONS_MAX = 4
/** Entries looked at in one slice of sweeping. */
const SLICE = 256
const ROUND_MS = 10_000

/** A map's configuration, as one partition applies it. */
interface Policy {
  readonly map: number
  readonly ttlMs: number
  readonly maxIdleMs: number
  readonly eviction: EvictionConfig | undefined
  /** This partition's share of the bounds; infinite where there is none. */
  readonly entriesMax: number
  readonly bytesMax: number
}

export class Housekeeping {
  readonly #owner: Ownership
  readonly #policies = new Map<number, Policy>()
  /** The one that was asked for last, as it is several times by each write. */
  #latest: Policy | undefined
  #roundMonoMs = 0
  readonly #sinceMonoMs: number
  readonly #due: Uint8Array[] = []

  constructor(owner: Ownership, now: Now) {
    this.#owner = owner
    this.#sinceMonoMs = now.monoMs
  }

  /** Default time to live of a map's entries in milliseconds; 0 for none. */
  ttlMs(map: number): number {
    return this.#policy(map)?.ttlMs ?? 0
  }

  isExpired(record: RecordView, now: Now): boolean {
    return record.expiresAt !== 0 && record.expiresAt <= now.wallMs
  }

  /** Whether the entry at `location` is past its time, or has been idle for too long. */
  isDue(record: RecordView, location: number, now: Now): boolean {
    if (this.isExpired(record, now)) return true
    const policy = this.#policy(record.map)
    if (!policy || policy.maxIdleMs === 0) return false
    return this.#isIdle(policy, this.#owner.replica.store.stampOf(record.map, location), now)
  }

  /** An entry was read. */
  touched(map: number, location: number, now: Now): void {
    const policy = this.#policy(map)
    if (!policy || !isTracked(policy)) return
    const { store } = this.#owner.replica
    const stamp = store.stampOf(map, location)
    store.touch(map, location, nextStamp(policy, stamp, now, this.#owner.context.random.next()))
  }

  /** An entry was written at `location`: what is over the bounds goes. */
  stored(map: number, location: number, now: Now): void {
    const policy = this.#policy(map)
    if (!policy || !isTracked(policy)) return
    this.touched(map, location, now)
    const { store } = this.#owner.replica
    const newest = store.head
    for (let i = 0; i < EVICTIONS_MAX; i++) {
      if (store.count(map) <= policy.entriesMax && store.mapBytes(map) <= policy.bytesMax) return
      this.#evict(policy, newest, now)
    }
  }

  /** One slice; true when there is more. */
  work(now: Now): boolean {
    const { store } = this.#owner.replica
    let more = false
    if (store.minExpiresAt <= now.wallMs) {
      this.#due.length = 0
      more = store.expired(now.wallMs, SLICE, (record) => this.#due.push(keyOf(record)))
      this.#removeDue(RemoveCause.expired)
    }
    for (const policy of this.#policies.values())
      if (policy.maxIdleMs > 0 && this.#sweepIdle(policy, now)) more = true
    if (now.monoMs - this.#roundMonoMs > ROUND_MS) {
      this.#roundMonoMs = now.monoMs
      // A call that was on its way to the owner before has time to come again before its session is closed.
      if (now.monoMs - this.#sinceMonoMs > ROUND_MS) this.#closeSessions(now)
      // Entries that nobody has asked this owner for are idle, too.
      for (const map of store.mapIds()) this.#policy(map)
    }
    return more
  }

  #policy(map: number): Policy | undefined {
    if (this.#latest?.map === map) return this.#latest
    const known = this.#policies.get(map)
    if (known) {
      this.#latest = known
      return known
    }
    const config = this.#owner.context.mapConfig(map)
    if (!config) return undefined
    const policy = policyOf(map, config, this.#owner.context.partitionCount)
    this.#policies.set(map, policy)
    if (isTracked(policy)) this.#owner.replica.store.trackAccess(map)
    return policy
  }

  #isIdle(policy: Policy, stamp: number, now: Now): boolean {
    // A stamp of 0 means that this owner has not seen it used: it counts from now.
    return stamp !== 0 && idleMs(policy, stamp, now) >= policy.maxIdleMs
  }

  /** Looks at a few entries drawn at random; where many of them are idle, there is more to do (as Redis expires). */
  #sweepIdle(policy: Policy, now: Now): boolean {
    const { store } = this.#owner.replica
    if (store.count(policy.map) === 0) return false
    this.#due.length = 0
    const unseen: number[] = []
    store.sample(policy.map, this.#owner.context.random, SAMPLE, (record, stamp) => {
      if (stamp === 0)
        unseen.push(store.find(record.map, record.hash, record.bytes, record.keyStart, record.keyEnd))
      else if (this.#isIdle(policy, stamp, now)) this.#due.push(keyOf(record))
    })
    for (const location of unseen) store.touch(policy.map, location, nextStamp(policy, 0, now, 0))
    const found = this.#due.length
    this.#removeDue(RemoveCause.expired)
    return found * 4 >= SAMPLE
  }

  /** Lets one entry go, but never the one that was stored just now, by the record `newest`. */
  #evict(policy: Policy, newest: number, now: Now): void {
    const { store } = this.#owner.replica
    let worst = Number.POSITIVE_INFINITY
    let victim: Uint8Array | undefined
    store.sample(policy.map, this.#owner.context.random, SAMPLE, (record, stamp) => {
      if (record.seq === newest) return
      const rank = rankOf(policy, stamp, now)
      if (rank >= worst) return
      worst = rank
      victim = keyOf(record)
    })
    if (!victim) return
    this.#due.length = 0
    this.#due.push(victim)
    this.#removeDue(RemoveCause.evicted)
  }

  #removeDue(cause: RemoveCause): void {
    const { store } = this.#owner.replica
    const before = store.head
    try {
      this.#removeAll(cause)
    } finally {
      if (store.head > before) this.#owner.appended()
    }
  }

  #removeAll(cause: RemoveCause): void {
    const { store } = this.#owner.replica
    for (const key of this.#due) {
      const map = key[0]! | (key[1]! << 8)
      const hash = (key[2]! | (key[3]! << 8) | (key[4]! << 16) | (key[5]! << 24)) >>> 0
      const location = store.find(map, hash, key, 6, key.length)
      if (location < 0) continue
      this.#append({
        ...blankRecord,
        kind: RecordKind.remove,
        cause,
        map,
        hash,
        keyBytes: key,
        keyStart: 6,
        keyEnd: key.length,
      })
    }
  }

  #closeSessions(now: Now): void {
    const { replica, context } = this.#owner
    for (const session of replica.sessions.sessions()) {
      if (now.monoMs - session.usedMonoMs < context.timing.sessionIdleMs) continue
      const w = new ByteWriter(16)
      w.u32(session.number)
      const value = w.take()
      this.#append({
        ...blankRecord,
        kind: RecordKind.sessionClose,
        valueBytes: value,
        valueEnd: value.length,
      })
      replica.sessions.close(session.number)
      this.#owner.appended()
    }
  }

  #append(input: RecordInput): void {
    const { store } = this.#owner.replica
    store.applyHead(store.append(input))
    if (input.kind === RecordKind.remove) this.#owner.lastRemovalSeq = store.head
  }
}

/** `u16 map · u32 hash · key`, a copy that outlives the record. */
function keyOf(record: RecordView): Uint8Array {
  const w = new ByteWriter(64)
  w.u16(record.map)
  w.u32(record.hash)
  w.bytes(record.bytes, record.keyStart, record.keyEnd)
  return w.take()
}

function policyOf(map: number, config: MapConfig, partitionCount: number): Policy {
  const { eviction } = config
  const share = (bound: number | undefined): number =>
    bound === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(bound / partitionCount))
  return {
    map,
    ttlMs: config.ttlMs ?? 0,
    maxIdleMs: config.maxIdleMs ?? 0,
    eviction,
    entriesMax: share(eviction?.maxEntries),
    bytesMax: share(eviction?.maxBytes),
  }
}

function isTracked(policy: Policy): boolean {
  return policy.eviction !== undefined || policy.maxIdleMs > 0
}

// A stamp of last access is a u32. LRU and idleness: seconds since 1970. LFU, as in Redis: minutes in the high 24 bits
// and a logarithmic counter in the low 8, which falls by one for each minute without use.

const LFU_START = 5
const LFU_FACTOR = 10

/** Since the end of the second, or minute, that a stamp names: idleness may be found out that much late, but never early. */
function idleMs(policy: Policy, stamp: number, now: Now): number {
  if (policy.eviction?.policy !== 'lfu') return now.wallMs - (stamp + 1) * 1000
  return (minutesSince(stamp, now) - 1) * 60_000 + (now.wallMs % 60_000)
}

/** Of the minutes since 1970 a stamp has only the lower 24 bits; one of the future is of a clock that was set back. */
function minutesSince(stamp: number, now: Now): number {
  const minutes = (Math.floor(now.wallMs / 60_000) - (stamp >>> 8)) & 0xff_ffff
  return minutes > 0x7f_ffff ? 0 : minutes
}

function nextStamp(policy: Policy, stamp: number, now: Now, chance: number): number {
  if (policy.eviction?.policy !== 'lfu') return Math.floor(now.wallMs / 1000) >>> 0
  const minutes = Math.floor(now.wallMs / 60_000) & 0xff_ffff
  const counter = stamp === 0 ? LFU_START : lfuCounter(stamp, now)
  const rises = chance * ((counter - LFU_START) * LFU_FACTOR + 1) < 1 && counter < 255
  return ((minutes << 8) | (rises ? counter + 1 : counter)) >>> 0
}

function lfuCounter(stamp: number, now: Now): number {
  return Math.max(0, (stamp & 0xff) - minutesSince(stamp, now))
}

/** The lower, the sooner it goes. */
function rankOf(policy: Policy, stamp: number, now: Now): number {
  return policy.eviction?.policy === 'lfu' ? lfuCounter(stamp, now) : stamp
}
