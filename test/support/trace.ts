/**
 * What a program leaves behind: it is given a temporary folder of its own, and a nats-server that notes its process id.
 */

import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNatsServer } from '../../src/control/nats-server.ts'
import { isAlive } from './cli.ts'

export class Trace {
  readonly #folder = mkdtempSync(join(tmpdir(), 'actorgrid-trace-'))
  readonly #notes = mkdtempSync(join(tmpdir(), 'actorgrid-notes-'))
  /** For the environment of the program. */
  readonly env: Record<string, string>

  constructor() {
    const server = join(this.#notes, 'nats-server')
    const text = `#!/bin/sh\necho $$ > '${this.#notes}/pid'\nexec '${findNatsServer()}' "$@"\n`
    writeFileSync(server, text, { mode: 0o755 })
    this.env = { TMPDIR: this.#folder, NATS_SERVER_BIN: server }
  }

  /** Process id of the nats-server that was started last. */
  get natsPid(): number {
    return Number(readFileSync(join(this.#notes, 'pid'), 'utf8'))
  }

  /** Folders that are there now, and a nats-server that still runs. */
  left(): string[] {
    const running = readdirSync(this.#notes).includes('pid') && isAlive(this.natsPid)
    return [...readdirSync(this.#folder), ...(running ? ['nats-server'] : [])]
  }
}
