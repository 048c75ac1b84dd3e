/**
 * What the fuzzer knows of a decoder: how to make valid inputs, how to decode, and how to encode again.
 *
 * A decoder takes bytes from outside and may answer in one of two ways: with a value, or with a `GridError` of one of
 * its codes. Anything else (another exception, an assertion, memory or time out of proportion, a changed prototype, a
 * value that does not survive encoding, an answer that depends on bytes beside the input) is a finding.
 */

import type { ByteWriter } from '../../src/core/base/bytes.ts'
import { type ErrorCode, GridError } from '../../src/core/base/errors.ts'

/** What a decoder returns or throws for input that it refuses by some other means than an exception. */
export const REFUSED: GridError = new GridError('MALFORMED', 'refused')

/** A property that does not hold; decoders of this fuzzer throw it, never the product. */
export class Broken extends Error {}

export interface Decoder {
  readonly name: string
  /** Codes that it may throw; `MALFORMED` unless told otherwise. */
  readonly codes?: readonly ErrorCode[]
  /** Valid inputs. Asked once. */
  seeds(): readonly Uint8Array[]
  /** Where in a valid input a MessagePack value begins that reaches to its end; its parts are swapped with others. */
  readonly valueAt?: (seed: Uint8Array) => number
  /** Makes checksums and lengths of a mutated input right again, so that more of it is reached. */
  readonly repair?: (bytes: Buffer, start: number, end: number) => void
  /** Decodes `bytes[start..end)`, and runs what was decoded where it is a program. */
  decode(bytes: Buffer, start: number, end: number): unknown
  /** Writes what `decode` has returned; left out where there is nothing to write. */
  readonly encode?: (decoded: never, w: ByteWriter) => void
  /** Only one in so many inputs is encoded again, where that takes most of the time. */
  readonly encodeOnceIn?: number
  /** The value is filled in anew by the next `decode`, so that two of them cannot be compared. */
  readonly reuses?: boolean
  /** Has state: inputs act on it in turn, and `reset` is called before each batch. */
  readonly reset?: () => void
  /** Lets go of that state in the end. */
  readonly close?: () => void
  /** Bytes of buffers that it may take for itself whatever the input. */
  readonly ownBytes?: number
  /** Share of the time, where the others have 1. */
  readonly weight?: number
}

/** A decoder whose `encode` fits its `decode`; forgets the type of what is in between. */
export function decoder<T>(
  definition: Omit<Decoder, 'decode' | 'encode'> & {
    decode(bytes: Buffer, start: number, end: number): T
    readonly encode?: (decoded: T, w: ByteWriter) => void
  },
): Decoder {
  return definition as unknown as Decoder
}
