/** Planted bugs: what a filtered watch is told, and from where it goes on. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { Watcher, Watchers } from '../../../src/core/partition/watcher.ts'
import { RowFilter } from '../../../src/core/query/scan.ts'
import { LogStore } from '../../../src/core/store/log-store.ts'
import { noFaults } from '../fault.ts'
import { type Plant, patch } from './plant.ts'

const calm = { mix: noFaults, faultMs: 15_000 } as const

/** Runs `change` around each pumping of a watcher. */
function pumping(begin: () => () => void): () => void {
  return patch(
    Watcher.prototype,
    'pump',
    (original) =>
      function (this: Watcher) {
        const end = begin()
        const more = original.call(this)
        end()
        return more
      },
  )
}

export const filters: Readonly<Record<string, Plant>> = {
  /** The filter is tested on the new value only: what matches no more is not said to leave. */
  leaveNotSent: {
    expects: /was left out|differs/,
    options: calm,
    apply: () => pumping(() => patch(Set.prototype, 'delete', () => () => false)),
  },
  /** What begins to match is told one time in two. */
  enterNotSent: {
    expects: /was left out/,
    options: calm,
    apply: () => {
      let walking = false
      let matched = 0
      const restoreWalk = patch(
        LogStore.prototype,
        'walkTail',
        (original) =>
          function (this: LogStore, ...call) {
            walking = true
            const last = original.apply(this, call)
            walking = false
            return last
          },
      )
      const restore = patch(
        RowFilter.prototype,
        'matches',
        (original) =>
          function (this: RowFilter, ...call) {
            const fits = original.apply(this, call)
            return walking && fits ? matched++ % 2 === 0 : fits
          },
      )
      return () => {
        restore()
        restoreWalk()
      }
    },
  },
  /** The keys that a subscriber brings along to another owner are not kept. */
  broughtForgotten: {
    expects: /was left out/,
    options: { mix: { ...noFaults, leave: 0.5, breakLink: 1, everyMs: 600 }, faultMs: 40_000 },
    apply: () =>
      patch(
        Watchers.prototype,
        'add',
        (original) =>
          function (this: Watchers, client, request) {
            return original.call(this, client, { ...request, held: [] })
          },
      ),
  },
  /** A position of another era counts in this one. */
  otherEraResumed: {
    expects: /another era|was left out|not committed|entries/,
    seed: 6,
    options: { loss: true },
    apply: () => {
      const eras = new WeakMap<Watchers, number>()
      const restoreWork = patch(
        Owner.prototype,
        'work',
        (original) =>
          function (this: Owner, now) {
            eras.set(this.watchers, this.config.era)
            return original.call(this, now)
          },
      )
      const restoreAdd = patch(
        Watchers.prototype,
        'add',
        (original) =>
          function (this: Watchers, client, request) {
            const { resume } = request
            const era = eras.get(this) ?? resume?.era ?? 0
            return original.call(this, client, { ...request, resume: resume && { ...resume, era } })
          },
      )
      return () => {
        restoreAdd()
        restoreWork()
      }
    },
  },
  /** Watchers are told of what is not committed yet. */
  toldUncommitted: {
    expects: /not committed|differs|of another key/,
    options: { mix: { ...noFaults, cut: 0.5, everyMs: 2000 } },
    apply: () =>
      patch(
        Owner.prototype,
        'flush',
        (original) =>
          function (this: Owner) {
            const { commit } = this
            this.commit = Math.max(commit, this.commit < this.firstSeq ? 0 : this.head)
            this.watchers.pump()
            this.commit = commit
            original.call(this)
          },
      ),
  },
}
