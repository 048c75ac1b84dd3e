/**
 * The campaign against one decoder: makes inputs, decodes them in batches, and tells apart what may happen from findings.
 *
 * For every input: only the decoder's errors, buffers in proportion, and, where it is accepted, the same value after
 * encoding and decoding once more. For one in eight: the same answer whatever stands around it. For a batch: time, heap
 * and prototypes; a batch that looks wrong is gone through again input by input, so that a finding names one.
 */

import { isDeepStrictEqual } from 'node:util'
import { ByteWriter } from '../../src/core/base/bytes.ts'
import { type ErrorCode, GridError } from '../../src/core/base/errors.ts'
import { Broken, type Decoder, REFUSED } from './decoder.ts'
import { allocatedBy, BufferGuard, endsWithin, heapBytes, PrototypeGuard, processorMs } from './guard.ts'
import type { Input } from './input.ts'
import { Mutator } from './mutator.ts'

/** Inputs between two looks at the clock and the heap; where there is a state, its life. */
const BATCH = 4096
const STATE_BATCH = 512
/** Prototypes are looked at in full so often. */
const LOOK_INPUTS = 16 * BATCH
/** Findings that are kept of one decoder; others of the same kind are only counted. */
const FINDINGS_MAX = 20
const BYTES_EACH = 64
const OWN_BYTES = 64 * 1024
const HEAP_BATCH_BYTES = 48 * 1024 * 1024
const HEAP_OWN_BYTES = 2 * 1024 * 1024
const HEAP_BYTES_EACH = 2048

export interface Bounds {
  /** Of one input, in milliseconds of processor time. */
  readonly inputMs: number
  /** After which an input is given up. */
  readonly hangMs: number
}

const DEFAULT_BOUNDS: Bounds = { inputMs: 100, hangMs: 10_000 }

export interface Finding {
  readonly decoder: string
  readonly index: number
  readonly what: string
  readonly input: Uint8Array
  count: number
}

export interface Report {
  readonly decoder: string
  inputs: number
  accepted: number
  bytes: number
  /** Of processor time. */
  seconds: number
  readonly findings: Finding[]
}

/** Counts buffers for as long as a fuzzer runs. */
export const bufferGuard = new BufferGuard()

export class Campaign {
  readonly report: Report
  readonly #mutator: Mutator
  readonly #input: Input
  readonly #decoder: Decoder
  readonly #encodeOnceIn: number
  readonly #codes: ReadonlySet<ErrorCode>
  readonly #seed: number
  readonly #bounds: Bounds
  readonly #prototypes = new PrototypeGuard()
  readonly #first = new ByteWriter(4096)
  readonly #second = new ByteWriter(4096)
  #index = 0

  /** Inputs of one batch, at most. */
  readonly batchInputs: number

  constructor(decoder: Decoder, seed: number, bounds = DEFAULT_BOUNDS) {
    this.#decoder = decoder
    this.#encodeOnceIn = decoder.encodeOnceIn ?? 1
    this.batchInputs = decoder.reset === undefined ? BATCH : STATE_BATCH
    this.#codes = new Set(decoder.codes ?? ['MALFORMED'])
    this.#seed = seed
    this.#bounds = bounds
    this.#mutator = new Mutator(decoder)
    this.#input = this.#mutator.input
    this.report = { decoder: decoder.name, inputs: 0, accepted: 0, bytes: 0, seconds: 0, findings: [] }
  }

