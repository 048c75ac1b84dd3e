/**
 * One real member in a process of its own, as `startMember` makes it, that says what it sees of itself when it is asked.
 * Its options come as JSON on the command line, orders and answers over the channel to the process that started it.
 */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Member, startMember } from '../../src/member/member.ts'
import type { MemberOptions } from '../../src/member/options.ts'
import { StallMeter, type Stalls } from './stall.ts'

/** `collect`: a look after a full collection. `reset`: a look, and from then on stalls count anew. */
export type Order = 'look' | 'collect' | 'reset' | 'leave' | 'stop'

export interface Look {
  readonly entries: number
  /** By the member's own account: blocks and index. */
  readonly storeBytes: number
  readonly residentBytes: number
  readonly heapBytes: number
  /** Of all threads, since the start. */
  readonly processorMs: number
  /** Since the last reset; looks and their collections are not counted. */
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
const meter = new StallMeter()
const member = await startMember(options)
process.on('message', (order) => void obey(order as Order))
process.once('disconnect', () => process.exit(1))
process.send?.({ address: member.address })
process.stdout.write('ready\n')

async function obey(order: Order): Promise<void> {
  if (order === 'look' || order === 'collect' || order === 'reset') {
    meter.aside(() => {
      if (order === 'collect') collect()
      process.send?.(lookAt(member, meter.stalls))
    })
    if (order === 'reset') meter.reset()
    return
  }
  await (order === 'leave' ? member.leave() : member.stop())
  process.exit(0)
}

function lookAt(member: Member, stalls: Stalls): Look {
  const { entries, storeBytes, epochSeq, partitions, members } = member.status()
  const wanted = Math.min((options.backups ?? 0) + 1, members.length)
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  return {
    entries,
    storeBytes,
    residentBytes: rss,
    heapBytes: heapUsed,
    processorMs: (user + system) / 1000,
    stalls,
    epochSeq,
    isWhole: partitions.every(({ inSync }) => inSync.length === wanted),
    copies: partitions.filter(({ inSync }) => inSync.includes(member.name)).length,
  }
}
