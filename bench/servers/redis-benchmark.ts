/** redis-benchmark, a client in C that decodes nothing: what redis-server can do, whoever asks. */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Side } from '../side.ts'
import { KEYS } from '../value.ts'
import type { RedisServer } from './redis.ts'

const CONNECTIONS = 50
/** About what it does in a second, by commands in a pipeline; its rounds are counted, not timed. */
const PER_SECOND: Readonly<Record<number, number>> = { 1: 50_000, 32: 1_000_000 }

/** `pipeline` commands are written together on each of 50 connections. */
export function redisBenchmark(server: RedisServer, operation: 'get' | 'set', pipeline: 1 | 32): Side {
  return {
    name: `redis-benchmark -P ${pipeline}`,
    version: server.version,
    async measure(_load, durationMs) {
      const count = Math.ceil((PER_SECOND[pipeline]! * durationMs) / 1000)
      return { value: await run(server.port, operation, count, pipeline) }
    },
  }
}

/** Puts a value under every key that it gets. */
export async function fillForBenchmark(server: RedisServer): Promise<void> {
  await run(server.port, 'set', 20 * KEYS, 32)
}

async function run(port: number, operation: string, count: number, pipeline: number): Promise<number> {
  const args = [
    '-p',
    port,
    '-c',
    CONNECTIONS,
    '-n',
    count,
    '-P',
    pipeline,
    '-d',
    119,
    '-r',
    KEYS,
    '-t',
    operation,
  ]
  const { stdout } = await promisify(execFile)('redis-benchmark', [...args.map(String), '--csv'])
  const perSecond = Number(/^"[A-Z]+","([\d.]+)"/m.exec(stdout)?.[1])
  if (!(perSecond > 0)) throw new Error(`redis-benchmark said: ${stdout}`)
  return perSecond
}
