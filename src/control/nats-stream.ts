/**
 * The JetStream stream that holds a cluster's log: its settings, and the few requests that it is used with.
 *
 * One stream with two subjects, one for entries and one for checkpoints, so that a rollback of the store takes both
 * back together. Messages are read one by one through the stream's leader (STREAM.MSG.GET): consumers and direct gets
 * may be served by a replica that lags. Deletes and purges are denied, so the only way for a message to go is the
 * limit on their number.
 *
 * A checkpoint names the entry that it covers up to by place *and* time of storing: after a rollback the place may be
 * taken by another entry, and a checkpoint of the lost history must not be believed.
 */

import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
  type StreamInfo,
} from '@nats-io/jetstream'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { GridError } from '../core/base/errors.ts'
import type { NatsTarget } from './nats-connect.ts'

/** Messages that the stream keeps. A checkpoint must be written before as many entries follow it. */
const MESSAGES_MAX = 20_000
/**
 * How long one request may take. When a stream's leader dies, requests on their way get no answer at all, and the
 * next leader is there after about five seconds: shorter and healthy servers count as down, longer and it adds up.
 */
const REQUEST_TIMEOUT_MS = 3000
const DUPLICATE_WINDOW_NS = 120e9
const COVERS = 'Actorgrid-Covers'
/** What a server says, by its version and by chance, when another member creates the same stream at the same time. */
const CREATED_MEANWHILE: readonly unknown[] = [10058, 10065]
const NO_REPLICAS = 10074
const NO_PEERS = 10005

/** A checkpoint as stored; it covers every entry up to and including `covers`. */
export interface StoredCheckpoint {
  readonly message: StoredMsg
  readonly covers: number
  /** When the entry at `covers` was stored, as the server writes it; empty for none. */
  readonly stamp: string
}

export class NatsStream {
  readonly name: string
  readonly configSubject: string
  readonly checkpointSubject: string
  private readonly target: NatsTarget
  private readonly connection: NatsConnection
  private readonly manager: JetStreamManager

  private constructor(target: NatsTarget, connection: NatsConnection, manager: JetStreamManager) {
    this.name = `ACTORGRID_${target.cluster}`
    this.configSubject = `actorgrid.${target.cluster}.config`
    this.checkpointSubject = `actorgrid.${target.cluster}.checkpoint`
    this.target = target
    this.connection = connection
    this.manager = manager
  }

  static async on(target: NatsTarget, connection: NatsConnection): Promise<NatsStream> {
    const manager = await jetstreamManager(connection, { timeout: REQUEST_TIMEOUT_MS })
    return new NatsStream(target, connection, manager)
  }

  /** The stream, created where it is missing and `create` allows it. @throws GridError `CONTROL_UNAVAILABLE` */
  async ensure(create: boolean, replicas: 1 | 3 | undefined): Promise<StreamInfo> {
    const info = (await this.find()) ?? (await this.create(create, replicas))
    const wrong = difference(info, [this.configSubject, this.checkpointSubject])
    if (wrong === undefined) return info
    throw new GridError(
      'CONTROL_UNAVAILABLE',
      `stream ${this.name} at ${this.target.address} was not made for actorgrid: ${wrong}`,
    )
  }

  private async find(): Promise<StreamInfo | undefined> {
    try {
      return await this.manager.streams.info(this.name)
    } catch (error) {
      if (codeOf(error) === JetStreamApiCodes.StreamNotFound) return undefined
      throw error
    }
  }

  private async create(allowed: boolean, replicas: 1 | 3 | undefined): Promise<StreamInfo> {
    const { cluster, address } = this.target
    if (!allowed) {
      throw new GridError('CONTROL_UNAVAILABLE', `no cluster named ${cluster} exists at NATS ${address}`)
    }
    try {
      return await this.manager.streams.add({
        name: this.name,
        subjects: [this.configSubject, this.checkpointSubject],
        description: `Configuration log of the actorgrid cluster ${cluster}`,
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.Old,
        max_msgs: MESSAGES_MAX,
        num_replicas: replicas ?? (this.clustered ? 3 : 1),
        duplicate_window: DUPLICATE_WINDOW_NS,
        deny_delete: true,
        deny_purge: true,
        allow_direct: false,
        allow_rollup_hdrs: false,
      })
    } catch (error) {
      const code = codeOf(error)
      const other = CREATED_MEANWHILE.includes(code) ? await this.find() : undefined
      if (other !== undefined) return other
      if (code !== NO_REPLICAS && code !== NO_PEERS) throw error
      const wanted = `${replicas ?? 3} copies of the log`
      throw new GridError(
        'CONTROL_UNAVAILABLE',
        `NATS at ${address} cannot keep ${wanted}; set replicas to 1`,
        {
          cause: error,
        },
      )
    }
  }

  private get clustered(): boolean {
    return this.connection.info?.cluster !== undefined
  }

