/**
 * The configuration log for one who is no member: an operator's command, or the parent of a member that has died.
 *
 * It folds the log as members do, so it knows what they know, and may put items to it. As for members, the log decides
 * and not the acknowledgement: whoever appends goes on until the view shows what has become of it.
 */

import { randomBytes } from 'node:crypto'
import type { Control, LogEntry } from '../control/control.ts'
import { ByteReader, ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { decodeView } from '../core/membership/checkpoint.ts'
import type { MemberId } from '../core/membership/config.ts'
import { encodeMessage, type Item } from '../core/membership/item.ts'
import { emptyView, foldEntries, type View } from '../core/membership/view.ts'
import { AnnouncementKind, readAnnouncement, writeAnnouncement } from '../core/wire/message.ts'
import { hashSecret } from './secret.ts'

export class LogFollower {
  /** Of whoever appends: new for each follower, in no roster. */
  readonly id: MemberId = newId()
  /** The log as it was when its end was last seen. */
  view: View = emptyView
  /** Members that have said that they are there. */
  readonly heard = new Set<MemberId>()
  readonly #control: Control
  #folding: View = emptyView
  readonly #lookers = new Set<() => void>()

  private constructor(control: Control) {
    this.#control = control
  }

  /** Opens the control; resolves when the log has been read to its end. @throws GridError `CONTROL_UNAVAILABLE` */
  static async open(control: Control): Promise<LogFollower> {
    const log = new LogFollower(control)
    let end!: () => void
    const read = new Promise<void>((resolve) => {
      end = resolve
    })
    await control.open({
      onOpen: (_, checkpoint) => {
        log.#folding = checkpoint ? decodeView(checkpoint.bytes) : emptyView
      },
      onEntries: (entries, caughtUp) => {
        log.#read(entries, caughtUp)
        if (caughtUp) end()
      },
      onDown: () => {},
      onAnnouncement: (bytes) => log.#hear(bytes),
    })
    await read
    return log
  }

  /** Resolves with whether `holds` came true within the time. It is asked whenever something has been read or heard. */
  until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (holds()) end(true)
      }
      const end = (held: boolean): void => {
        clearTimeout(timer)
        this.#lookers.delete(look)
        resolve(held)
      }
      const timer = setTimeout(() => end(false), timeoutMs)
      this.#lookers.add(look)
      look()
    })
  }

  append(items: readonly Item[]): void {
    const { clusterId, boot } = this.view
    const id = newId()
    const message = { v: 1, cluster: clusterId, by: this.id, boot: boot.id, id, items } as const
    this.#control.append(encodeMessage(message), id, undefined)
  }

  /** Asks every member to say that it is there. */
  askWho(): void {
    const w = new ByteWriter(32)
    writeAnnouncement(w, { kind: AnnouncementKind.who, id: '', address: '', info: new Uint8Array(0) })
    this.#control.announce(w.take())
  }

  close(): Promise<void> {
    return this.#control.close()
  }

  #read(entries: readonly LogEntry[], caughtUp: boolean): void {
    this.#folding = foldEntries(this.#folding, entries, hashSecret)
    if (!caughtUp) return
    this.view = this.#folding
    this.#look()
  }

  #hear(bytes: Uint8Array): void {
    try {
      const { kind, id } = readAnnouncement(new ByteReader(bytes))
      if (kind === AnnouncementKind.member) this.heard.add(id)
    } catch (error) {
      if (!(error instanceof GridError)) throw error
    }
    this.#look()
  }

  #look(): void {
    for (const look of [...this.#lookers]) look()
  }
}

/** A new id of 128 bits, as 32 hexadecimal digits. */
export function newId(): string {
  return randomBytes(16).toString('hex')
}
