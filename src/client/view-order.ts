/**
 * Which of two views is newer.
 *
 * A view's version is a place in the configuration log. It falls when the log is rolled back, and then its boot is
 * another one: an unseen boot is newer than the present one, a seen one older, unless the very member that showed the
 * present one has gone over to it. (A member that lags behind may show a boot for the first time that was over already.)
 */

import type { ClientView } from '../core/wire/message.ts'

/** Boots that are remembered as over. */
const BOOTS_MAX = 64

export class ViewOrder {
  /** Of views that were taken. */
  readonly #boots = new Set<string>()

  /** Whether `view` replaces `before`. `formerBoot`: of the member's last view. */
  supersedes(view: ClientView, before: ClientView, formerBoot: string | undefined): boolean {
    if (view.boot === before.boot) return view.version > before.version
    if (this.#boots.has(view.boot) && formerBoot !== before.boot) return false
    if (this.#boots.size >= BOOTS_MAX) this.#boots.clear()
    this.#boots.add(before.boot).add(view.boot)
    return true
  }
}
