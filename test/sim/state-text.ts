/** How a simulated cluster stands, for people: each partition as the log has it, and as each member has it. */

import type { Partition } from '../../src/core/partition/partition.ts'
import type { ControlStore } from './control-store.ts'
import type { SimMember } from './member.ts'

export function stateText(store: ControlStore, members: readonly SimMember[]): string {
  const host = (id: string): string =>
    members.find((member) => member.id === id)?.host ?? `gone ${id.slice(0, 4)}`
  const { configs, boot, silent, dead, backups, minInSync } = store.view
  const names = (ids: Iterable<string>): string => [...ids].map(host).join()
  const lines = configs.map(
    ({ partition, epoch, owner, inSync, reason }) =>
      `p${partition} e${epoch % 2 ** 32} owner ${host(owner)} in sync ${names(inSync)} (${reason})`,
  )
  for (const { host: name, engine, leaving } of members) {
    const parts = engine.partitions.map((partition) => partitionText(partition, host))
    lines.push(
      `${name}${leaving ? ' leaving' : ''} ready ${engine.log.ready} v${engine.view.version}: ${parts.join('; ')}`,
    )
  }
  lines.push(
    `log at ${store.lastSeq}, backups ${backups}, minInSync ${minInSync}, members ${names(store.view.members.keys())}, silent ${names(silent.keys())}, dead ${names(dead)}, frozen ${boot.frozen}`,
  )
  return lines.join('\n  ')
}

function partitionText(partition: Partition, host: (id: string) => string): string {
  const { id, role, owner, backup, config, unresolved } = partition
  const peers = [...(owner?.log.peers.values() ?? [])].map(
    (p) => `${host(p.id)}:${p.ack}${p.learner ? `L${p.base}` : ''}${p.transfer ? 'T' : ''}`,
  )
  const owning = owner
    ? ` ${owner.commit}/${owner.head}${owner.stopped ? ' stopped' : ''} [${peers.join()}] replies ${owner.replies.size}`
    : ''
  const following = backup ? ` ${backup.commit}${backup.revoked ? ' revoked' : ''}` : ''
  const wish = unresolved ? ` wants e${unresolved.epoch % 2 ** 32} ${unresolved.reason}` : ''
  return `${id} ${role} e${(config?.epoch ?? 0) % 2 ** 32}${owning}${following}${wish}`
}
