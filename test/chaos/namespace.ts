/**
 * Hosts as Linux network namespaces, joined by a bridge that lives in a namespace of its own.
 *
 * A host's link can be pulled out, and what one host sends to another can be lost silently, one way: the sender gets a
 * wrong permanent neighbour entry, so that its packets leave with an address that nobody has. Both ways, that is a
 * partition. No packet filter or traffic control is needed, only root and `ip`. Nothing is added to the network around,
 * except that the runner itself gets a link where it runs in a sandbox, whose network is its own.
 *
 * Names carry the process id of the runner; what runs left behind whose process is gone is removed first.
 */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Host, Hosts } from './host.ts'
import { isSandboxed, sandboxUnavailable } from './sandbox.ts'

const run = promisify(execFile)

/** Undoes a fault. Calling it again does nothing. */
export type Heal = () => Promise<void>

const RUNNER_NUMBER = 254
const HOSTS_MAX = 250
/** Locally administered, and no interface's. */
const NOBODYS_MAC = '02:00:00:00:00:01'

/** Why there can be no hosts of one's own here, or undefined. */
export const namespacesUnavailable = sandboxUnavailable

export class NamespaceHosts implements Hosts {
  /** The runner and its clients, where they are in the same network; only its address means anything. */
  readonly runner: Host | undefined
  readonly #network = ++opened
  readonly #prefix = `ag${process.pid}-${this.#network}-`
  /** Several networks of one runner are told apart by their addresses. */
  readonly #subnet = `10.77.${this.#network % 256}`
  /** The runner's own end of its link. */
  readonly #link = `grid${this.#network}`
  readonly #numbers = new Map<string, number>()
  #lastNumber = 0
  /** How many faults lose what goes from one host to another, by `from>to`. */
  readonly #losses = new Map<string, number>()
  readonly #unplugged = new Map<string, number>()
  /** One command at a time, in the order asked for. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor() {
    const address = `${this.#subnet}.${RUNNER_NUMBER}`
    this.runner = isSandboxed() ? { name: 'runner', address, exec: [] } : undefined
  }

  /** @throws Error that says what is lacking */
  static async open(): Promise<NamespaceHosts> {
    const lacking = namespacesUnavailable()
    if (lacking !== undefined) throw new Error(lacking)
    await removeLeftovers()
    const hosts = new NamespaceHosts()
    await hosts.#makeBridge()
    return hosts
  }

