/**
 * The tiny parent of a member process, which can prove that the member is dead.
 *
 * It invents the member's incarnation and a secret, and the member announces the secret's hash. When the child has
 * ended (the kernel says so: it was waited for) the parent reveals the secret in a certificate that goes into the
 * configuration log, and backups take over at once instead of waiting out a grace time. A closed connection would
 * be no proof: the member behind it might still be serving.
 *
 * Orders travel over the channel between the two: the first signal asks the member to leave, which hands its
 * partitions over; a second one kills it. If the parent itself is killed, the member sees the channel close and
 * leaves by itself, for nobody could certify its death any more.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { constants } from 'node:os'
import { type ErrorCode, GridError } from '../core/base/errors.ts'
import type { MemberSettings } from './options.ts'
import { hashSecret } from './secret.ts'

/** How long to try to publish a death certificate before giving up. */
const CERTIFY_MS = 30_000
const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** What the parent tells the member process. */
export type ToChild =
  | { readonly type: 'start'; readonly settings: MemberSettings }
  | { readonly type: 'leave' }

/** What the member process tells its parent. */
export type FromChild =
  | ({ readonly type: 'ready' } & Ready)
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string }
  | { readonly type: 'left' }

export interface Ready {
  readonly id: string
  readonly name: string
  readonly address: string
  /** Process id of the member itself, not of its parent. */
  readonly pid: number
}

export interface Death {
  readonly nats: readonly string[]
  readonly cluster: string
  readonly incarnation: string
  readonly secret: string
}

export interface ParentOptions {
  readonly settings: MemberSettings
  /** The module that runs in the child. */
  readonly entry: URL
  /** Publishes a death certificate. */
  readonly certify: (death: Death) => Promise<void>
  readonly onReady: (ready: Ready) => void
  /** Tells of what is worth a line in the log. */
  readonly onNote: (text: string) => void
}

/**
 * Runs a member in a child process until it ends, and returns the exit code: 0 after a graceful leave, else the
 * child's own (128 + the signal's number when a signal ended it).
 *
 * @throws GridError whatever kept the member from starting
 */
export async function runMemberProcess(options: ParentOptions): Promise<number> {
  const incarnation = randomBytes(16).toString('hex')
  const secret = randomBytes(32).toString('hex')
  const settings = { ...options.settings, incarnation, secretHash: hashSecret(secret) }
  // What modules print goes to standard error: standard output says when the member is ready, and nothing else.
  const child = fork(options.entry, { stdio: ['ignore', 2, 2, 'ipc'] })
  const release = obeySignals(child, options.onNote)
  try {
    const outcome = await lifeOf(child, settings, options.onReady)
    if (outcome.failure !== undefined) throw outcome.failure
    // Even before it was ready: it may have been in the roster already, where it would be waited for.
    if (!outcome.left) {
      const { nats, cluster } = settings
      await certified(options, { nats, cluster, incarnation, secret })
    }
    return outcome.exitCode
  } finally {
    release()
  }
}

interface Outcome {
  readonly left: boolean
  readonly exitCode: number
  readonly failure: GridError | undefined
}

/** Waits for the end of the child and for its last words: `close` comes after both. */
function lifeOf(
  child: ChildProcess,
  settings: MemberSettings,
  onReady: (ready: Ready) => void,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let left = false
    let failure: GridError | undefined
    child.on('message', (message) => {
      const said = message as FromChild
      if (said.type === 'ready') onReady(said)
      else if (said.type === 'left') left = true
      else failure = new GridError(said.code, said.message)
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const exitCode = left ? 0 : (code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
      resolve({ left, exitCode, failure })
    })
    tell(child, { type: 'start', settings })
  })
}

function tell(child: ChildProcess, message: ToChild): void {
  // An error here means that the child is gone, which `close` reports.
  if (child.connected) child.send(message, () => {})
}

/** The first signal asks to leave, the second kills; once the child is gone a signal ends the parent. */
function obeySignals(child: ChildProcess, note: (text: string) => void): () => void {
  let asked = false
  const onSignal = (signal: NodeJS.Signals): void => {
    if (child.exitCode !== null || child.signalCode !== null) process.exit(128 + constants.signals[signal])
    if (asked) {
      note(`${signal} again: killing the member`)
      child.kill('SIGKILL')
      return
    }
    asked = true
    note(`${signal}: the member hands its partitions over and leaves; a second signal kills it`)
    tell(child, { type: 'leave' })
  }
  const onDisconnect = (): void => onSignal('SIGTERM')
  for (const signal of SIGNALS) process.on(signal, onSignal)
  if (process.channel !== undefined) process.on('disconnect', onDisconnect)
  return () => {
    for (const signal of SIGNALS) process.off(signal, onSignal)
    process.off('disconnect', onDisconnect)
  }
}

/** Publishes the certificate; that it could not be published costs the cluster a grace time and nothing else. */
async function certified(options: ParentOptions, death: Death): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not published within ${CERTIFY_MS} ms`)), CERTIFY_MS)
  })
  try {
    await Promise.race([options.certify(death), late])
    options.onNote('the member has ended; its death certificate is published')
  } catch (error) {
    options.onNote(
      `the member has ended; no death certificate: ${error instanceof Error ? error.message : error}`,
    )
  } finally {
    clearTimeout(timer)
  }
}
