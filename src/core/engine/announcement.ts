/**
 * What members say of themselves on the control plane, as bytes: hints, which may be lost or repeated. The frame is of
 * wire/message.ts; its `info` is the roster's entry and the cluster that the member belongs to, or none yet.
 */

import { ByteWriter } from '../base/bytes.ts'
import { defaultLimits } from '../base/limits.ts'
import type { MemberInfo } from '../membership/config.ts'
import { fieldsOf, readMember, writeMember } from '../membership/field.ts'
import { AnnouncementKind, writeAnnouncement } from '../wire/message.ts'
import { encodeValue } from '../wire/value.ts'
import { decodeValue } from '../wire/value-decode.ts'

/** Asks every member to say that it is there. */
export function whoIsThere(): Uint8Array {
  const w = new ByteWriter(64)
  writeAnnouncement(w, { kind: AnnouncementKind.who, id: '', address: '', info: new Uint8Array(0) })
  return w.take()
}

export function memberAnnouncement(info: MemberInfo, clusterId: string): Uint8Array {
  const body = new ByteWriter(256)
  encodeValue(body, { member: writeMember(info), clusterId }, defaultLimits)
  const w = new ByteWriter(256)
  writeAnnouncement(w, {
    kind: AnnouncementKind.member,
    id: info.id,
    address: info.address,
    info: body.take(),
  })
  return w.take()
}

/** Reads the `info` of a member's announcement; the cluster is empty where it belongs to none yet. Throws `MALFORMED`. */
export function readMemberAnnouncement(info: Uint8Array): { member: MemberInfo; clusterId: string } {
  const fields = fieldsOf(decodeValue(info, 0, info.length, defaultLimits))
  const clusterId = typeof fields.clusterId === 'string' ? fields.clusterId : ''
  return { member: readMember(fields.member), clusterId }
}
