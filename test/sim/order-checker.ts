/**
 * Whether calls of one client on one partition take effect in the order in which they were made, where one of them was
 * refused for the moment while others were on the way behind it.
 *
 * Only what the protocol promises: two calls that went over one link and no other, the first of them refused there before it
 * was accepted, and nothing before it outstanding.
 */

import type { Pending } from './client.ts'
import type { LinkEnd } from './network.ts'
import type { World } from './world.ts'

interface Track {
  /** The only link that the call went over; undefined once there was another. */
  link: LinkEnd | undefined
  /** In the order of sending. */
  readonly order: number
  /** When nothing before it was outstanding and it was refused. */
  refused: boolean
  readonly lowest: boolean
}

export class OrderChecker {
  readonly #world: World
  readonly #tracks = new Map<Pending, Track>()
  /** Calls that overtook a refused one, by that one: the lowest place in the log. */
  readonly #overtaken = new Map<Pending, { readonly seq: number; readonly epoch: number }>()
  #sent = 0

  constructor(world: World) {
    this.#world = world
  }

  sent(call: Pending, link: LinkEnd, outstanding: Iterable<number>): void {
    const track = this.#tracks.get(call)
    if (track) {
      if (track.link !== link) track.link = undefined
      return
    }
    let lowest = true
    for (const number of outstanding) if (number < call.number) lowest = false
    this.#tracks.set(call, { link, order: this.#sent++, refused: false, lowest })
  }

  refused(call: Pending): void {
    const track = this.#tracks.get(call)
    if (track?.lowest && track.link === call.end) track.refused = true
  }

  answered(call: Pending): void {
    const track = this.#tracks.get(call)
    const { seq, epoch } = call.record
    const over = this.#overtaken.get(call)
    if (!track?.link) return
    if (over && over.epoch === epoch && over.seq < seq && hasRecord(call))
      this.#world.fail(
        `calls of ${call.record.client} on partition ${call.record.partition} change places: ${call.number} is at ${seq}, one after it at ${over.seq}`,
      )
    if (call.attempts > 1 || !hasRecord(call)) return
    for (const [other, { link, order, refused }] of this.#tracks)
      if (refused && link === track.link && order < track.order)
        if (other.request.partition === call.request.partition && !this.#overtaken.has(other))
          this.#overtaken.set(other, { seq, epoch })
  }

  forget(call: Pending): void {
    this.#tracks.delete(call)
    this.#overtaken.delete(call)
  }
}

/** Whether it leaves a record in any case. */
function hasRecord({ request: { kind } }: Pending): boolean {
  return kind === 'put' || kind === 'increment' || kind === 'invoke'
}
