/** A client that watches a map of a cluster, for others to stop: `node watcher.mjs CLUSTER NATS MAP`. */

import { connect } from 'actorgrid'

const [cluster, nats, map] = process.argv.slice(2)
const grid = await connect({ cluster, nats: nats.split(',') })
const watch = grid.map(map).watch({ initial: true })
await watch.ready
process.stdout.write('watching\n')
for await (const _ of watch);
