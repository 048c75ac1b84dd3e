/** A small world for the tests of membership: members, configs and messages by number. */

import { createHash } from 'node:crypto'
import type { MemberId, MemberInfo, PartitionConfig } from '../../../src/core/membership/config.ts'
import { epochOf } from '../../../src/core/membership/config.ts'
import type { Item, LogMessage } from '../../../src/core/membership/item.ts'
import type { View } from '../../../src/core/membership/view.ts'
import { emptyView, fold } from '../../../src/core/membership/view.ts'

export function hex(n: number): string {
  return n.toString(16).padStart(32, '0')
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

export function member(n: number, more: Partial<MemberInfo> = {}): MemberInfo {
  return {
    id: hex(n),
    name: `m-${n}`,
    address: `10.0.0.${n % 256}:7400`,
    zone: '',
    host: `h-${n}`,
    version: '0.1.0',
    state: 'active',
    secretHash: hashSecret(`secret-${n}`),
    ...more,
  }
}

export const CLUSTER = 'c-1'
export const BOOT = hex(0xb0)

export function message(items: readonly Item[], more: Partial<LogMessage> = {}): LogMessage {
  return { v: 1, cluster: CLUSTER, by: hex(1), boot: BOOT, id: hex(0xff), items, ...more }
}

export function firstConfig(partition: number, inSync: readonly MemberId[]): PartitionConfig {
  const id = hex(0x1000 + partition)
  const owner = inSync[0]!
  return {
    partition,
    epoch: epochOf(1, 1),
    id,
    prev: '',
    owner,
    ownership: id,
    inSync,
    era: 0,
    reason: 'genesis',
    by: owner,
  }
}

/** A valid successor of `current`, changed as told. */
export function successor(
  current: PartitionConfig,
  id: string,
  more: Partial<PartitionConfig> = {},
): PartitionConfig {
  const next = { ...current, epoch: current.epoch + 1, id, prev: current.id, reason: 'test', ...more }
  return { ...next, ownership: more.ownership ?? (next.owner === current.owner ? current.ownership : id) }
}

/** A cluster of `memberCount` members; partition p is held by members p, p + 1, ... */
export function founded(memberCount: number, partitionCount: number, backups: number): View {
  const members = Array.from({ length: memberCount }, (_, i) => member(i + 1))
  const configs = Array.from({ length: partitionCount }, (_, p) =>
    firstConfig(
      p,
      Array.from(
        { length: Math.min(backups + 1, memberCount) },
        (_, i) => members[(p + i) % memberCount]!.id,
      ),
    ),
  )
  return foldAll(emptyView, [
    message([
      {
        kind: 'genesis',
        clusterId: CLUSTER,
        partitionCount,
        backups,
        minInSync: 1,
        gen: 1,
        evidence: '',
        configs,
      },
      ...members.map((info): Item => ({ kind: 'member', info })),
    ]),
  ])
}

/** Folds messages one after another, each under the next number. */
export function foldAll(view: View, messages: readonly LogMessage[]): View {
  for (const one of messages) view = fold(view, one, view.version + 1, hashSecret)
  return view
}

/** Folds one message of these items. */
export function apply(view: View, items: readonly Item[], more: Partial<LogMessage> = {}): View {
  return foldAll(view, [message(items, { boot: view.boot.id, ...more })])
}
