/**
 * What a call needs only while it is carried out: one set for all partitions of the process.
 *
 * A turn carries out one call after the other, so nothing here is in use by two, and nothing in it outlives its call. If
 * each partition had a set of its own, all of it would be out of the processor's cache whenever the partition's turn
 * comes: with 271 of them a put takes 1.6 µs with one set and 2.9 with 271.
 */

import { ByteReader, ByteWriter } from '../base/bytes.ts'
import { blankRecord, type RecordEnvelope, type RecordInput, RecordView } from '../store/record.ts'

const EMPTY = new Uint8Array(0)

export const workspace = {
  /** The answer, as the operation writes it. */
  payload: new ByteWriter(4096),
  /** A new value, as the operation encodes it. */
  value: new ByteWriter(4096),
  /** Reads the argument of the call. */
  argument: new ByteReader(EMPTY),
  /** The entry that the call is about. */
  found: new RecordView(),
  /** The record that the call writes. */
  record: { ...blankRecord } as RecordInput,
  /** What that record says of the call. */
  envelope: {
    session: 0,
    call: 0,
    ackUpTo: 0,
    status: 0,
    replyBytes: EMPTY,
    replyStart: 0,
    replyEnd: 0,
  } as RecordEnvelope,
}
