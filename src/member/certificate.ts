/**
 * Publishes the death certificate of a member that has ended: its parent calls this, and nobody else can, for the
 * secret is the parent's alone. Members that hear it check the secret against the roster and put it to the log.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { NatsAnnouncements } from '../control/nats-announcements.ts'
import { ByteWriter } from '../core/base/bytes.ts'
import { AnnouncementKind, writeAnnouncement } from '../core/wire/message.ts'
import type { Death } from './parent.ts'

/** Announcements may be lost, and a member may just be reconnecting: said more than once, it is heard. */
const REPEAT_AFTER_MS = [100, 400, 1500]

/** The announcement that proves a death. */
export function deathCertificate(incarnation: string, secret: string): Uint8Array {
  const w = new ByteWriter(256)
  const info = Buffer.from(secret)
  writeAnnouncement(w, { kind: AnnouncementKind.death, id: incarnation, address: '', info })
  return w.take()
}

/** @throws GridError `CONTROL_UNAVAILABLE` */
export async function publishDeath({ nats, cluster, incarnation, secret }: Death): Promise<void> {
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
