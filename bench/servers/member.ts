/**
 * One real member in a process of its own, as `startMember` makes it, that says what it sees of itself when it is asked.
 * Its options come as JSON on the command line, orders and answers over the channel to the process that started it.
 */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Engine } from '../../src/core/engine/engine.ts'
import { type Member, startMember } from '../../src/member/member.ts'
import type { MemberOptions } from '../../src/member/options.ts'
import { NO_STALLS, StallMeter, type Stalls } from './stall.ts'

/**
 * `collect`: a look after a full collection. `reset`: a look, and from then on stalls count, anew. `processor`: the time that
 * all threads of this process have had a processor since its start, in milliseconds, and nothing that would cost much.
 */
export type Order = 'look' | 'collect' | 'reset' | 'processor' | 'leave' | 'stop'

export interface Look {
  readonly entries: number
  /** By the member's own account: blocks and index. */
  readonly storeBytes: number
  readonly residentBytes: number
  readonly heapBytes: number
  /** Since the last reset, zero without one; looks and their collections are not counted. */
  readonly stalls: Stalls
  /** Place in the configuration log. */
  readonly epochSeq: number
  /** Whether each partition has exactly as many in-sync replicas as are wanted, by this member's view. */
  readonly isWhole: boolean
  /** Partitions that this member holds a copy of. */
  readonly copies: number
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const options = JSON.parse(process.argv[2]!) as MemberOptions
/** Made when it is first wanted, for it takes some hundredths of a processor. */
let meter: StallMeter | undefined
const member = await startMember(options)
process.on('message', (order) => void obey(order as Order))
process.once('disconnect', () => process.exit(1))
process.send?.({ address: member.address })
process.stdout.write('ready\n')

async function obey(order: Order): Promise<void> {
  if (order === 'leave' || order === 'stop') {
    await (order === 'leave' ? member.leave() : member.stop())
    process.exit(0)
  }
  if (order === 'processor') {
    const { user, system } = process.cpuUsage()
    process.send?.((user + system) / 1000)
    return
  }
  const answer = (): void => {
    if (order === 'collect') collect()
    process.send?.(lookAt(member, meter?.stalls))
  }
  if (meter === undefined) answer()
  else meter.aside(answer)
  if (order === 'reset') {
    meter ??= new StallMeter(Engine.prototype)
    meter.reset()
  }
}

function lookAt(member: Member, stalls: Stalls | undefined): Look {
  const { entries, storeBytes, epochSeq, partitions, members } = member.status()
  const wanted = Math.min((options.backups ?? 0) + 1, members.length)
  const { rss, heapUsed } = process.memoryUsage()
  return {
    entries,
    storeBytes,
    residentBytes: rss,
    heapBytes: heapUsed,
    stalls: stalls ?? NO_STALLS,
    epochSeq,
    isWhole: partitions.every(({ inSync }) => inSync.length === wanted),
    copies: partitions.filter(({ inSync }) => inSync.includes(member.name)).length,
  }
}
