/**
 * Invariants, stated beside the state that they protect.
 *
 * They stay on in production: each costs O(1), and a member that finds itself in an impossible state must stop
 * before it answers anyone. A failed assertion is a bug of ours, never of the caller's input.
 */

/** Thrown when the program contradicts itself. Not a `GridError`: no caller can do anything about it. */
export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed'
}

/** Throws {@link AssertionFailed} unless `condition` holds. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailed(what)
}