  /**
   * Names the incarnation of the store: when the stream was made, and who answers for it. A server's id is new at
   * each start; in a NATS cluster members are connected to different servers, so there it is the stream's leader and
   * since when it leads (nats-server 2.12 and newer tell), and undefined while there is none.
   */
  async evidence(known?: StreamInfo): Promise<string | undefined> {
    const info = known ?? (await this.manager.streams.info(this.name))
    if (!this.clustered) return `${info.created} ${this.connection.info?.server_id}`
    const { leader, leader_since: since = '' } = info.cluster ?? {}
    return leader ? `${info.created} ${leader} ${since}`.trimEnd() : undefined
  }

  /** The message at `seq`, or null where there is none (any more, or yet). */
  at(seq: number): Promise<StoredMsg | null> {
    return this.manager.streams.getMessage(this.name, { seq })
  }

  /** The first entry at or after `seq`, or null at the end of the log. */
  entryFrom(seq: number): Promise<StoredMsg | null> {
    return this.firstOf(this.configSubject, seq)
  }

  private firstOf(subject: string, seq: number): Promise<StoredMsg | null> {
    const query = { seq, next_by_subj: subject }
    return this.manager.streams.getMessage(this.name, query)
  }

  /** The newest checkpoint that can be used with a log which begins at `firstSeq`. */
  async newestCheckpoint(firstSeq: number): Promise<StoredCheckpoint | undefined> {
    const newest = await this.manager.streams.getMessage(this.name, { last_by_subj: this.checkpointSubject })
    if (newest === null) return undefined
    const checkpoint = parseCheckpoint(newest)
    if (checkpoint !== undefined && (await this.usable(checkpoint, firstSeq))) return checkpoint
    // Rare: it was written by a member that had not noticed a rollback, or came late. Look through the older ones.
    let best: StoredCheckpoint | undefined
    for (let seq = firstSeq; ; ) {
      const message = await this.firstOf(this.checkpointSubject, seq)
      if (message === null) return best
      const older = parseCheckpoint(message)
      if (older !== undefined && (await this.usable(older, firstSeq))) best = older
      seq = message.seq + 1
    }
  }

  private async usable(checkpoint: StoredCheckpoint, firstSeq: number): Promise<boolean> {
    const { covers, stamp } = checkpoint
    if (covers + 1 < firstSeq) return false
    const entry = covers === 0 ? null : await this.at(covers)
    return entry === null ? covers < firstSeq : entry.timestamp === stamp
  }

  /** Stores an entry, if the newest one is at `expectedSeq` where that is given. Resolves with its place. */
  async append(bytes: Uint8Array, id: string, expectedSeq: number | undefined): Promise<number> {
    const expect = {
      streamName: this.name,
      ...(expectedSeq === undefined ? {} : { lastSubjectSequence: expectedSeq }),
    }
    const js = this.manager.jetstream()
    return (await js.publish(this.configSubject, bytes, { msgID: id, expect, timeout: REQUEST_TIMEOUT_MS }))
      .seq
  }

  /** Stores a checkpoint. Several members may store the same one at once: only the first is kept. */
  async storeCheckpoint(bytes: Uint8Array, covers: number, stamp: string): Promise<void> {
    const mark = headers()
    mark.set(COVERS, `${covers} ${stamp}`)
    await this.manager.jetstream().publish(this.checkpointSubject, bytes, {
      headers: mark,
      msgID: `checkpoint ${covers} ${stamp}`,
      expect: { streamName: this.name },
      timeout: REQUEST_TIMEOUT_MS,
    })
  }
}

/** Whether an append failed only because the log had moved on. */
export function isRefused(error: unknown): boolean {
  const code = codeOf(error)
  return (
    code === JetStreamApiCodes.StreamWrongLastSequence ||
    code === JetStreamApiCodes.StreamWrongLastSequenceUnknown
  )
}

function codeOf(error: unknown): number | undefined {
  return error instanceof JetStreamApiError ? error.code : undefined
}

function parseCheckpoint(message: StoredMsg): StoredCheckpoint | undefined {
  const parts = /^(\d{1,15}) (\S*)$/.exec(message.header?.get(COVERS) ?? '')
  return parts === null ? undefined : { message, covers: Number(parts[1]), stamp: parts[2]! }
}

/** What is wrong with an existing stream, if anything is: whatever could reorder, drop or hide messages. */
function difference({ config }: StreamInfo, subjects: readonly string[]): string | undefined {
  const same =
    config.subjects.length === subjects.length && subjects.every((s) => config.subjects.includes(s))
  if (!same) return `its subjects are ${config.subjects.join(', ')}`
  if (config.storage !== StorageType.File) return `its storage is ${config.storage}`
  if (config.retention !== RetentionPolicy.Limits) return `its retention is ${config.retention}`
  if (config.discard !== DiscardPolicy.Old) return `its discard policy is ${config.discard}`
  if (config.max_age !== 0) return 'it has a max_age'
  if (config.max_msgs_per_subject > 0) return 'it has a max_msgs_per_subject'
  if (config.max_msgs > 0 && config.max_msgs < 1000) return `its max_msgs is ${config.max_msgs}`
  if (!config.deny_delete || !config.deny_purge) return 'it allows deletes or purges'
  if (config.allow_rollup_hdrs) return 'it allows rollups'
  return undefined
}
