/** Stands in for a member process: obeys its parent, and misbehaves as its name asks. */

let settings
process.on('SIGINT', () => {})
process.on('message', (order) => {
  if (order.type === 'leave') {
    if (settings.name === 'deaf') return
    process.send({ type: 'left' }, () => process.exit(0))
    return
  }
  settings = order.settings
  if (settings.name === 'failing') {
    process.send({ type: 'failed', code: 'PORT_IN_USE', message: 'it is taken' }, () => process.exit(1))
    return
  }
  if (settings.name === 'stillborn') process.exit(9)
  process.send({ type: 'ready', ...settings, id: settings.incarnation, address: 'a:1', pid: process.pid })
  if (settings.name === 'crashing') setImmediate(() => process.exit(7))
})
