/**
 * Publishes the death certificate of a member that has ended: its parent calls this, and nobody else can, for the
 * secret is the parent's alone. Members that hear it check the secret against the roster and put it to the log. Where
 * none is left to hear it, as when a whole cluster goes down, the certificate is put to the log from here: members that
 * start later find the proof, and may begin anew what the dead have held.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { Control } from '../control/control.ts'
import { NatsControl } from '../control/nats.ts'
import { NatsAnnouncements } from '../control/nats-announcements.ts'
import { ByteWriter } from '../core/base/bytes.ts'
import { GridError } from '../core/base/errors.ts'
import { AnnouncementKind, writeAnnouncement } from '../core/wire/message.ts'
import { LogFollower } from './log-follower.ts'
import type { Death } from './parent.ts'

/** Announcements may be lost, and a member may just be reconnecting: said more than once, it is heard. */
const REPEAT_AFTER_MS = [100, 400, 1500]
/** What the log does not show after this time is put to it, again and again. */
const RECORD_AFTER_MS = 500
const RECORD_WITHIN_MS = 10_000
/** For how long no further attempt follows one that failed, and how long all may take together. */
const PUBLISH_AGAIN_MS = 500
const PUBLISH_WITHIN_MS = 28_000

/** The announcement that proves a death. */
export function deathCertificate(incarnation: string, secret: string): Uint8Array {
  const w = new ByteWriter(256)
  const info = Buffer.from(secret)
  writeAnnouncement(w, { kind: AnnouncementKind.death, id: incarnation, address: '', info })
  return w.take()
}

/**
 * Tries again for a while where NATS is away: its host may have gone down with the member's.
 *
 * @throws GridError `CONTROL_UNAVAILABLE`, `TIMEOUT` where the log does not take it
 */
export async function publishDeath(death: Death): Promise<void> {
  const { nats, cluster } = death
  const untilMs = performance.now() + PUBLISH_WITHIN_MS
  for (;;) {
    const control = new NatsControl({ servers: [...nats], cluster })
    try {
      await Promise.all([announceDeath(death), recordDeath(control, death)])
      return
    } catch (error) {
      if (performance.now() + PUBLISH_AGAIN_MS >= untilMs) throw error
    }
    await delay(PUBLISH_AGAIN_MS)
  }
}

async function announceDeath({ nats, cluster, incarnation, secret }: Death): Promise<void> {
  const certificate = deathCertificate(incarnation, secret)
  const announcements = new NatsAnnouncements({ servers: [...nats], cluster })
  await announcements.open(() => {})
  announcements.announce(certificate)
  for (const waitMs of REPEAT_AFTER_MS) {
    await delay(waitMs)
    announcements.announce(certificate)
  }
  await announcements.close()
}

/** Sees to it that the log shows the death. Opens and closes the control. */
export async function recordDeath(
  control: Control,
  { incarnation, secret }: Pick<Death, 'incarnation' | 'secret'>,
): Promise<void> {
  const log = await LogFollower.open(control)
  try {
    const isRecorded = (): boolean => !log.view.members.has(incarnation) && !log.view.silent.has(incarnation)
    for (let waitedMs = 0; !(await log.until(isRecorded, RECORD_AFTER_MS)); waitedMs += RECORD_AFTER_MS) {
      if (waitedMs >= RECORD_WITHIN_MS)
        throw new GridError('TIMEOUT', `the log has not taken the certificate within ${waitedMs} ms`)
      log.append([{ kind: 'remove', member: incarnation, proof: 'certificate', secret }])
    }
  } finally {
    await log.close()
  }
}
