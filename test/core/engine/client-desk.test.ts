/**
 * What a client is told when the cluster has as many maps as it may have, and what is remembered of calls that come before
 * this member knows of the founding.
 */

import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '../../../src/core/base/bytes.ts'
import { ClientDesk } from '../../../src/core/engine/client-desk.ts'
import type { ConfigLog } from '../../../src/core/engine/config-log.ts'
import type { Settings } from '../../../src/core/engine/settings.ts'
import type { Outlet } from '../../../src/core/partition/context.ts'
import { CallView, MessageType, readMapOpened, writeOpenMap } from '../../../src/core/wire/message.ts'

test('mapsMax does not pass: a client need not ask again', () => {
  const settings = { limits: { mapsMax: 2 } } as unknown as Settings
  const log = { view: { maps: [{}, {}], mapsByName: new Map() } } as unknown as ConfigLog
  const out = new ByteWriter(256)
  const request = new ByteWriter(256)
  writeOpenMap(request, { request: 7, name: 'third', config: new Uint8Array(0) })
  const client = { out, closed: false, wake: () => {} } as unknown as Outlet
  const message = new ByteReader(Buffer.from(request.take()), 4)
  new ClientDesk(settings, log, []).openMap(client, message, { monoMs: 0 } as never)
  const answer = readMapOpened(new ByteReader(Buffer.from(out.take()), 4))
  expect(answer).toMatchObject({ request: 7, outcome: { code: 'TOO_LARGE' } })
})

test('a call that comes too early is sent on, and those behind it may not overtake it', () => {
  const settings = { partitionCount: 4, limits: { callsPerPartitionMax: 100 } } as unknown as Settings
  const desk = new ClientDesk(settings, {} as ConfigLog, [])
  const links = [1, 2].map(
    () => ({ out: new ByteWriter(256), closed: false, wake: () => {} }) as unknown as Outlet,
  )
  const [link, gone] = links as [Outlet, Outlet]
  for (const each of links) desk.refuseEarly(each, Object.assign(new CallView(), { partition: 3, call: 1 }))
  expect(link.out.take()[0]).toBe(MessageType.reply)
  desk.left(gone)
  const order = desk.takeEarly(3)!
  expect(order.admits(link, 2, 0)).toBe(false)
  expect(order.admits(link, 1, 0)).toBe(true)
  expect(order.admits(link, 2, 0)).toBe(true)
  expect(order.admits(gone, 2, 0)).toBe(true)
  expect(desk.takeEarly(2)).toBe(undefined)
})
