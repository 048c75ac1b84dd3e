/**
 * What a simulated client needs before it can call: links to all members, the view that they push, maps by name, and who
 * owns which partition.
 */

import { ViewOrder } from '../../src/client/view-order.ts'
import { ByteReader, ByteWriter } from '../../src/core/base/bytes.ts'
import { defaultLimits } from '../../src/core/base/limits.ts'
import {
  beginMessage,
  type ClientView,
  endMessage,
  MessageType,
  ReplyView,
  readMapOpened,
  readView,
  writeOpenMap,
} from '../../src/core/wire/message.ts'
import { encodeValue } from '../../src/core/wire/value.ts'
import { type EndHandler, type LinkEnd, type Network, Process } from './network.ts'
import type { WatchClient } from './watch-client.ts'

/** Maps that are opened now and then and not used. */
const OTHER_MAPS = 12

export interface LinkOptions {
  readonly network: Network
  readonly host: string
  readonly id: string
  readonly addresses: readonly string[]
  /** Maps to open, in the order of `MapOf`. */
  readonly maps: readonly { readonly name: string; readonly config: unknown }[]
  /** A map, by the number of the request that stands for its name, has been given this number. */
  readonly opened: (request: number, id: number) => void
}

export abstract class LinkedClient extends Process {
  readonly #linkOptions: LinkOptions
  readonly #links = new Map<string, LinkEnd | 'dialling'>()
  /** By partition, as far as this client knows. */
  readonly #owners: { readonly epoch: number; readonly owner: string; readonly address?: string }[] = []
  #view: ClientView | undefined
  readonly #boots = new WeakMap<LinkEnd, string>()
  readonly #order = new ViewOrder()
  readonly watches = new Map<string, WatchClient>()
  readonly maps: number[] = []
  protected asleep = false

  constructor(options: LinkOptions) {
    super(options.network, options.host, options.id)
    this.#linkOptions = options
    this.#round()
  }

  protected abstract replied(end: LinkEnd, reply: ReplyView): void
  /** A link is gone, and with it what was under way on it. */
  protected abstract lost(end: LinkEnd): void

  epochOf(partition: number): number {
    return this.#owners[partition]?.epoch ?? 0
  }

  /** The link to the owner of a partition as far as this client knows, or undefined. */
  ownerLink(partition: number): LinkEnd | undefined {
    const { owner, address: told } = this.#owners[partition] ?? {}
    const address = this.#view?.members.find(({ id }) => id === owner)?.address ?? told
    const link = address === undefined ? undefined : this.#links.get(address)
    return link instanceof Object && !link.closed && link.peer.id === owner ? link : undefined
  }

  get openLinks(): LinkEnd[] {
    return [...this.#links.values()].filter((link) => link instanceof Object)
  }

  /** Whether all maps have their numbers. */
  get allOpened(): boolean {
    return this.maps.filter((map) => map > 0).length === this.#linkOptions.maps.length
  }

  // ---- links

  #round(): void {
    const { world } = this
    world.after(world.between(80, 120), () => {
      if (!this.asleep) this.exec(() => this.#look())
      this.#round()
    })
  }

  #look(): void {
    const { world } = this
    for (const address of this.#linkOptions.addresses) if (!this.#links.has(address)) this.#dial(address)
    const open = this.openLinks
    if (open.length > 0 && !this.allOpened) this.#openMaps(world.pick(open))
    if (open.length > 0 && world.chance(0.1)) {
      const end = world.pick(open)
      if (world.chance(0.3)) this.#openAnother(end)
      this.#askForView(end)
    }
    for (const watch of this.watches.values()) watch.follow()
  }

  #askForView(end: LinkEnd): void {
    endMessage(end.out, beginMessage(end.out, MessageType.viewRequest))
    end.wake()
  }

  #openMaps(end: LinkEnd): void {
    this.#linkOptions.maps.forEach(({ name, config }, request) => {
      if (this.maps[request]) return
      const w = new ByteWriter(64)
      encodeValue(w, config, defaultLimits)
      writeOpenMap(end.out, { request, name, config: w.take() })
    })
    end.wake()
  }

  /** One more map that holds nothing, so that there are definitions to lose. */
  #openAnother(end: LinkEnd): void {
    const request = this.#linkOptions.maps.length + this.world.int(OTHER_MAPS)
    writeOpenMap(end.out, { request, name: `other-${request}`, config: new Uint8Array(0) })
  }

  #dial(address: string): void {
    this.#links.set(address, 'dialling')
    let up: LinkEnd | undefined
    const handler: EndHandler = {
      onFrame: (bytes) => this.#frame(up!, bytes),
      onClose: () => this.#closed(address, up),
    }
    this.network.dial(
      this,
      address,
      handler,
      (end) => {
        up = end
        this.#links.set(address, end)
      },
      () => this.#links.delete(address),
    )
  }

  #closed(address: string, end: LinkEnd | undefined): void {
    if (!end || this.#links.get(address) !== end) return
    this.#links.delete(address)
    const [other] = this.openLinks
    if (other) this.#askForView(other)
    for (const watch of this.watches.values()) watch.ended(end)
    this.lost(end)
  }

  #frame(end: LinkEnd, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const size = bytes.readUIntLE(at + 1, 3)
      this.#message(end, bytes[at]!, new ByteReader(bytes, at + 4, at + 4 + size))
      at += 4 + size
    }
  }

  #message(end: LinkEnd, type: number, r: ByteReader): void {
    switch (type) {
      case MessageType.view:
        this.#viewed(end, readView(r))
        return
      case MessageType.reply:
        this.replied(end, new ReplyView().read(r))
        return
      case MessageType.events: {
        const watch = r.u32()
        const partition = r.u16()
        r.offset -= 6
        this.watches.get(`${watch} ${partition}`)?.onEvents(end, r)
        return
      }
      case MessageType.watchEnd:
        this.watches.get(`${r.u32()} ${r.u16()}`)?.ended(end)
        return
      case MessageType.mapOpened: {
        const { request, outcome } = readMapOpened(r)
        if (typeof outcome === 'number') {
          if (request < this.#linkOptions.maps.length) this.maps[request] = outcome
          this.#linkOptions.opened(request, outcome)
        } else if (outcome.code !== 'OVERLOADED') this.world.fail(`map: ${outcome.message}`)
        return
      }
      default:
        this.world.fail(`a client is sent a message of type ${type}`)
    }
  }

  /** As in the real client: a view that is not newer still tells who owns what, by epoch. */
  #viewed(end: LinkEnd, view: ClientView): void {
    const others = this.openLinks.filter((other) => other !== end).map((other) => this.#boots.get(other))
    if (this.#order.supersedes(view, this.#view, this.#boots.get(end), others)) this.#view = view
    this.#boots.set(end, view.boot)
    view.epochs.forEach((epoch, p) => {
      const owner = view.members[view.owners[p]!]
      if (owner) this.learn(p, epoch, owner.id, owner.address)
    })
  }

  protected learn(partition: number, epoch: number, owner: string, address?: string): void {
    if (epoch <= this.epochOf(partition)) return
    this.#owners[partition] = { epoch, owner, ...(address === undefined ? {} : { address }) }
  }
}
