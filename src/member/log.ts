/**
 * The log of a member and of its parent: lines of JSON on standard error.
 *
 * What cannot be written, because the disk is full or nobody reads any more, is kept up to a bound, tried again with the
 * next line, and then dropped: a member must not end, or keep its memory, for the sake of its log.
 */

import { type Logger, pino } from 'pino'
import type { MemberSettings } from './options.ts'

const STANDARD_ERROR = 2
const UNWRITTEN_BYTES_MAX = 256 * 1024

/** `descriptor` is where to write. */
export function openLog(
  { logLevel, name }: Pick<MemberSettings, 'logLevel' | 'name'>,
  descriptor: number = STANDARD_ERROR,
): Logger {
  const stream = pino.destination({ dest: descriptor, sync: true, maxLength: UNWRITTEN_BYTES_MAX })
  stream.on('error', () => {})
  return pino({ level: logLevel, base: { member: name } }, stream)
}
