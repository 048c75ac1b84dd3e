/** Planted bugs: data that is declared lost, and what of it outlives that. */

import { ConfigLog } from '../../../src/core/engine/config-log.ts'
import { heirOf, lostConfig } from '../../../src/core/membership/loss.ts'
import { operationTable } from '../../../src/core/partition/operation.ts'
import { Partition } from '../../../src/core/partition/partition.ts'
import { Operation } from '../../../src/core/wire/message.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

type Row = NonNullable<(typeof operationTable)[number]>

export const losses: Readonly<Record<string, Plant>> = {
  /** Whoever is silent counts as dead, and its data as lost. */
  lossWithoutProof: {
    expects: /is declared lost, but/,
    options: {
      settings: { backups: 1, minInSync: 1, silentRemoveMs: 4000 },
      mix: { ...noFaults, trigger: 1, cut: 1, pause: 1, everyMs: 800 },
      faultMs: 80_000,
    },
    apply: () =>
      patch(
        ConfigLog.prototype,
        'tick',
        (original) =>
          function (this: ConfigLog, now) {
            original.call(this, now)
            const { view } = this
            for (const config of view.configs) {
              if (config.inSync.some((id) => view.members.has(id))) continue
              const heir = heirOf(view, config.partition)
              if (heir !== this.info.id || !this.mayChange) continue
              const id = `${config.id.slice(0, 24)}00000000`
              const next = lostConfig(config, view.gen, heir, id, heir)
              this.ask(`lost ${config.partition} ${config.id}`, { kind: 'lost', next, forced: true }, now)
            }
          },
      ),
  },
  /** A loss is declared without an era of its own. */
  eraNotRaised: {
    expects: /does not recover/,
    options: { loss: true, faultMs: 15_000 },
    apply: () =>
      patch(
        ConfigLog.prototype,
        'ask',
        (original) =>
          function (this: ConfigLog, key, item, now) {
            const same =
              item.kind === 'lost' ? { ...item, next: { ...item.next, era: item.next.era - 1 } } : item
            original.call(this, key, same, now)
          },
      ),
  },
  /** Replicas do not notice that the era has risen. */
  eraNotNoticed: {
    expects: /in name only|does not recover|after it had seen|LOST/,
    options: { loss: true, faultMs: 15_000 },
    apply: () =>
      patch(
        Partition.prototype,
        'adopt',
        (original) =>
          function (this: Partition, config, now) {
            original.call(this, { ...config, era: this.config?.era ?? config.era }, now)
          },
      ),
  },
  /** A version of an era that is over fits an entry of the same seq. */
  otherEraVersion: {
    expects: /may not have been written|not linearizable/,
    seed: 59,
    options: { loss: true, faultMs: 80_000 },
    apply: () => {
      const table = operationTable as Record<number, Row>
      const row = table[Operation.replace]!
      table[Operation.replace] = {
        ...row,
        run: (call) => {
          call.argument.bytes.writeUInt16LE(call.owner.config.era, call.argument.offset + 7)
          row.run(call)
        },
      }
      return () => {
        table[Operation.replace] = row
      }
    },
  },
}
