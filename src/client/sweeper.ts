/**
 * One coarse timer for all deadlines of a client; it runs only while somebody waits for something.
 *
 * It also tells when no clock did: a process that stood still has replies to read before anything is given up, and after
 * its machine has slept nothing may be sent again that may have taken effect, for the members may have forgotten.
 */

const SWEEP_MS = 50
/** A sweep this late says that this process stood still; replies may be waiting to be read. */
const STALL_MS = 1000
/** The wall clock ahead of the monotonic one by so much says that the machine slept, for longer than is known. */
const SLEPT_MS = 60_000

export interface SweeperHandler {
  readonly nowMs: () => number
  /** The wall clock. */
  readonly wallMs: () => number
  /** Whether nobody waits for anything. */
  readonly isIdle: () => boolean
  /** Every 50 ms. */
  readonly sweep: (nowMs: number) => void
  readonly slept: (sleptMs: number) => void
}

export class Sweeper {
  readonly #handler: SweeperHandler
  #timer: NodeJS.Timeout | undefined
  #sweptMs = 0
  /** The wall clock less the monotonic one, when they were last compared. */
  #offsetMs = 0

  constructor(handler: SweeperHandler) {
    this.#handler = handler
  }

  start(): void {
    if (this.#timer !== undefined) return
    this.#sweptMs = this.#handler.nowMs()
    this.#offsetMs = this.#handler.wallMs() - this.#sweptMs
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #sweep(): void {
    const nowMs = this.#handler.nowMs()
    this.heedSleep()
    const stalled = nowMs - this.#sweptMs > STALL_MS
    this.#sweptMs = nowMs
    if (stalled) return
    if (this.#handler.isIdle()) this.stop()
    else this.#handler.sweep(nowMs)
  }

  /** Compares the clocks. To be asked before a call is sent again. */
  heedSleep(): void {
    const offsetMs = this.#handler.wallMs() - this.#handler.nowMs()
    const sleptMs = offsetMs - this.#offsetMs
    this.#offsetMs = offsetMs
    if (sleptMs > SLEPT_MS) this.#handler.slept(sleptMs)
  }
}
