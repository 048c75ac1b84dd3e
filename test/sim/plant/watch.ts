/** Planted bugs: what subscribers are told. */

import { Owner } from '../../../src/core/partition/owner.ts'
import { Watcher } from '../../../src/core/partition/watcher.ts'
import { type Plant, patch } from './plant.ts'

export const watches: Readonly<Record<string, Plant>> = {
  /** The end of the rows is told before what was left out of them has come by the log. */
  watchFromBase: {
    expects: /the rows end with/,
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
}
