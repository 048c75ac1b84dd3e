/**
 * The hash that ties a death certificate to a member: announced while it lives, met by the secret when it is dead.
 * Parent, members and fold must agree on it, so it stands here alone.
 */

import { createHash } from 'node:crypto'

/** SHA-256 of the secret's text, as 64 hexadecimal digits. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
