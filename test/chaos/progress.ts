/** Waiting for something that must happen: looked at whenever something has happened, given up after a bound. */

/** It did not happen in time. Whoever waits for the cluster's recovery takes this as a violation. */
export class Late extends Error {}

export class Progress {
  readonly #lookers = new Set<() => void>()

  /** Resolves once `holds`; rejects with {@link Late} after `withinMs`, and with what `holds` throws. */
  until(what: string, holds: () => boolean, withinMs: number, why?: () => string): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (done: () => void): void => {
        clearTimeout(timer)
        this.#lookers.delete(look)
        done()
      }
      const look = (): void => {
        try {
          if (holds()) end(resolve)
        } catch (error) {
          end(() => reject(error))
        }
      }
      const late = (): void => {
        const more = why === undefined ? '' : `: ${why()}`
        end(() => reject(new Late(`not within ${withinMs / 1000} s: ${what}${more}`)))
      }
      const timer = setTimeout(late, withinMs)
      this.#lookers.add(look)
      look()
    })
  }

  happened(): void {
    for (const look of [...this.#lookers]) look()
  }
}
