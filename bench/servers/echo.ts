/** Calls the bare TCP echo: 119 bytes there and back, one at a time. */

import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Side, sideOf } from '../side.ts'
import { pack, values } from '../value.ts'
import { start } from './child.ts'

export async function startEcho(): Promise<{ readonly side: Side; close(): Promise<void> }> {
  let port = 0
  const path = fileURLToPath(new URL('./echo-server.js', import.meta.url))
  const server = await start({
    name: 'echo',
    command: process.execPath,
    args: [path],
    ready: /ready/,
    ipc: true,
  })
  // A message that came before is kept until somebody listens.
  ;[port] = (await once(server.child, 'message')) as [number]
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  await once(socket, 'connect')
  const bytes = pack(values[0]!)
  let missing = 0
  let answer: (() => void) | undefined
  socket.on('data', (chunk) => {
    missing -= chunk.length
    if (missing === 0) answer?.()
  })
  const call = (): Promise<void> =>
    new Promise((resolve) => {
      missing = bytes.length
      answer = resolve
      socket.write(bytes)
    })
  return {
    side: sideOf('bare TCP echo', `Node ${process.version}`, call),
    async close() {
      socket.destroy()
      await server.end('SIGKILL')
    },
  }
}
