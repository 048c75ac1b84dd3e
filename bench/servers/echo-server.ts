/** A bare TCP echo: what a round trip between two Node processes costs when nothing is done in it. */

import { createServer } from 'node:net'

const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('data', (chunk) => socket.write(chunk))
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.(typeof address === 'object' && address !== null ? address.port : 0)
  process.stdout.write('ready\n')
})
process.once('disconnect', () => process.exit(0))
