/** An entry processor that counts, against a script in Lua (EVALSHA) and the command INCR that Redis has for it. */

import assert from 'node:assert/strict'
import type { Part } from '../bench.ts'
import { BEST_EVAL, EVAL_SIDES } from '../goal.ts'
import type { Call } from '../load.ts'
import { add } from '../servers/counter.ts'
import { startGrid } from '../servers/grid.ts'
import { ioredisVersion, type RedisServer, startRedis } from '../servers/redis.ts'
import { type Side, sideOf } from '../side.ts'
import { keys } from '../value.ts'

const SCRIPT = `return redis.call('INCRBY', KEYS[1], ARGV[1])`

export const counterPart: Part = {
  name: 'counter',
  about: 'an entry processor against EVAL and INCR',
  async run(bench) {
    const modules = [new URL('../servers/counter.js', import.meta.url)]
    const { grid } = await bench.open(startGrid({ modules }))
    const counters = grid.map<string, number>('counters')
    const redis = await bench.openRival('counter', 'Redis', startRedis)
    if (redis === undefined) return
    const invoke: Call = (id) => counters.invoke(keys[id]!, add, 1)
    assert.deepEqual([await invoke(0), await invoke(0)], [1, 2])
    const rivals = [...(await redisCounters(redis, false)), ...(await redisCounters(redis, true))]
    await bench.compare({
      bench: 'counter ops/s',
      load: { kind: 'rate', inFlight: 512 },
      sides: [sideOf('actorgrid', '', invoke), ...rivals],
      groups: [{ name: BEST_EVAL, members: EVAL_SIDES }],
    })
  },
}

async function redisCounters(redis: RedisServer, enableAutoPipelining: boolean): Promise<Side[]> {
  const client = redis.ioredis({ enableAutoPipelining })
  const sha = String(await client.script('LOAD', SCRIPT))
  const name = enableAutoPipelining ? 'ioredis auto-pipelining' : 'ioredis'
  const version = ioredisVersion(redis)
  return [
    sideOf(`${name} EVAL`, version, (id) => client.evalsha(sha, 1, keys[id]!, 1)),
    sideOf(`${name} INCR`, version, (id) => client.incr(keys[id]!)),
  ]
}
