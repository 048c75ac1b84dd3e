/**
 * What every replica of a partition holds, whatever its role: the log with its index, the epochs that wrote it, and
 * the memory of calls. All of it changes only by records.
 */

import { ByteReader, ByteWriter } from '../base/bytes.ts'
import { GridError } from '../base/errors.ts'
import { EpochTable } from '../replication/epoch-table.ts'
import { LogStore } from '../store/log-store.ts'
import { RecordKind, type RecordView } from '../store/record.ts'
import { readId } from '../wire/message.ts'
import type { Context, Now } from './context.ts'
import { SessionTable } from './session-table.ts'

export class Replica {
  readonly store: LogStore
  readonly epochs = new EpochTable()
  readonly sessions = new SessionTable()
  readonly #reader = new ByteReader(Buffer.alloc(0))

  constructor(partition: number, context: Context) {
    // The same on every replica, so that paging goes on after a failover where it was.
    const seed = Math.imul(partition + 1, 0x85ebca6b) >>> 0
    this.store = new LogStore({ pool: context.pool, history: context.history, seed })
  }

  /** A record has entered the state: keeps what the store does not, the sessions. Bound, to be handed over. */
  readonly applied = (record: RecordView): void => {
    if (record.kind === RecordKind.sessionOpen) {
      const r = this.#reader.reset(record.bytes, record.valueStart, record.valueEnd)
      this.sessions.open(r.u32(), readId(r))
    } else if (record.kind === RecordKind.sessionClose) {
      this.sessions.close(this.#reader.reset(record.bytes, record.valueStart, record.valueEnd).u32())
    } else {
      this.sessions.apply(record)
    }
  }

  /** What a learner needs besides the entries. */
  encodeState(now: Now): Uint8Array {
    const w = new ByteWriter()
    this.sessions.nowMonoMs = now.monoMs
    this.epochs.encode(w)
    this.sessions.encode(w)
    return w.take()
  }

  /** @throws GridError `MALFORMED` */
  decodeState(state: Uint8Array, now: Now): void {
    const r = new ByteReader(state)
    this.sessions.nowMonoMs = now.monoMs
    this.epochs.decode(r)
    this.sessions.decode(r)
    if (r.remaining > 0) throw new GridError('MALFORMED', 'state of a transfer with bytes left over')
  }

  /** Gives everything back; the replica is empty as on the first day. */
  reset(): void {
    this.store.reset()
    this.epochs.clear()
    this.sessions.clear()
  }
}
