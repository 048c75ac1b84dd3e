/**
 * Which of two views is newer.
 *
 * A view's version is a place in the configuration log. It falls when the log is rolled back, and then its boot is
 * another one; which of two boots came first cannot be seen from them. So: the boot that a member goes over to comes
 * after the one it leaves, and else most of the connected members are right. A member that lags behind is thus not
 * believed, and a view that no member shows any more is given up: one kept for that reason was never replaced.
 */

import type { ClientView } from '../core/wire/message.ts'

/**
 * Whether `view` replaces `before`. `formerBoot`: of the last view that the same member showed over this connection.
 * `otherBoots`: of the last views of all other members that are connected.
 */
export function supersedes(
  view: ClientView,
  before: ClientView,
  formerBoot: string | undefined,
  otherBoots: readonly (string | undefined)[],
): boolean {
  if (view.boot === before.boot) return view.version > before.version
  if (formerBoot === before.boot) return true
  const showing = (boot: string): number => otherBoots.filter((other) => other === boot).length
  return 1 + showing(view.boot) > showing(before.boot)
}
