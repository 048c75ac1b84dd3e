/** How long a partition remembers its clients, whoever owns it meanwhile. */

import { expect, test } from 'vitest'
import { FLAG_RETRY, FLAG_SESSION } from '../../../src/core/wire/message.ts'
import { A, B, Bench, beaconOf, configOf, exchange, TestClient } from './support.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS

/** A partition whose owner dies again and again; in its place another process comes and is taught. */
class Churned {
  #n = 2
  owner = new Bench(A)
  backup = new Bench(B)

  constructor() {
    const config = configOf({ n: 1, inSync: [A, B], era: 0 })
    for (const bench of [this.owner, this.backup]) bench.adopt(config)
    exchange(this.owner, this.backup)
  }

  passMs(ms: number): void {
    for (const bench of [this.owner, this.backup]) {
      bench.passMs(ms)
      bench.work()
    }
    exchange(this.owner, this.backup)
    // The backup hears of the commit.
    this.backup.partition.onBeacon(
      this.owner.self,
      beaconOf(this.owner, this.owner.owner.commit),
      undefined,
      this.backup.now,
    )
  }

  /** The owner dies, the backup takes over. */
  fail(): void {
    const owner = this.backup
    const alone = configOf({ n: this.#n++, owner: owner.self, inSync: [owner.self], era: 0 })

    // Its clock has nothing to do with that of the one before.
    const backup = new Bench(this.owner.self)
    backup.passMs(this.#n * 12_345)
    // What was on its way to the dead is gone.
    owner.peers.get(backup.self)!.take()
    for (const bench of [owner, backup]) bench.adopt(alone)
    owner.owner.teach(backup.self, owner.now)
    while (owner.proposed.length === 0) {
      owner.work()
      exchange(owner, backup)
      owner.round()
    }
    const { inSync } = owner.proposed.shift()!
    const { ownership } = alone
    const both = configOf({ n: this.#n++, owner: owner.self, inSync, ownership, era: 0 })
    for (const bench of [owner, backup]) bench.adopt(both)
    exchange(owner, backup)
    this.owner = owner
    this.backup = backup
  }

  sessions(): number[] {
    return [this.owner, this.backup].map(({ partition }) => partition.replica!.sessions.size)
  }
}

function clientOf(n: number): TestClient {
  return new TestClient(`${n}`.padStart(2, '0'))
}

test('clients that are gone are forgotten, though no owner lives as long as they are remembered', () => {
  const churned = new Churned()
  for (let minute = 0; minute < 60; minute++) {
    clientOf(minute).put(churned.owner, `k${minute}`, minute)
    exchange(churned.owner, churned.backup)
    churned.passMs(MINUTE_MS)
    if (minute % 3 === 2) churned.fail()
  }
  // Ten minutes, of one client each, and what had not been seen yet of what was due.
  for (const count of churned.sessions()) {
    expect(count).toBeGreaterThanOrEqual(9)
    expect(count).toBeLessThanOrEqual(12)
  }
})

test('a client is remembered for long after its last write, through every owner since', () => {
  const churned = new Churned()
  const client = clientOf(1)
  const call = client.put(churned.owner, 'k', 1)
  exchange(churned.owner, churned.backup)
  for (let minute = 0; minute < 9; minute++) {
    churned.passMs(MINUTE_MS)
    churned.fail()
  }
  client.answers()
  const { head } = churned.owner.owner
  client.put(churned.owner, 'k', 1, { call, flags: FLAG_RETRY | FLAG_SESSION })
  expect(client.answers()).toEqual(['reply 1: nothing'])
  expect(churned.owner.owner.head).toBe(head)
})

test('a client whose writes change nothing is known to whoever takes over', () => {
  const churned = new Churned()
  const client = clientOf(1)
  client.put(churned.owner, 'k', 1)
  for (let minute = 0; minute < 25; minute++) {
    churned.passMs(MINUTE_MS)
    client.remove(churned.owner, 'absent')
    exchange(churned.owner, churned.backup)
  }
  const call = client.remove(churned.owner, 'absent')
  churned.fail()
  churned.passMs(MINUTE_MS)
  client.answers()
  client.remove(churned.owner, 'absent', { call, flags: FLAG_RETRY | FLAG_SESSION })
  exchange(churned.owner, churned.backup)
  expect(client.answers()).not.toEqual([`reply ${call}: SESSION_EXPIRED`])
  expect(churned.sessions()).toEqual([1, 1])
})
