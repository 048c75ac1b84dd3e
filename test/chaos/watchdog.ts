/**
 * Sees to it that nothing outlives a chaos run, however that ends: a few lines of shell know the ids of all processes
 * that were started, and kill what is left of them when a pipe that only the runner holds comes to its end.
 */

import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'

const SCRIPT = `
while read -r op id; do
  if [ "$op" = + ]; then all="$all $id"; else
    rest=; for one in $all; do [ "$one" = "$id" ] || rest="$rest $one"; done; all=$rest
  fi
done
for one in $all; do kill -9 "$one" 2>/dev/null; done`

let pipe: Writable | undefined

/** Process `pid` is to be killed when the runner is gone. */
export function guard(pid: number): void {
  pipe ??= begin()
  pipe.write(`+ ${pid}\n`)
}

/** Process `pid` has ended: its number may come again, for somebody else's. */
export function release(pid: number): void {
  pipe?.write(`- ${pid}\n`)
}

function begin(): Writable {
  // In a group of its own: what ends the runner must not end this first.
  const child = spawn('sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  ;(child.stdin as Socket).unref()
  return child.stdin
}
