/**
 * A member in this process: options in, a running part of a cluster out.
 */

import { randomBytes } from 'node:crypto'
import { pathToFileURL } from 'node:url'
import type { Control } from '../control/control.ts'
import { NatsControl } from '../control/nats.ts'
import { GridError } from '../core/base/errors.ts'
import { defaultLimits, SESSION_IDLE_MS } from '../core/base/limits.ts'
import type { Settings } from '../core/engine/settings.ts'
import type { MapConfig, MemberState } from '../core/membership/config.ts'

import type { LocalReader } from '../core/wire/local-reader.ts'
import type { CallView, ReplyView } from '../core/wire/message.ts'
import { isProcessor, type Processor, type ProcessorFunction } from '../core/wire/processor.ts'
import { TcpTransport } from '../transport/tcp.ts'
import type { Transport } from '../transport/transport.ts'
import { readClocks } from './clock.ts'
import { openLog } from './log.ts'
import { checkOptions, type MemberOptions, type MemberSettings } from './options.ts'
import { Runtime } from './runtime.ts'
import { hashSecret } from './secret.ts'

const ROLL_CALL_MS = 30_000
const ROLL_CALL_MIN_MS = 5000
const VERSION = '0.1.0'

/** One partition, as a member sees it. */
export interface PartitionStatus {
  readonly partition: number
  readonly epoch: number
  /** Name of the owner, if it is in the roster. */
  readonly owner: string | undefined
  readonly inSync: readonly string[]
  /** Fewer in-sync replicas than the cluster wants. */
  readonly degraded: boolean
  /** No in-sync replica is left. */
  readonly lost: boolean
}

export interface MemberStatus {
  readonly id: string
  readonly name: string
  readonly address: string
  readonly state: MemberState | 'outside'
  readonly clusterId: string
  /** Place in the configuration log up to which this is true. */
  readonly epochSeq: number
  readonly members: readonly {
    readonly id: string
    readonly name: string
    readonly address: string
    readonly state: MemberState
  }[]
  readonly partitions: readonly PartitionStatus[]
  readonly maps: readonly { readonly id: number; readonly name: string; readonly config: MapConfig }[]
  /** Entries that this member owns. */
  readonly entries: number
  /** Memory of all replicas here, blocks and indexes. */
  readonly storeBytes: number
  readonly controlConnected: boolean
}

