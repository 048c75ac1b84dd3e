/**
 * Starts the program again in namespaces of its own: mounts, network and processes.
 *
 * What the inner program makes (hosts, mounts, processes, stopped ones too) lives in these namespaces only, so that the
 * kernel takes all of it away when the inner program ends, however it ends, and when the outer one does. Nothing is ever
 * to be seen on the machine around it, and two runs do not meet. Inside, the network holds the loopback interface and
 * what the program adds.
 */

import { spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'

const MARK = 'ACTORGRID_SANDBOX'

/**
 * The first process of a process namespace is to reap those that lost their parent, which Node does not do: hence a shell.
 * `ip` keeps names of network namespaces in /run/netns, hence a mount of our own there.
 */
const INIT = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && "$@"; exit $?'

/** Whether this is the inner program. */
export function isSandboxed(): boolean {
  return process.env[MARK] !== undefined
}

/** Why there can be no sandbox here, or undefined. */
export function sandboxUnavailable(): string | undefined {
  if (process.platform !== 'linux') return `network namespaces need Linux, this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'network namespaces need root: run it with sudo'
  for (const [command, argument, from] of [
    ['ip', '-V', 'iproute2'],
    ['unshare', '--version', 'util-linux'],
  ] as const)
    if (spawnSync(command, [argument], { stdio: 'ignore' }).error !== undefined)
      return `the command ${command} is not installed (Debian: apt-get install ${from})`
  const { status, stderr } = spawnSync('unshare', ['--mount', '--net', 'true'], { encoding: 'utf8' })
  return status === 0 ? undefined : `this machine does not permit namespaces: ${stderr.trim()}`
}

/** Undefined in the inner program; in the outer one runs the inner one to its end and resolves with its exit code. */
export function enterSandbox(): Promise<number | undefined> {
  if (isSandboxed()) return Promise.resolve(undefined)
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const child = spawn('unshare', [...namespaces, 'sh', '-c', INIT, 'sandbox', ...program], {
    env: { ...process.env, [MARK]: '1' },
    stdio: 'inherit',
  })
  // A terminal's Ctrl-C reaches the inner program too, which tidies up; a second one does not wait for that.
  let asked = false
  process.on('SIGINT', () => {
    if (asked) child.kill('SIGKILL')
    asked = true
  })
  process.on('SIGTERM', () => child.kill('SIGKILL'))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]))
  })
}
