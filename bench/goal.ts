/**
 * What is wanted of each comparison, and what is promised at least: the one place to look it up, and to add to. The
 * figures are ratios, ours over the rival's; where lower is better, less is more.
 */

export interface Goal {
  readonly bench: string
  readonly inFlight: number | null
  /** The rival that it is about, or the name of a group, of which the best counts. */
  readonly rival: string
  readonly goal: number
  readonly atLeast: number
}

/** Of these the best counts where a goal is about Redis without naming a client. */
export const BEST_REDIS = 'best Redis client'
export const REDIS_CLIENTS = ['ioredis', 'ioredis auto-pipelining', 'node-redis']
export const BEST_EVAL = 'best EVAL'
export const EVAL_SIDES = ['ioredis EVAL', 'ioredis auto-pipelining EVAL']

/** What the longest stall is promised under. */
const STALLS = [
  'loading',
  'overwriting at full rate',
  'under none',
  'under overwriting',
  'under expiry',
  'under eviction',
]

export const GOALS: readonly Goal[] = [
  { bench: 'get ops/s', inFlight: 512, rival: BEST_REDIS, goal: 4, atLeast: 3 },
  { bench: 'put 1 backup ops/s', inFlight: 512, rival: 'ioredis, no replica', goal: 2, atLeast: 1.3 },
  { bench: 'put 1 backup ops/s', inFlight: 64, rival: 'ioredis SET + WAIT 1', goal: 6, atLeast: 4 },
  { bench: 'get p50 ms', inFlight: 1, rival: 'ioredis', goal: 1, atLeast: 1.25 },
  { bench: 'put p50 ms', inFlight: 1, rival: 'ioredis', goal: 1, atLeast: 1.25 },
  { bench: 'counter ops/s', inFlight: 512, rival: BEST_EVAL, goal: 2.5, atLeast: 1.8 },
  { bench: 'getAll keys/s', inFlight: 1, rival: 'ioredis MGET', goal: 2, atLeast: 1.3 },
  { bench: 'putAll keys/s', inFlight: 1, rival: 'ioredis MSET', goal: 2, atLeast: 1.3 },
  { bench: 'get ops/s', inFlight: 512, rival: 'hazelcast-client', goal: 5, atLeast: 3 },
  { bench: 'put ops/s', inFlight: 512, rival: 'hazelcast-client', goal: 5, atLeast: 3 },
  { bench: 'get ops/s', inFlight: 64, rival: 'NATS KV', goal: 8, atLeast: 5 },
  { bench: 'put ops/s', inFlight: 64, rival: 'NATS KV', goal: 8, atLeast: 5 },
  { bench: 'near cache get ops/s', inFlight: 1, rival: 'fixed', goal: 1, atLeast: 0.6 },
  { bench: 'embedded get ops/s', inFlight: 1, rival: 'fixed', goal: 1, atLeast: 0.7 },
  { bench: 'store bytes/entry, 10 M entries', inFlight: null, rival: 'Redis', goal: 0.9, atLeast: 1.1 },
  {
    ...{ bench: 'store bytes/entry overwritten, 10 M entries', inFlight: null, rival: 'Redis' },
    ...{ goal: 0.9, atLeast: 1.1 },
  },
  ...STALLS.map((when) => ({
    // In a fixed 10 ms: 5 are wanted.
    ...{ bench: `longest stall ms, ${when}, 10 M entries`, inFlight: null, rival: 'fixed' },
    ...{ goal: 0.5, atLeast: 1 },
  })),
  { bench: 'get p99 ms during a join with 1 GiB', inFlight: null, rival: 'before', goal: 2, atLeast: 4 },
  { bench: 'put p99 ms during a join with 1 GiB', inFlight: null, rival: 'before', goal: 2, atLeast: 4 },
  // "Well under a second."
  { bench: 'table founding ms', inFlight: null, rival: 'fixed', goal: 0.3, atLeast: 0.5 },
  { bench: 'table join ms', inFlight: null, rival: 'fixed', goal: 0.3, atLeast: 0.5 },
  { bench: 'table leave ms', inFlight: null, rival: 'fixed', goal: 0.3, atLeast: 0.5 },
  { bench: 'scan records/s', inFlight: null, rival: 'fixed', goal: 2, atLeast: 1 },
]

export function goalOf(bench: string, inFlight: number | null, rival: string): Goal | undefined {
  return GOALS.find((goal) => goal.bench === bench && goal.inFlight === inFlight && goal.rival === rival)
}
