/**
 * Hosts on this machine that are reached through proxies: everyone connects to a member through one of its own, and
 * each member to each nats-server through one of its own. Needs no root.
 */

import { createServer } from 'node:net'
import type { Host, Hosts } from './host.ts'
import { TcpProxy } from './proxy.ts'

const ADDRESS = '127.0.0.1'

/** The proxies of one host. */
interface Ways {
  /** To its member, from members and clients. */
  readonly in: TcpProxy
  /** From its member to the nats-servers. */
  nats: readonly TcpProxy[]
}

export class ProxiedHosts implements Hosts {
  readonly #seed: number
  readonly #ways = new Map<string, Ways>()
  #opened = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  async add(name: string): Promise<Host> {
    const listen = `${ADDRESS}:${await freePort()}`
    const ways: Ways = { in: await this.#open(listen), nats: [] }
    this.#ways.set(name, ways)
    const natsVia = async (urls: readonly string[]): Promise<string[]> => {
      ways.nats = await Promise.all(urls.map((url) => this.#open(new URL(url).host)))
      return ways.nats.map(({ address }) => `nats://${address}`)
    }
    return { name, address: ADDRESS, exec: [], listen, advertise: ways.in.address, natsVia }
  }

  #open(target: string): Promise<TcpProxy> {
    return TcpProxy.open(target, { seed: this.#seed + ++this.#opened })
  }

  async remove(host: Host): Promise<void> {
    const ways = this.#ways.get(host.name)
    this.#ways.delete(host.name)
    if (ways !== undefined) await Promise.all([ways.in, ...ways.nats].map((proxy) => proxy.close()))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#ways.keys()].map((name) => this.remove({ name, address: ADDRESS, exec: [] })))
  }

  /** The proxy through which everyone reaches the member of that host. */
  into(host: Host): TcpProxy {
    return this.#waysOf(host).in
  }

  /** The proxies through which the member of that host reaches the nats-servers. */
  toNats(host: Host): readonly TcpProxy[] {
    return this.#waysOf(host).nats
  }

  #waysOf({ name }: Host): Ways {
    const ways = this.#ways.get(name)
    if (ways === undefined) throw new Error(`${name} has no proxies`)
    return ways
  }
}

/** A port below those that the system gives to whoever asks for any. */
function freePort(): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 12_000)
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(freePort()))
    server.listen(port, ADDRESS, () => server.close(() => resolve(port)))
  })
}
