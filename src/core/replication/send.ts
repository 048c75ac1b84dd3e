/**
 * Sending a replica what it lacks: runs of records, each of one epoch, behind what the logs must agree on before them.
 */

import type { ByteWriter } from '../base/bytes.ts'
import type { LogStore } from '../store/log-store.ts'
import { beginMessage, endMessage, MessageType } from '../wire/message.ts'
import { type Reference, writeReplicateHeader } from '../wire/peer-message.ts'
import type { EpochTable } from './epoch-table.ts'
import type { Peer } from './owner-log.ts'

/** Bytes of records in one message. */
const REPLICATE_BYTES = 256 * 1024
/** Bytes that may wait on a link to a replica before more is appended. */
export const QUEUED_BYTES = 8 * 1024 * 1024

/** The sending end of a link. */
interface Outlet {
  readonly out: ByteWriter
  readonly queuedBytes: number
  wake(): void
}

/** Sends everything from `peer.next` on, as far as the link takes it. The log must reach back to there. */
export function sendRecords(
  peer: Peer,
  outlet: Outlet,
  store: LogStore,
  epochs: EpochTable,
  reference: Readonly<Reference>,
  commit: number,
): void {
  const w = outlet.out
  while (peer.next <= store.head && outlet.queuedBytes < QUEUED_BYTES) {
    const prev = peer.next - 1
    const mark = beginMessage(w, MessageType.replicate)
    writeReplicateHeader(w, reference, peer.session, prev, epochs.at(prev), epochs.at(peer.next), commit)
    const last = store.copyTail(peer.next, REPLICATE_BYTES, w, epochs.lastSeqAt(peer.next, store.head))
    endMessage(w, mark)
    outlet.wake()
    peer.next = last + 1
  }
}