  async #makeBridge(): Promise<void> {
    await this.#do(async () => {
      await ip('netns', 'add', this.#bridge)
      await this.#onBridge('link', 'add', 'bridge', 'type', 'bridge')
      await this.#onBridge('link', 'set', 'bridge', 'up')
      if (this.runner === undefined) return
      await this.#onBridge(
        'link',
        'add',
        'runner',
        'type',
        'veth',
        'peer',
        this.#link,
        'netns',
        `${process.pid}`,
      )
      await this.#onBridge('link', 'set', 'runner', 'master', 'bridge', 'up')
      await ip('addr', 'add', `${this.runner.address}/24`, 'dev', this.#link)
      await ip('link', 'set', this.#link, 'up')
    })
  }

  get #bridge(): string {
    return `${this.#prefix}bridge`
  }

  async add(name: string): Promise<Host> {
    const namespace = this.#prefix + name
    const number = this.#freeNumber()
    this.#numbers.set(namespace, number)
    const address = `${this.#subnet}.${number}`
    await this.#do(async () => {
      await ip('netns', 'add', namespace)
      await this.#onBridge('link', 'add', port(number), 'type', 'veth', 'peer', 'eth0', 'netns', namespace)
      await this.#onBridge('link', 'set', port(number), 'master', 'bridge', 'up')
      await ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
      await ip('-n', namespace, 'link', 'set', 'eth0', 'up')
      await ip('-n', namespace, 'link', 'set', 'lo', 'up')
    })
    return { name: namespace, address, exec: ['ip', 'netns', 'exec', namespace] }
  }

  #freeNumber(): number {
    if (this.#numbers.size === HOSTS_MAX) throw new Error(`more than ${HOSTS_MAX} hosts`)
    const taken = new Set(this.#numbers.values())
    // An address comes again as late as may be: others still know whose it was.
    do this.#lastNumber = (this.#lastNumber % HOSTS_MAX) + 1
    while (taken.has(this.#lastNumber))
    return this.#lastNumber
  }

  async remove(host: Host): Promise<void> {
    const number = this.#numbers.get(host.name)
    if (number === undefined) return
    await this.#do(async () => {
      // A process that still runs there would keep the namespace, and with it the port and the address.
      await this.#onBridge('link', 'del', port(number))
      await ip('netns', 'del', host.name)
    })
    this.#numbers.delete(host.name)
    this.#unplugged.delete(host.name)
    for (const pair of this.#losses.keys()) if (pair.split('>').includes(host.name)) this.#losses.delete(pair)
  }

  async close(): Promise<void> {
    await this.#last
    for (const namespace of [...this.#numbers.keys(), this.#bridge])
      await this.#do(() => ip('netns', 'del', namespace).catch(() => {}))
    this.#numbers.clear()
  }

  /** From now on what `from` sends to `to` vanishes, silently; the other way nothing changes. */
  lose(from: Host, to: Host): Promise<Heal> {
    const [at, link] = from === this.runner ? [[], this.#link] : [['-n', from.name], 'eth0']
    const entry = [to.address, 'dev', link]
    const lost = ['neigh', 'replace', ...entry, 'lladdr', NOBODYS_MAC, 'nud', 'permanent']
    return this.#fault(
      this.#losses,
      `${from.name}>${to.name}`,
      () => ip(...at, ...lost),
      () => (this.#isThere(from) ? ip(...at, 'neigh', 'del', ...entry) : Promise.resolve()),
    )
  }

  /** From now on nothing passes between any of `some` and any of `others`, in neither direction. */
  async separate(some: readonly Host[], others: readonly Host[]): Promise<Heal> {
    const pairs = some.flatMap((one) => others.map((other) => [one, other] as const))
    const heals = await Promise.all(pairs.flatMap(([a, b]) => [this.lose(a, b), this.lose(b, a)]))
    return async () => {
      await Promise.all(heals.map((heal) => heal()))
    }
  }

  /** Pulls the host's cable out: its processes run on, and nobody hears of them. */
  unplug(host: Host): Promise<Heal> {
    const set = (state: 'up' | 'down') => (): Promise<void> => {
      const number = this.#numbers.get(host.name)
      return number === undefined ? Promise.resolve() : this.#onBridge('link', 'set', port(number), state)
    }
    return this.#fault(this.#unplugged, host.name, set('down'), set('up'))
  }

  #isThere(host: Host): boolean {
    return host === this.runner || this.#numbers.has(host.name)
  }

  /** Faults may overlap: the first begins it, and the last to be healed ends it. */
  async #fault(
    counts: Map<string, number>,
    name: string,
    begin: () => Promise<void>,
    end: () => Promise<void>,
  ): Promise<Heal> {
    const add = (change: number): Promise<void> =>
      this.#do(async () => {
        const count = counts.get(name) ?? 0
        // A host that was removed has taken its faults along.
        counts.set(name, Math.max(0, count + change))
        if (count + change === 0) await end()
        else if (count === 0 && change > 0) await begin()
      })
    await add(1)
    let healed: Promise<void> | undefined
    return () => (healed ??= add(-1))
  }

  #onBridge(...args: readonly string[]): Promise<void> {
    return ip('-n', this.#bridge, ...args)
  }

  #do<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

/** Networks that this process has opened, so that a second one does not take the names of the first. */
let opened = 0

function port(number: number): string {
  return `port${number}`
}

async function ip(...args: readonly string[]): Promise<void> {
  await run('ip', args)
}

/** Removes namespaces of runners that have ended without doing so. */
async function removeLeftovers(): Promise<void> {
  const { stdout } = await run('ip', ['netns', 'list'])
  for (const line of stdout.split('\n')) {
    const [name, pid] = /^ag(\d+)-\S+/.exec(line) ?? []
    if (name === undefined || isAlive(Number(pid))) continue
    await ip('netns', 'del', name).catch(() => {}) // another runner may have been faster
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
