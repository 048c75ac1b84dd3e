/** What takes the events of subscriptions: a watch, or a near cache. The router hands them over by the watch's number. */

import type { ByteReader } from '../core/base/bytes.ts'
import type { GridError } from '../core/base/errors.ts'
import type { EventsHeader } from '../core/wire/message.ts'
import type { Link } from '../transport/transport.ts'
import type { Lane } from './lane.ts'

/** A moment, on both clocks: the monotonic one stands still while the machine sleeps, the wall clock may be set. */
export interface Moment {
  readonly monoMs: number
  readonly wallMs: number
}

export interface EventSink {
  onEvents(link: Link, header: EventsHeader, reader: ByteReader): void
  onEnd(link: Link, watch: number, partition: number, error: GridError): void
  /** Everything acknowledged before `asked` has come by the subscription. For those with `keysOnly`. */
  onTold?(link: Link, watch: number, partition: number, asked: Moment): void
  /** The owner of the partition, or the connection to it, has changed. */
  onRoute(lane: Lane): void
  onClosed(): void
}
