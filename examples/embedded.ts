import { startTestCluster } from 'actorgrid/testing'
import { type Reading, smooth } from './smooth.js'

// Three members in this process, without a network or NATS, and a client.
const cluster = await startTestCluster({ members: 3, backups: 1, processors: [smooth] })
const readings = cluster.grid.map<string, Reading>('readings')
await readings.put('s-1', { site: 'plant-3', temp: 71.2, at: new Date() })
cluster.kill(0) // stopped dead: its backups take over, nothing is lost
console.log(await readings.invoke('s-1', smooth, { temp: 80, alpha: 0.2 }))
await cluster.close()
