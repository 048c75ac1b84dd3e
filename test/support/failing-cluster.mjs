/** A program whose test cluster fails to start, in the way that its argument names; it ends by itself, or was leaked to. */

import { startTestCluster } from '../../dist/testing.js'

const member = {
  PORT_IN_USE: { listen: '127.0.0.1:7400' }, // all of them; the first one has it and waits for the others
  WRONG_CLUSTER: { cluster: 'another' },
}[process.argv[2]]

process.channel?.unref()
await startTestCluster({ member }).catch(({ code }) => process.stdout.write(`${code}\n`))
