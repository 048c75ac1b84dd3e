/**
 * The configuration log read along, and each change in it set against what was done to the members: a change that no
 * action explains is a false suspicion, or a loss.
 *
 * What members do because somebody is dead or silent is explained by a kill of exactly that incarnation and by nothing
 * else. What they do to balance is explained while an action is under way, that is until the cluster is at rest again.
 */

import type { Control, ControlHandler, LogEntry } from '../../src/control/control.ts'
import { decodeView } from '../../src/core/membership/checkpoint.ts'
import type { PartitionConfig } from '../../src/core/membership/config.ts'
import { decodeMessage } from '../../src/core/membership/item.ts'
import { targetOf, wishes } from '../../src/core/membership/placement.ts'
import { emptyView, foldEntries, type View } from '../../src/core/membership/view.ts'
import { hashSecret } from '../../src/member/secret.ts'

/** Reasons of configs that a death or a silence gives; all others are of balance. */
const FORCED: ReadonlySet<string> = new Set([
  'dead owner',
  'silent owner',
  'dead',
  'silent',
  'gone',
  'holds nothing',
  'lost',
])

export interface LogChange {
  readonly atMs: number
  readonly seq: number
  /** -1: of the roster. */
  readonly partition: number
  readonly reason: string
  /** Incarnations that are out because of it, and the one that says so. */
  readonly out: readonly string[]
  readonly by: string
  /** A death or a silence is its reason. */
  readonly forced: boolean
  readonly text: string
}

export class Ledger {
  view: View = emptyView
  /** Whether an action of ours is under way. */
  acting = true
  /** Told of each change that no action explains. */
  onUnexplained: (change: LogChange) => void = () => {}
  /**
   * The changes that nothing explains, and no others: an hour of churn has thousands that a kill explains, and to keep
   * their texts made this process grow by several MiB, which was judged as growth of the clients in it.
   */
  readonly #unexplained: LogChange[] = []
  readonly counts: Record<string, number> = {}
  readonly #control: Control
  readonly #killed = new Set<string>()
  readonly #names = new Map<string, string>()
  #lookers: (() => boolean)[] = []
  #caughtUp = false

  private constructor(control: Control) {
    this.#control = control
  }

  static async open(control: Control): Promise<Ledger> {
    const ledger = new Ledger(control)
    const handler: ControlHandler = {
      onOpen: (_, checkpoint) => {
        ledger.#caughtUp = false
        ledger.view = checkpoint ? decodeView(checkpoint.bytes) : emptyView
      },
      onEntries: (entries, caughtUp) => ledger.#read(entries, caughtUp),
      onDown: () => {},
      onAnnouncement: () => {},
    }
    await control.open(handler)
    return ledger
  }

  /** From now on the log may say that this incarnation is dead. To be called before it is killed. */
  kill(incarnation: string): void {
    this.#killed.add(incarnation)
  }

  unexplained(): readonly LogChange[] {
    return this.#unexplained
  }

  /** Resolves when the view meets a condition. */
  until(holds: (view: View) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#lookers.push(() => {
        if (!holds(this.view)) return false
        resolve()
        return true
      })
      this.#look()
    })
  }

  /** Resolves when `members` take part, none of them killed, and every partition is where the table for them wants it. */
  async atRest(members: number): Promise<void> {
    await this.until(
      (view) => isAtRest(view, members) && ![...this.#killed].some((id) => view.members.has(id)),
    )
  }

  close(): Promise<void> {
    return this.#control.close()
  }

  #look(): void {
    this.#lookers = this.#lookers.filter((look) => !look())
  }

  #read(entries: readonly LogEntry[], caughtUp: boolean): void {
    const atMs = Date.now()
    for (const entry of entries) {
      const before = this.view
      this.view = foldEntries(before, [entry], hashSecret)
      for (const { id, name } of this.view.members.values()) this.#names.set(id, name)
      // What was there when reading began has no time.
      if (before.clusterId !== '') this.#compare(before, entry, atMs)
    }
    this.#caughtUp ||= caughtUp
    if (this.#caughtUp) this.#look()
  }

  #compare(before: View, { seq, bytes }: LogEntry, atMs: number): void {
    for (const [partition, next] of this.view.configs.entries()) {
      const last = before.configs[partition]
      if (last === undefined || last === next || last.id === next.id) continue
      const out = last.inSync.filter((id) => !next.inSync.includes(id))
      this.#note({
        atMs,
        seq,
        partition,
        reason: next.reason,
        out,
        by: next.by,
        text: this.#textOf(last, next),
      })
    }
    const message = decodeMessage(bytes)
    for (const item of message?.items ?? []) {
      if (item.kind !== 'remove' || !before.members.has(item.member) || this.view.members.has(item.member))
        continue
      const { member, proof } = item
      const text = `${this.#nameOf(member)} off the roster: ${proof}`
      this.#note({
        atMs,
        seq,
        partition: -1,
        reason: proof === 'left' ? 'leave' : proof,
        out: [member],
        by: message!.by,
        text,
      })
    }
  }

  #note(change: Omit<LogChange, 'forced'>): void {
    const { reason, out } = change
    this.counts[reason] = (this.counts[reason] ?? 0) + 1
    const forced = FORCED.has(reason) || reason === 'certificate' || reason === 'successor'
    const explained = forced
      ? reason !== 'lost' && out.length > 0 && out.every((id) => this.#killed.has(id))
      : this.acting
    if (explained) return
    const found = { ...change, forced }
    this.#unexplained.push(found)
    this.onUnexplained(found)
  }

  #textOf(last: PartitionConfig, next: PartitionConfig): string {
    const set = ({ owner, inSync }: PartitionConfig): string =>
      inSync.map((id) => `${this.#nameOf(id)}${id === owner ? '*' : ''}`).join()
    return `partition ${next.partition}: ${set(last)} -> ${set(next)}: ${next.reason}, by ${this.#nameOf(next.by)}`
  }

  #nameOf(id: string): string {
    return this.#names.get(id) ?? id
  }
}

function isAtRest(view: View, members: number): boolean {
  const { configs, backups } = view
  if (configs.length === 0 || view.members.size !== members || view.target === undefined) return false
  if (targetOf(view) !== undefined || view.boot.frozen) return false
  for (const { id, state } of view.members.values())
    if (state !== 'active' || wishes(view, id).length > 0) return false
  return configs.every(
    ({ inSync }) => inSync.length === backups + 1 && inSync.every((id) => view.members.has(id)),
  )
}
