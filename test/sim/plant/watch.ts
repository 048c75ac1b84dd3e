/** Planted bugs: what subscribers are told. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { Watcher, Watchers } from '../../../src/core/partition/watcher.ts'
import { type Plant, patch } from './plant.ts'

export const watches: Readonly<Record<string, Plant>> = {
  /** The end of the rows is told before what was left out of them has come by the log. */
  watchFromBase: {
    expects: /the rows end with/,
    seed: 5,
    apply: () => {
      let pumping = false
      const head = Object.getOwnPropertyDescriptor(Owner.prototype, 'head')!
      Object.defineProperty(Owner.prototype, 'head', {
        configurable: true,
        get(this: Owner) {
          return pumping ? 0 : this.replica.store.head
        },
      })
      const restore = patch(
        Watcher.prototype,
        'pump',
        (original) =>
          function (this: Watcher) {
            pumping = true
            const more = original.call(this)
            pumping = false
            return more
          },
      )
      return () => {
        restore()
        Object.defineProperty(Owner.prototype, 'head', head)
      }
    },
  },
  /** Subscribers are told of what is not yet committed. */
  dirtyWatch: {
    expects: /not committed|differs|another key|left out|ends with/,
    apply: () => {
      let teller: Owner | undefined
      const told = <A extends unknown[], R>(original: (this: Owner, ...call: A) => R) =>
        function (this: Owner, ...call: A): R {
          teller = this
          try {
            return original.apply(this, call)
          } finally {
            teller = undefined
          }
        }
      const restoreFlush = patch(Owner.prototype, 'flush', (original) => told(original))
      const restoreWork = patch(Owner.prototype, 'work', (original) => told(original))
      const restorePump = patch(
        Watchers.prototype,
        'work',
        (original) =>
          function (this: Watchers) {
            const { commit = 0 } = teller ?? {}
            if (teller && commit >= teller.firstSeq) teller.commit = teller.head
            const more = original.call(this)
            if (teller) teller.commit = commit
            return more
          },
      )
      return () => {
        restorePump()
        restoreWork()
        restoreFlush()
      }
    },
  },
}
