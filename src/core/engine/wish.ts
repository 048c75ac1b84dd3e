/**
 * When to ask again for what has not come about.
 *
 * A wish is asked for round after round until it is seen to be fulfilled. What was asked may be on its way, and every
 * copy makes the way longer for all: with a log that is slower to read than it grows by repetitions, none would ever
 * be seen. So each repetition waits twice as long as the one before, up to a bound. A wish that nobody has had for a
 * while is forgotten, and begins anew: what is remembered is what is wished for now.
 */

/** Before the first repetition, and the longest wait. */
const AGAIN_MS = 500
const AGAIN_MAX_MS = 8000

interface Wish {
  askedMonoMs: number
  /** When somebody last had it. */
  hadMonoMs: number
  waitMs: number
}

export class Wishes {
  readonly #wishes = new Map<string, Wish>()

  get size(): number {
    return this.#wishes.size
  }

  /** Whether to ask now for what `key` names; to be called in every round in which it is wished for. */
  due(key: string, nowMonoMs: number): boolean {
    const wish = this.#wishes.get(key)
    if (!wish || nowMonoMs - wish.hadMonoMs > AGAIN_MS) {
      this.#wishes.set(key, { askedMonoMs: nowMonoMs, hadMonoMs: nowMonoMs, waitMs: AGAIN_MS })
      return true
    }
    wish.hadMonoMs = nowMonoMs
    if (nowMonoMs - wish.askedMonoMs < wish.waitMs) return false
    wish.askedMonoMs = nowMonoMs
    wish.waitMs = Math.min(AGAIN_MAX_MS, 2 * wish.waitMs)
    return true
  }

  /** Forgets wishes that nobody has any more; to be called now and then. */
  tidy(nowMonoMs: number): void {
    for (const [key, { hadMonoMs }] of this.#wishes)
      if (nowMonoMs - hadMonoMs > AGAIN_MS) this.#wishes.delete(key)
  }

  clear(): void {
    this.#wishes.clear()
  }
}