/** Clients in this process may be given it, to read what it owns without a link: `connect({ local: member })`. */
export interface Member extends LocalReader {
  /** The incarnation: 32 hexadecimal digits. */
  readonly id: string
  readonly name: string
  /** `host:port` for clients and members. */
  readonly address: string
  status(): MemberStatus
  /** Hands every partition over, leaves the roster and stops. No call fails for it while others are there. */
  leave(): Promise<void>
  /** Stops at once, without handing over; the others take over as if it had died. */
  stop(): Promise<void>
  /** Settles with the reason when the member has stopped, for whatever reason. */
  readonly ended: Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

/** Replaces parts of the edge: embedded clusters run on loopback and a local log. */
export interface MemberSeams {
  readonly transport?: Transport | undefined
  readonly control?: Control | undefined
  /** Processors beside those of `modules`. */
  readonly processors?: readonly Processor<never, never, never, unknown>[] | undefined
  /** How long a founder asks for incumbents before it founds a cluster, in milliseconds. Default 5,000. */
  readonly foundAfterMs?: number | undefined
  /** Gives up a start that is still under way; it then rejects with `NOT_READY`. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Starts a member in this process. Resolves when it takes part: the cluster is founded, and it is in the roster.
 *
 * @throws GridError `BAD_OPTION`, `PORT_IN_USE`, `CONTROL_UNAVAILABLE`, `WRONG_CLUSTER`, `NOT_READY` (stopped before)
 */
export async function startMember(options: MemberOptions = {}, seams: MemberSeams = {}): Promise<Member> {
  const settings = checkOptions(options)
  const log = openLog(settings)
  const processors = await loadProcessors(settings.modules, seams.processors ?? [])
  const id = settings.incarnation ?? randomBytes(16).toString('hex')
  const control =
    seams.control ??
    new NatsControl({
      servers: [...settings.nats],
      cluster: settings.cluster,
      log: (text: string) => log.warn({ kind: 'control' }, text),
    })
  const runtime = new Runtime(engineSettings(settings, seams, id, processors), {
    transport: seams.transport ?? new TcpTransport({ limits: defaultLimits }),
    control,
    cluster: settings.cluster,
    note: (kind, detail, partition) => log[levelOf(kind)]({ kind, partition }, detail),
  })
  const giveUp = (): void => void runtime.stop('its start was given up')
  try {
    const address = settings.advertise ?? (await runtime.listen(settings.listen))
    if (settings.advertise) await runtime.listen(settings.listen)
    runtime.engine.log.info = { ...runtime.engine.log.info, address }
    seams.signal?.addEventListener('abort', giveUp)
    if (seams.signal?.aborted) giveUp()
    else await runtime.join()
    await joined(runtime, id)
    return new RunningMember(runtime, id, settings.name, address)
  } catch (error) {
    await runtime.stop('could not start')
    throw error
  } finally {
    seams.signal?.removeEventListener('abort', giveUp)
  }
}

function levelOf(kind: string): 'error' | 'warn' | 'info' {
  if (kind === 'assertion' || kind === 'failure' || kind === 'conflict' || kind === 'lost') return 'error'
  if (kind === 'roster' || kind === 'founded' || kind === 'takeover') return 'info'
  return 'warn'
}

/** Waits until the log shows this member in the roster. */
async function joined(runtime: Runtime, id: string): Promise<void> {
  let reason: string | undefined
  void runtime.ended.then((why) => {
    reason = why
  })
  while (!runtime.engine.view.members.has(id)) {
    if (reason !== undefined) throw new GridError('NOT_READY', `the member stopped while joining: ${reason}`)
    if (runtime.engine.log.conflicted) throw new GridError('WRONG_CLUSTER', 'the log is of another cluster')
    await runtime.viewChanged()
  }
}

async function loadProcessors(
  modules: readonly string[],
  given: readonly Processor<never, never, never, unknown>[],
): Promise<Map<string, ProcessorFunction>> {
  const processors = new Map<string, ProcessorFunction>()
  const add = (processor: { name: string; run: unknown }, where: string): void => {
    if (processors.has(processor.name)) {
      throw new GridError('BAD_OPTION', `two processors are called '${processor.name}' (${where})`)
    }
    processors.set(processor.name, processor.run as ProcessorFunction)
  }
  for (const processor of given) add(processor, 'processors')
  for (const path of modules) {
    let exports: Record<string, unknown>
    try {
      exports = (await import(pathToFileURL(path).href)) as Record<string, unknown>
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new GridError('BAD_OPTION', `module ${path} cannot be loaded: ${reason}`, { cause: error })
    }
    for (const value of Object.values(exports)) if (isProcessor(value)) add(value, path)
  }
  return processors
}

function engineSettings(
  settings: MemberSettings,
  seams: MemberSeams,
  id: string,
  processors: ReadonlyMap<string, ProcessorFunction>,
): Settings {
  const { beaconMs, suspectMs, leaseMs, graceMs } = settings
  return {
    self: {
      id,
      name: settings.name ?? id,
      address: '',
      zone: settings.zone ?? '',
      host: settings.host ?? '',
      version: VERSION,
      state: 'active',
      secretHash: settings.secretHash ?? '',
    },
    exclusiveName: settings.exclusiveName,
    partitionCount: settings.partitionCount,
    backups: settings.backups,
    minInSync: settings.minInSync,
    expectMembers: settings.expectMembers,
    foundAfterMs: seams.foundAfterMs ?? settings.foundAfterMs,
    timing: { beaconMs, suspectMs, leaseMs, graceMs, sessionIdleMs: SESSION_IDLE_MS },
    rebalanceDelayMs: settings.rebalanceDelayMs,
    silentRemoveMs: settings.silentRemoveMs,
    rollCallMs: ROLL_CALL_MS,
    rollCallMinMs: ROLL_CALL_MIN_MS,
    transfersMax: settings.maxTransfers,
    memoryBytesMax: settings.maxMemoryBytes,
    historyBytes: settings.historyBytes,
    limits: defaultLimits,
    processors,
    random: { next: Math.random },
    newId: () => randomBytes(16).toString('hex'),
    hashSecret,
  }
}

class RunningMember implements Member {
  readonly id: string
  readonly name: string
  readonly address: string
  readonly ended: Promise<string>
  readonly #runtime: Runtime

  constructor(runtime: Runtime, id: string, name: string | undefined, address: string) {
    this.#runtime = runtime
    this.id = id
    this.name = name ?? id
    this.address = address
    this.ended = runtime.ended
  }

  status(): MemberStatus {
    const { engine, controlConnected } = this.#runtime
    const { view } = engine
    const nameOf = (id: string): string => view.members.get(id)?.name ?? id
    let entries = 0
    for (const { owner } of engine.partitions) {
      if (owner) for (const { id } of view.maps) entries += owner.replica.store.count(id)
    }
    return {
      id: this.id,
      name: this.name,
      address: this.address,
      state: view.members.get(this.id)?.state ?? 'outside',
      clusterId: view.clusterId,
      epochSeq: view.version,
      members: [...view.members.values()].map(({ id, name, address, state }) => ({
        id,
        name,
        address,
        state,
      })),
      partitions: view.configs.map(({ partition, epoch, owner, inSync }) => ({
        partition,
        epoch,
        owner: view.members.get(owner)?.name,
        inSync: inSync.map(nameOf),
        degraded: inSync.length < view.backups + 1,
        lost: inSync.every((member) => !view.members.has(member)),
      })),
      maps: view.maps,
      entries,
      storeBytes: engine.pool.usedBytes,
      controlConnected,
    }
  }

  readLocal(call: CallView, answer: ReplyView): boolean {
    return this.#runtime.readLocal(call, answer)
  }

  async leave(): Promise<void> {
    this.#runtime.engine.leave(readClocks())
    await this.ended
  }

  async stop(): Promise<void> {
    await this.#runtime.stop('stopped')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }
}
