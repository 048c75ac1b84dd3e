/**
 * State transfer to a learner, while writes go on.
 *
 * Snapshot first, then the log. The base is the owner's head when the transfer begins; epochs and sessions are
 * taken in that same turn. Then the live records up to the base follow in chunks, a few under way at a time, and after the
 * last one the learner is sent the log from base + 1 like any backup. A record that was superseded meanwhile is simply
 * not there any more: its successor is in the log above the base, which the owner keeps for as long as the learner needs
 * it. So the learner never has to tell newer from older, and keeps no tombstones.
 *
 * What was left out because its successor is in the log makes the snapshot complete only together with that successor:
 * the learner's state is a prefix of the log once it holds everything up to `end`, where the head was when the last chunk
 * was cut. Before that it must not be in sync, and neither may it be with replicas that do not hold `end`: one of them
 * could become the owner and have the successor cut off.
 */

import type { ByteWriter } from '../base/bytes.ts'
import type { LogStore } from '../store/log-store.ts'
import type { RecordView } from '../store/record.ts'
import type { StoreScan } from '../store/scan.ts'
import { beginMessage, endMessage, MessageType } from '../wire/message.ts'
import {
  CHUNK_KIND_OFFSET,
  ChunkKind,
  type Reference,
  writeSnapshotBegin,
  writeSnapshotChunkHeader,
} from '../wire/peer-message.ts'

/** Bytes of a chunk, unless told otherwise. */
const CHUNK_BYTES = 64 * 1024
/** Chunks sent and not yet taken. */
const WINDOW = 4
const MESSAGE_HEADER_BYTES = 4

/** The owner's end of one transfer. */
export class Transfer {
  readonly session: number
  readonly base: number
  /** The head when the last record was copied; infinite before. */
  end = Number.POSITIVE_INFINITY
  readonly #store: LogStore
  readonly #chunkBytes: number
  /** What belongs to the content besides the entries, as of the base; sent first, in pieces. */
  readonly #state: Uint8Array
  #stateSent = 0
  readonly #scan: StoreScan
  #sent = 0
  #taken = 0
  #finished = false
  #closed = false

  constructor(store: LogStore, session: number, state: Uint8Array, chunkBytes = CHUNK_BYTES) {
    this.#store = store
    this.#chunkBytes = chunkBytes
    this.#state = state
    this.session = session
    this.base = store.head
    this.#scan = store.openScan()
  }

  /** Whether another chunk may be sent now. */
  get ready(): boolean {
    return !this.#finished && !this.#closed && this.#sent - this.#taken < WINDOW
  }

  /** The learner has everything up to the base. */
  get done(): boolean {
    return this.#finished && this.#taken === this.#sent
  }

  begin(w: ByteWriter, ref: Readonly<Reference>): void {
    writeSnapshotBegin(w, ref, this.session, this.base)
  }

  /** Writes the next chunk. */
  sendChunk(w: ByteWriter, ref: Readonly<Reference>): void {
    const mark = beginMessage(w, MessageType.snapshotChunk)
    if (this.#stateSent < this.#state.length) {
      writeSnapshotChunkHeader(w, ref, this.session, ++this.#sent, ChunkKind.state)
      const end = Math.min(this.#stateSent + this.#chunkBytes, this.#state.length)
      w.bytes(this.#state, this.#stateSent, end)
      this.#stateSent = end
      endMessage(w, mark)
      return
    }
    writeSnapshotChunkHeader(w, ref, this.session, ++this.#sent, ChunkKind.records)
    const first = w.length - w.start
    const copy = (record: RecordView): void => this.#store.copyLive(record, w)
    let more = true
    // One record at a time: a chunk may exceed its size by one value, never by many.
    while (more && w.length - w.start - first < this.#chunkBytes) more = this.#scan.next(1, copy)
    if (!more) {
      this.#finished = true
      this.end = this.#store.head
      w.buffer[w.start + mark + MESSAGE_HEADER_BYTES + CHUNK_KIND_OFFSET] = ChunkKind.last
      this.close()
    }
    endMessage(w, mark)
  }

  taken(index: number): void {
    if (index > this.#taken && index <= this.#sent) this.#taken = index
  }

  /** Lets the store compact again. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#scan.close()
  }
}
