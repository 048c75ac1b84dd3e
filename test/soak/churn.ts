/**
 * What is done to the members during a soak, one action at a time, with quiet stretches between that belong to nobody:
 * whatever the configuration log shows in one of them has no excuse.
 *
 * The cluster has members that stay, whose figures are judged, and one place whose member is replaced (a new one joins, then
 * it leaves), restarted (it leaves, then a new one joins), killed, or killed with its parent. An action ends when the cluster
 * is at rest again.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { type Random, randomInt, seededRandom } from '../../src/core/base/random.ts'
import type { Cluster } from './cluster.ts'

export type ActionKind = 'replace' | 'kill' | 'restart' | 'vanish'

export interface Action {
  readonly kind: ActionKind | 'rolling'
  readonly fromMs: number
  /** When the cluster was at rest again. */
  readonly toMs: number
}

export interface ChurnOptions {
  readonly seed: number
  readonly quietMs: number
  readonly stay: readonly string[]
  readonly onAction: (text: string) => void
}

const CYCLE: readonly ActionKind[] = ['replace', 'kill', 'restart', 'vanish']

export class Churn {
  readonly actions: Action[] = []
  readonly #cluster: Cluster
  readonly #options: ChurnOptions
  readonly #random: Random
  /** Who has the place that changes hands. */
  #guest: string
  #guests = 1

  constructor(cluster: Cluster, guest: string, options: ChurnOptions) {
    this.#cluster = cluster
    this.#guest = guest
    this.#options = options
    this.#random = seededRandom(options.seed)
  }

  /** Goes on until aborted; resolves at rest. */
  async run(signal: AbortSignal): Promise<void> {
    this.#cluster.ledger.acting = false
    for (let i = 0; ; i++) {
      const { quietMs } = this.#options
      await delay(quietMs + randomInt(this.#random, quietMs / 2), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const kind = CYCLE[i % CYCLE.length]!
      await this.#act(kind, () => this.#do(kind))
    }
  }

  /** Restarts every member, those that stay too, one after the other. */
  async rolling(): Promise<void> {
    await this.#act('rolling', async () => {
      const names = [...this.#cluster.members.keys()]
      for (const name of names) {
        await this.#cluster.leave(name)
        await this.#cluster.add(`${name}-next`)
        await this.#cluster.ledger.atRest(names.length)
      }
    })
  }

  async #act(kind: Action['kind'], action: () => Promise<void>): Promise<void> {
    const { ledger } = this.#cluster
    const fromMs = Date.now()
    ledger.acting = true
    await action()
    await ledger.atRest(this.#options.stay.length + 1)
    ledger.acting = false
    const toMs = Date.now()
    this.actions.push({ kind, fromMs, toMs })
    this.#options.onAction(`${kind} took ${((toMs - fromMs) / 1000).toFixed(1)} s`)
  }

  async #do(kind: ActionKind): Promise<void> {
    const cluster = this.#cluster
    const before = this.#guest
    const after = `guest-${++this.#guests}`
    this.#guest = after
    if (kind === 'replace') {
      await cluster.add(after)
      await cluster.ledger.atRest(this.#options.stay.length + 2)
      await cluster.leave(before)
      return
    }
    if (kind === 'restart') await cluster.leave(before)
    else await cluster.kill(before, kind === 'vanish').ended
    await cluster.add(after)
  }
}
