/**
 * Reads as a program in a member's own process makes them: whenever a client makes a call on a key, every member that
 * runs is asked for it too, as of that moment, and whoever answers is held to it like any other. Members that have been replaced, cut off
 * or put to sleep without knowing of it must refuse.
 *
 * Such reads leave no trace in a run (nothing is sent, no chance is drawn), so they change none.
 */

import { CallView, Operation, ReplyView } from '../../src/core/wire/message.ts'
import type { AnswerChecker } from './answer-checker.ts'
import type { CallRecord } from './history.ts'
import type { SimMember } from './member.ts'
import { MapOf, type Request, readAnswer } from './workload.ts'
import type { World } from './world.ts'

export interface LocalProbeOptions {
  readonly world: World
  readonly members: () => readonly SimMember[]
  readonly answers: AnswerChecker
  readonly history: CallRecord[]
}

export class LocalProbe {
  readonly #options: LocalProbeOptions
  readonly #view = new CallView()
  readonly #reply = new ReplyView()
  /** Reads that were answered, and asked of an owner that refused. */
  answered = 0
  refused = 0

  constructor(options: LocalProbeOptions) {
    this.#options = options
  }

  /** Maps whose accesses are counted are left out: to count one draws chance. */
  read(request: Request): void {
    if (request.key.length === 0 || request.place !== MapOf.plain) return
    const get: Request = { ...request, kind: 'get', operation: Operation.get }
    for (const member of this.#options.members()) if (member.alive && !member.paused) this.#ask(member, get)
  }

  #ask(member: SimMember, request: Request): void {
    const { operation, map, partition, key, name, keyHex } = request
    const reply = this.#reply
    const bytes = Buffer.from(key)
    Object.assign(this.#view, { partition, epoch: 0, operation, flags: 0, map })
    Object.assign(this.#view, { bytes, keyStart: 0, keyEnd: bytes.length })
    const now = member.clocks()
    if (!member.engine.reads.answer(this.#view, now, reply)) {
      if (member.engine.partitions[partition]?.owner) this.refused++
      return
    }
    this.answered++
    const { world, answers, history } = this.#options
    const { era, epoch, seq } = reply
    const answer = readAnswer(request, reply)
    answers.check(request, answer, { era, epoch, seq, wallLow: now.wallMs, wallHigh: now.wallMs })
    history.push({
      client: `beside ${member.host}`,
      key: name,
      keyBytes: keyHex,
      partition,
      kind: 'get',
      argument: 0,
      expected: undefined,
      callMs: world.nowMs,
      endMs: world.nowMs,
      result: answer.result,
      era,
      epoch,
      seq,
    })
  }
}
