/**
 * The entry of a member process: starts the member that its parent asks for and obeys it (`parent.ts`).
 *
 * SIGINT is ignored, because a terminal sends it to the parent too, which decides; SIGTERM asks to leave, like the
 * parent's own order and like the parent's end. A member that has not joined yet has nothing to hand over and ends.
 */

import { GridError } from '../core/base/errors.ts'
import { type Member, startMember } from './member.ts'
import type { MemberSettings } from './options.ts'
import type { FromChild, ToChild } from './parent.ts'

/** How long a member whose parent is gone may take to leave. */
const ORPHAN_MS = 60_000

let member: Member | undefined
let leaving = false

process.on('message', (message) => {
  const order = message as ToChild
  if (order.type === 'start') void start(order.settings)
  else void leave()
})
process.on('disconnect', () => {
  setTimeout(() => process.exit(1), ORPHAN_MS)
  void leave()
})
process.on('SIGTERM', () => void leave())
process.on('SIGINT', () => {})

async function start(settings: MemberSettings): Promise<void> {
  try {
    member = await startMember(settings)
  } catch (error) {
    const known =
      error instanceof GridError ? error : new GridError('INTERNAL', String(error), { cause: error })
    const message = known.message.replace(`${known.code}: `, '')
    return end({ type: 'failed', code: known.code, message }, 1)
  }
  const { id, name, address } = member
  tell({ type: 'ready', id, name, address, pid: process.pid })
  void member.ended.then(() => {
    if (!leaving) end(undefined, 1)
  })
}

async function leave(): Promise<void> {
  if (leaving) return
  leaving = true
  if (member === undefined) return end(undefined, 1)
  await member.leave()
  end({ type: 'left' }, 0)
}

function tell(message: FromChild): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

/** Ends the process once the last words are out. */
function end(message: FromChild | undefined, exitCode: number): void {
  if (message === undefined || !process.connected) process.exit(exitCode)
  process.send?.(message, undefined, undefined, () => process.exit(exitCode))
}
