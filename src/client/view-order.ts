/**
 * Which of two views is newer.
 *
 * A view's version is a place in the configuration log. It falls when the log is rolled back, and then its boot is
 * another one; which of two boots came first cannot be seen from them. So: the boot that a member goes over to comes
 * after the one that it leaves, and else most of the connected members are right. A member that lags behind is thus not
 * believed, and a view that no member shows any more is given up: one kept for that reason was never replaced.
 */

import type { ClientView } from '../core/wire/message.ts'

/** Boots that are remembered as left. */
const LEFT_MAX = 64

export class ViewOrder {
  /** Boots that a member has left for another: the others are on their way. */
  readonly #left = new Set<string>()

  /**
   * Whether `view` replaces `before`. `formerBoot`: of the last view that the same member showed over this connection.
   * `otherBoots`: of the last views of all other members that are connected.
   */
  supersedes(
    view: ClientView,
    before: ClientView | undefined,
    formerBoot: string | undefined,
    otherBoots: readonly (string | undefined)[],
  ): boolean {
    if (formerBoot !== undefined && formerBoot !== view.boot) this.#goneOver(formerBoot, view.boot)
    if (before === undefined) return true
    if (view.boot === before.boot) return view.version > before.version
    if (formerBoot === before.boot) return true
    const showing = (boot: string): number => otherBoots.filter((other) => other === boot).length
    const besides = showing(before.boot)
    return this.#left.has(view.boot) ? besides === 0 : 1 + showing(view.boot) > besides
  }

  #goneOver(from: string, to: string): void {
    if (this.#left.size >= LEFT_MAX) this.#left.clear()
    this.#left.add(from)
    this.#left.delete(to)
  }
}
