/** What the command line says of a failure, and the exit code that goes with it. */

import { errorTable, GridError } from '../core/base/errors.ts'

/** Used wrongly: another command line would do. */
const USAGE = new Set(['BAD_OPTION', 'BAD_KEY', 'BAD_VALUE', 'BAD_FILTER', 'BAD_UPDATE'])

export function describeFailure(error: unknown): { text: string; exitCode: number } {
  if (!(error instanceof GridError)) {
    return { text: error instanceof Error ? (error.stack ?? error.message) : String(error), exitCode: 1 }
  }
  const fate = error.applied === 'unknown' ? '\nWhether it took effect is not known.' : ''
  return {
    text: `${error.message}\n${errorTable[error.code].help}${fate}`,
    exitCode: USAGE.has(error.code) ? 2 : 1,
  }
}
