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
import {
  CallView,
  MessageType,
  readMapOpened,
  readProgress,
  writeOpenMap,
  writeProgressRequest,
  writeUnwatch,
  writeWatch,
} from '../../../src/core/wire/message.ts'
import { A, B as BACKUP, Bench, configOf, TestClient, TestOutlet, watchOf } from '../partition/support.ts'

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

test('whoever asks how far it has been told hears it behind the events of the turn', () => {
  const bench = new Bench(A)
  bench.adopt(configOf({ inSync: [A] }))
  const log = { view: { maps: [{}] } } as unknown as ConfigLog
  const desk = new ClientDesk({} as Settings, log, [bench.partition])
  const client = new TestOutlet('7'.repeat(32))
  const message = (write: (w: ByteWriter) => void): ByteReader => {
    const w = new ByteWriter(256)
    write(w)
    return new ByteReader(Buffer.from(w.take()), 4)
  }
  const ask = (request: number): unknown[] => {
    desk.askProgress(
      client,
      message((w) => writeProgressRequest(w, request)),
    )
    bench.work()
    desk.answerProgress(bench.now)
    return client.take().map((m) => (m.type === MessageType.progress ? readProgress(m.reader()) : m.name))
  }
  const subscribe = (watch: number, keysOnly: boolean): void =>
    desk.watch(
      client,
      message((w) => writeWatch(w, watchOf({ watch, keysOnly, initial: false }))),
    )
  expect(ask(1)).toEqual([{ request: 1, told: [] }])
  subscribe(4, true)
  subscribe(5, false)
  subscribe(6, true)
  const told = [4, 6].map((watch) => ({ watch, partition: 0 }))
  expect(ask(2).at(-1)).toEqual({ request: 2, told })
  new TestClient().put(bench, 'k', 1)
  expect(ask(3)).toEqual(['events', 'events', 'events', { request: 3, told }])
  desk.unwatch(
    client,
    message((w) => writeUnwatch(w, 4, 0)),
  )
  expect(ask(4)).toEqual([{ request: 4, told: told.slice(1) }])
  bench.adopt(configOf({ n: 2, owner: BACKUP, inSync: [BACKUP] }))
  client.take()
  expect(ask(5)).toEqual([{ request: 5, told: [] }])
  desk.answerProgress(bench.now)
  expect(client.take()).toEqual([])
})
