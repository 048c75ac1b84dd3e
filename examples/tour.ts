import { connect, GridError } from 'actorgrid'
import { type Reading, smooth } from './smooth.js'

const nats = process.env.ACTORGRID_NATS ?? 'nats://127.0.0.1:4222'
const grid = await connect({ nats, cluster: 'actorgrid' })
const readings = grid.map<string, Reading>('readings')

// Entries, each with an expiry if you like; a write is acknowledged when every in-sync replica has it.
await readings.put('s-1', { site: 'plant-3', temp: 71.2, at: new Date() }, { ttlMs: 60_000 })
await readings.putAll([['s-2', { site: 'plant-3', temp: 93.5, at: new Date() }]])
console.log((await readings.get('s-1'))?.temp)

// Compare-and-set, by version.
const entry = await readings.getEntry('s-1')
if (entry) await readings.replace('s-1', { ...entry.value, temp: 72 }, { ifVersion: entry.version })

// Updates that need no deployed code, and entry processors that do: both take effect once, retries included.
await readings.update('s-1', { $inc: { temp: 0.5 }, $set: { site: 'plant-4' } })
console.log(await readings.invoke('s-1', smooth, { temp: 80, alpha: 0.2 }))

// Filters run over the stored bytes, on the members.
for (const { key, value } of await readings.query({
  where: { temp: { $gt: 70 }, site: { $startsWith: 'plant-' } },
  orderBy: [['temp', 'desc']],
  limit: 10,
}))
  console.log(key, value.temp)

// A continuous query: what is there, then every change, in order, across failovers.
for await (const change of readings.watch({ where: { temp: { $gt: 90 } }, initial: true })) {
  console.log(change.type)
  break
}

// Every failure has a code, and says what became of the write: 'no', 'yes' or 'unknown'.
try {
  await readings.invoke('nobody', smooth, { temp: 80, alpha: 0.2 })
} catch (error) {
  if (error instanceof GridError) console.log(error.code, error.applied)
}

await grid.close()
