/**
 * The seam between a client and a member that lives in the same process: reads that cost no frame.
 *
 * Call and answer are the views that messages are read into, so that either side does with them what it does with
 * what comes over a link. The client fills the first, the member the second, and nothing is copied in between.
 */

import type { CallView, ReplyView } from './message.ts'

export interface LocalReader {
  /** The member's incarnation: only reads of partitions that it is known to own are worth asking for. */
  readonly id: string
  /**
   * Answers a read of one key (`get`, `getEntry`, `has`) if its owner is here and would answer it at once over a link,
   * at that very moment. Then `answer` holds an `ok` reply, whose bytes are the store's own and valid until the caller
   * returns to the event loop: decode them before. Otherwise returns false, and nothing has happened. Never throws.
   *
   * @internal
   */
  readLocal(call: CallView, answer: ReplyView): boolean
}
