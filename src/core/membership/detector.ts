/**
 * Suspicion by silence: a peer not heard of for `suspectMs` is suspected.
 *
 * It suspects others only for what it could have heard: when the member itself stood still (a long collection, a
 * stopped process), everyone's time starts again at the tick after, for what they said meanwhile may lie unread.
 * Silence is no proof of death; what follows from suspicion is decided elsewhere. Times are of the monotonic clock.
 */

import type { MemberId } from './config.ts'

export interface DetectorOptions {
  /** Silence after which a peer is suspected, in ms. Default 1,000. */
  readonly suspectMs?: number | undefined
  /** A gap between two ticks, in ms, beyond which the member stood still itself. Default 500; ticks are to come more often. */
  readonly stallMs?: number | undefined
}

export class Detector {
  private readonly suspectMs: number
  private readonly stallMs: number
  private readonly heardMs = new Map<MemberId, number>()
  private tickMs: number | undefined

  constructor({ suspectMs = 1000, stallMs = 500 }: DetectorOptions = {}) {
    this.suspectMs = suspectMs
    this.stallMs = stallMs
  }

  /** Begins to watch a peer, as if it had just been heard. One that is watched stays as it is. */
  watch(peer: MemberId, nowMs: number): void {
    if (!this.heardMs.has(peer)) this.heardMs.set(peer, nowMs)
  }

  forget(peer: MemberId): void {
    this.heardMs.delete(peer)
  }

  /** Something came from a watched peer, whatever it was. */
  heard(peer: MemberId, nowMs: number): void {
    const before = this.heardMs.get(peer)
    if (before !== undefined && nowMs > before) this.heardMs.set(peer, nowMs)
  }

  /** To be called at steady intervals. Returns whether the member stood still since the last call. */
  tick(nowMs: number): boolean {
    const stalled = this.tickMs !== undefined && nowMs - this.tickMs > this.stallMs
    this.tickMs = nowMs
    if (stalled) for (const peer of this.heardMs.keys()) this.heardMs.set(peer, nowMs)
    return stalled
  }

  /** Whether a watched peer has been silent for too long. False while this member's own ticks are late. */
  isSuspected(peer: MemberId, nowMs: number): boolean {
    const heardMs = this.heardMs.get(peer)
    if (heardMs === undefined || this.isLate(nowMs)) return false
    return nowMs - heardMs >= this.suspectMs
  }

  /** For how long a watched peer has been silent, in ms; 0 for one that is not watched. */
  silentMs(peer: MemberId, nowMs: number): number {
    return Math.max(0, nowMs - (this.heardMs.get(peer) ?? nowMs))
  }

  /** Every suspected peer, in the order of watching. */
  suspects(nowMs: number): MemberId[] {
    return [...this.heardMs.keys()].filter((peer) => this.isSuspected(peer, nowMs))
  }

  private isLate(nowMs: number): boolean {
    return this.tickMs !== undefined && nowMs - this.tickMs > this.stallMs
  }
}