  /** Inputs from `from` on; with a state, from the beginning of a batch. */
  batch(from: number, count = this.batchInputs): void {
    const { report } = this
    const { inputMs, hangMs } = this.#bounds
    const before = { ms: processorMs(), heap: heapBytes() }
    this.#decoder.reset?.()
    this.#index = from
    // A batch that had to be ended was in the middle of an input; perhaps that one was to blame, perhaps the machine.
    while (this.#index < from + count && report.findings.length < FINDINGS_MAX) {
      if (endsWithin(hangMs, () => this.#each(from + count))) break
      this.#mutator.make(this.#seed, this.#index)
      if (!endsWithin(hangMs, () => this.#try())) this.#found(`hang: no end after ${hangMs} ms`)
      this.#index++
    }
    bufferGuard.end()
    const tookMs = processorMs() - before.ms
    const usualMs = 1000 * (report.seconds / Math.max(1, report.inputs)) * count
    report.inputs += count
    report.seconds += tookMs / 1000
    const slow = tookMs > 4 * inputMs + 3 * usualMs
    const greedy = heapBytes() - before.heap > HEAP_BATCH_BYTES
    const changed =
      this.#prototypes.grown || (from % LOOK_INPUTS === 0 && this.#prototypes.changed() !== undefined)
    if (changed || slow || greedy) {
      this.#prototypes.changed()
      this.#search(from, count)
    }
  }

  /** The bytes of one input; they are overwritten by the next. */
  input(index: number): Buffer {
    this.#mutator.make(this.#seed, index)
    return this.#input.bytes
  }

  /** Tries given bytes instead of made ones, as the only input. Returns what is wrong, if anything. */
  tryBytes(bytes: Uint8Array): string | undefined {
    this.#input.set(bytes)
    this.#input.surround(0xa5)
    this.#decoder.reset?.()
    const known = this.report.findings.length
    const measured = this.#measured(() => this.#try())
    return this.report.findings[known]?.what ?? measured
  }

  #each(to: number): void {
    for (; this.#index < to; this.#index++) {
      this.#mutator.make(this.#seed, this.#index)
      this.report.bytes += this.#input.size
      this.#try()
    }
  }

  /** Goes through a suspicious batch again, each input by itself. */
  #search(from: number, count: number): void {
    this.#decoder.reset?.()
    const { accepted, bytes } = this.report
    for (this.#index = from; this.#index < from + count; this.#index++) {
      this.#mutator.make(this.#seed, this.#index)
      const what = this.#measured(() => this.#try())
      if (what !== undefined) this.#found(what)
    }
    Object.assign(this.report, { accepted, bytes })
  }

  /** What is wrong with the time, the memory or the prototypes after `run`, three times in a row. */
  #measured(run: () => void): string | undefined {
    const { hangMs } = this.#bounds
    let what: string | undefined
    // The engine has work of its own, compiling and collecting, that falls on any input now and then.
    for (let attempt = 0; attempt < 3; attempt++) {
      let ended = true
      const startedMs = processorMs()
      const heap = allocatedBy(() => {
        ended = endsWithin(hangMs, run)
      })
      bufferGuard.end()
      if (!ended) return `hang: no end after ${hangMs} ms`
      const changed = this.#prototypes.changed()
      if (changed !== undefined) return changed
      what = this.#excess(heap, processorMs() - startedMs)
      if (what === undefined) return undefined
    }
    return what
  }

  #excess(heap: number, tookMs: number): string | undefined {
    const { size } = this.#input
    const { inputMs } = this.#bounds
    const allowed = HEAP_OWN_BYTES + (this.#decoder.ownBytes ?? 0) + HEAP_BYTES_EACH * size
    if (heap > allowed) return `memory: more than ${allowed} bytes on the heap for an input of ${size} bytes`
    return tookMs > inputMs ? `time: more than ${inputMs} ms` : undefined
  }

  #try(): void {
    const { buffer, start, end } = this.#input
    bufferGuard.begin((this.#decoder.ownBytes ?? OWN_BYTES) + BYTES_EACH * (end - start))
    try {
      const value = this.#decoder.decode(buffer, start, end)
      this.report.accepted++
      if (this.#decoder.encode !== undefined && this.#index % this.#encodeOnceIn === 0) this.#roundTrip(value)
    } catch (error) {
      if (!(error instanceof GridError && (error === REFUSED || this.#codes.has(error.code))))
        this.#found(describe(error))
    }
    bufferGuard.end()
    if (bufferGuard.exceeded !== undefined) this.#found(bufferGuard.exceeded)
    if ((this.#index & 7) === 0 && this.#decoder.reset === undefined) this.#elsewhere()
  }

  #roundTrip(value: unknown): void {
    const first = this.#write(value, this.#first)
    const again = this.#decoder.decode(first, 0, first.length)
    const second = this.#write(again, this.#second)
    if (!first.equals(second)) throw new Broken('round trip: encoded and decoded, it is written otherwise')
    if (this.#decoder.reuses === true || (this.#index & 15) !== 0) return
    if (!isDeepStrictEqual(value, again))
      throw new Broken('round trip: encoded and decoded, it is another value')
  }

  #write(value: unknown, w: ByteWriter): Buffer {
    w.clear()
    this.#decoder.encode!(value as never, w)
    return w.buffer.subarray(w.start, w.length)
  }

  /** The same input among other bytes: the answer must be the same. */
  #elsewhere(): void {
    const one = this.#answer()
    this.#input.surround(0x01)
    const other = this.#answer()
    if (one !== other) this.#found(`outside: bytes beside the input change "${one}" to "${other}"`)
  }

  #answer(): string {
    const { buffer, start, end } = this.#input
    try {
      const value = this.#decoder.decode(buffer, start, end)
      if (this.#decoder.encode === undefined) return 'accepted'
      return this.#write(value, this.#first).toString('latin1')
    } catch (error) {
      return error instanceof GridError ? error.code : describe(error)
    }
  }

  #found(what: string): void {
    const { findings } = this.report
    const kind = kindOf(what)
    const known = findings.find((finding) => kindOf(finding.what) === kind)
    if (known !== undefined) known.count++
    else if (findings.length < FINDINGS_MAX) {
      const input = Uint8Array.from(this.#input.bytes)
      findings.push({ decoder: this.#decoder.name, index: this.#index, what, input, count: 1 })
    }
  }
}

function describe(error: unknown): string {
  if (error instanceof Broken) return error.message
  return error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${String(error)}`
}

/** What findings of one cause have in common: their text up to the first number or quotation. */
function kindOf(what: string): string {
  return what.slice(0, 100).split(/[\d"']/, 1)[0]!
}
