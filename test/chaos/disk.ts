/** A small disk for the stores of nats-servers and the logs of members: a tmpfs, which can be filled up and freed again. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'

const BALLAST_BYTES = 64 * 1024

export class SmallDisk {
  readonly folder: string
  readonly #ballast: string

  private constructor(folder: string) {
    this.folder = folder
    this.#ballast = join(folder, 'ballast')
  }

  /** Needs root, and a mount namespace whose end unmounts it whatever happens. */
  static mount(folder: string, bytes: number): SmallDisk {
    mkdirSync(folder, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'actorgrid-chaos', folder])
    return new SmallDisk(folder)
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder)
    return bavail * bsize
  }

  /** Writes until there is no room for one byte more. */
  fill(): void {
    for (let bytes = BALLAST_BYTES; bytes > 0; bytes >>>= 1) {
      try {
        for (;;) writeFileSync(this.#ballast, Buffer.alloc(bytes), { flag: 'a' })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true })
  }

  /** Unmounts it; whatever wrote there must have ended. With `keep` the files stay, on the disk below. */
  async remove(keep: boolean): Promise<void> {
    this.free()
    const copy = `${this.folder}-kept`
    if (keep) await cp(this.folder, copy, { recursive: true })
    execFileSync('umount', ['--lazy', this.folder])
  }
}
