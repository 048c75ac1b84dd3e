/** A `ControlHandler` that remembers what it was told, and lets a test wait for it. */

import type { ControlHandler, LogEntry } from '../../src/control/control.ts'

export class ControlRecorder implements ControlHandler {
  /** Every call, in order, in a short form. */
  readonly calls: string[] = []
  readonly evidences: string[] = []
  readonly downs: string[] = []
  readonly announcements: string[] = []
  checkpoint: LogEntry | undefined
  /** Since the last `onOpen`. */
  entries: LogEntry[] = []
  caughtUp = false
  /** Called after entries were noted. */
  afterEntries: (() => void) | undefined
  private waiting: { holds: () => boolean; resolve: () => void }[] = []

  onOpen(evidence: string, checkpoint: LogEntry | undefined): void {
    this.calls.push('open')
    this.evidences.push(evidence)
    this.checkpoint = checkpoint
    this.entries = []
    this.caughtUp = false
    this.changed()
  }

  onEntries(entries: readonly LogEntry[], caughtUp: boolean): void {
    this.calls.push(`entries ${entries.length}${caughtUp ? ' end' : ''}`)
    this.entries.push(...entries)
    this.caughtUp = caughtUp
    this.afterEntries?.()
    this.changed()
  }

  onDown(reason: string): void {
    this.calls.push('down')
    this.downs.push(reason)
    this.changed()
  }

  onAnnouncement(bytes: Uint8Array): void {
    this.announcements.push(Buffer.from(bytes).toString())
    this.changed()
  }

  /** The entries' bytes as text. */
  get texts(): string[] {
    return this.entries.map((entry) => Buffer.from(entry.bytes).toString())
  }

  /** Place of the newest entry that is folded, as an appender has to name it. */
  get lastSeq(): number {
    return this.entries.at(-1)?.seq ?? this.checkpoint?.seq ?? 0
  }

  /** Resolves as soon as the condition holds; looked at after each call. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push({ holds, resolve })
      this.changed()
    })
  }

  private changed(): void {
    this.waiting = this.waiting.filter(({ holds, resolve }) => {
      if (!holds()) return true
      resolve()
      return false
    })
  }
}
