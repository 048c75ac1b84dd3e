/**
 * What a decoder must not do besides answering wrongly: take memory by a length that was only claimed, run for ever, or
 * change a prototype that everybody shares.
 *
 * Buffers are counted where they are asked for, input by input. Everything else on the heap is counted for a batch, and
 * exactly (collections in between included) only where a batch looks suspicious. Time is that of the processor, because
 * others use the machine too; what never ends is ended by the engine's own watchdog.
 */

import { GCProfiler, getHeapStatistics } from 'node:v8'
import { Script } from 'node:vm'
import { Broken } from './decoder.ts'

/** Bytes of buffers asked for since the last `begin`. */
export class BufferGuard {
  /** What was too much since the last `begin`; kept here as well, for the product wraps some errors. */
  exceeded: string | undefined
  #allowance = Number.POSITIVE_INFINITY
  #taken = 0
  readonly #originals = {
    alloc: Buffer.alloc,
    allocUnsafe: Buffer.allocUnsafe,
    allocUnsafeSlow: Buffer.allocUnsafeSlow,
  }

  install(): void {
    const { alloc, allocUnsafe, allocUnsafeSlow } = this.#originals
    Buffer.alloc = ((size: number, ...rest: []) => {
      this.#take(size)
      return alloc(size, ...rest)
    }) as typeof Buffer.alloc
    Buffer.allocUnsafe = (size) => {
      this.#take(size)
      return allocUnsafe(size)
    }
    Buffer.allocUnsafeSlow = (size) => {
      this.#take(size)
      return allocUnsafeSlow(size)
    }
  }

  remove(): void {
    Object.assign(Buffer, this.#originals)
  }

  /** From now on more than `bytes` is too much. */
  begin(bytes: number): void {
    this.#allowance = bytes
    this.#taken = 0
    this.exceeded = undefined
  }

  end(): void {
    this.#allowance = Number.POSITIVE_INFINITY
  }

  #take(size: number): void {
    this.#taken += size
    if (this.#taken <= this.#allowance) return
    this.exceeded = `memory: buffers of ${this.#taken} bytes, ${this.#allowance} allowed for the input`
    this.end()
    throw new Broken(this.exceeded)
  }
}

/** Bytes on the heap and beside it. A fall means that something was collected. */
export function heapBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}

/** Bytes that `run` takes on the heap and beside it, those that are collected meanwhile included. */
export function allocatedBy(run: () => void): number {
  const profiler = new GCProfiler()
  profiler.start()
  let before = heapBytes()
  let bytes = 0
  run()
  const after = heapBytes()
  for (const { beforeGC, afterGC } of profiler.stop().statistics) {
    bytes += beforeGC.heapStatistics.usedHeapSize + beforeGC.heapStatistics.externalMemory - before
    before = afterGC.heapStatistics.usedHeapSize + afterGC.heapStatistics.externalMemory
  }
  return bytes + after - before
}

/** Milliseconds of processor time that this process has had. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const BOUNDED = Symbol.for('actorgrid.fuzz.bounded')
const script = new Script('globalThis[Symbol.for("actorgrid.fuzz.bounded")]()')

/** Runs `run` for at most `timeoutMs`. Returns false when it was ended, in the middle of whatever it did. */
export function endsWithin(timeoutMs: number, run: () => void): boolean {
  ;(globalThis as Record<symbol, unknown>)[BOUNDED] = run
  try {
    script.runInThisContext({ timeout: timeoutMs })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false
    throw error
  }
}

const SHARED: readonly object[] = [
  Object,
  Array,
  Function,
  String,
  Number,
  BigInt,
  Boolean,
  Date,
  Map,
  Set,
  Error,
  Uint8Array,
  Buffer,
  RegExp,
].map(({ prototype }) => prototype as object)

/** What the prototypes that everybody shares had when the fuzzer began. */
export class PrototypeGuard {
  readonly #known = SHARED.map((prototype) => new Map(entries(prototype)))

  /** Whether a prototype has more or fewer members than before: cheap enough for every batch. */
  get grown(): boolean {
    return SHARED.some((prototype, i) => Reflect.ownKeys(prototype).length !== this.#known[i]!.size)
  }

  /** Names what has changed, and puts it right. */
  changed(): string | undefined {
    for (const [i, prototype] of SHARED.entries()) {
      const known = this.#known[i]!
      for (const [name, value] of entries(prototype)) {
        if (known.has(name) && known.get(name) === value) continue
        if (known.has(name)) Reflect.set(prototype, name, known.get(name))
        else Reflect.deleteProperty(prototype, name)
        return `prototype: ${prototype.constructor.name}.prototype.${String(name)} was changed`
      }
    }
    return undefined
  }
}

function entries(prototype: object): [string | symbol, unknown][] {
  return Reflect.ownKeys(prototype).map((name) => {
    const { value, get } = Reflect.getOwnPropertyDescriptor(prototype, name)!
    return [name, value ?? get]
  })
}
