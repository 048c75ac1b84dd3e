import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, test } from 'vitest'
import type { Host } from './host.ts'
import { NamespaceHosts, namespacesUnavailable } from './namespace.ts'

const lacking = namespacesUnavailable()
if (lacking !== undefined) process.stderr.write(`test/chaos/namespace.test.ts is skipped: ${lacking}\n`)

/** Sends what it is told (`ADDRESS TEXT` a line), and says what it has sent and got. */
const PROBE = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (text) => console.log('got ' + text)).bind(9000, () => console.log('ready'))
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [address, text] = line.split(' ')
  socket.send(text, 9000, address, () => console.log('sent ' + text))
})`

class Probe {
  readonly host: Host
  readonly process: ChildProcess
  readonly lines: string[] = []
  #look = (): void => {}

  constructor(host: Host) {
    this.host = host
    const [file, ...args] = [...host.exec, process.execPath, '-e', PROBE]
    this.process = spawn(file!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.lines.push(line)
      this.#look()
    })
  }

  says(line: string): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => this.lines.includes(line) && resolve()
      this.#look()
    })
  }

  /** Resolves when it has left. */
  send(to: Probe, text: string): Promise<void> {
    this.process.stdin!.write(`${to.host.address} ${text}\n`)
    return this.says(`sent ${text}`)
  }

  /** Resolves when it has arrived. */
  async reach(to: Probe, text: string): Promise<void> {
    await this.send(to, text)
    await to.says(`got ${text}`)
  }
}

describe.skipIf(lacking !== undefined)('hosts in network namespaces', () => {
  const networks: NamespaceHosts[] = []
  const probes: Probe[] = []

  async function network(count: number): Promise<{ hosts: NamespaceHosts; probes: Probe[] }> {
    const hosts = await NamespaceHosts.open()
    networks.push(hosts)
    for (let i = 1; i <= count; i++) probes.push(new Probe(await hosts.add(`h${i}`)))
    await Promise.all(probes.map((probe) => probe.says('ready')))
    return { hosts, probes: [...probes] }
  }

  afterEach(async () => {
    for (const { process } of probes.splice(0)) {
      process.kill('SIGKILL')
      await once(process, 'close')
    }
    for (const hosts of networks.splice(0)) await hosts.close()
    expect(namespaces().filter((name) => name.startsWith(`ag${process.pid}-`))).toEqual([])
  })

  test('each has an address of its own, and all reach each other', async () => {
    const { probes } = await network(3)
    expect(new Set(probes.map(({ host }) => host.address)).size).toBe(3)
    for (const from of probes) for (const to of probes) await from.reach(to, `${from.host.name}-greets`)
  })

  test('what is lost one way vanishes, the other way still works, and healing ends it', async () => {
    const { hosts, probes } = await network(2)
    const [one, two] = probes as [Probe, Probe]
    await one.reach(two, 'before')
    const heal = await hosts.lose(one.host, two.host)
    const healToo = await hosts.lose(one.host, two.host)
    await one.send(two, 'lost')
    await two.reach(one, 'back')
    await heal()
    await heal()
    await one.send(two, 'lost-too')
    await healToo()
    await one.reach(two, 'after')
    expect(two.lines.filter((line) => line.startsWith('got'))).toEqual(['got before', 'got after'])
  })

  test('a partition separates two sides and nobody else', async () => {
    const { hosts, probes } = await network(3)
    const [one, two, three] = probes as [Probe, Probe, Probe]
    const heal = await hosts.separate([one.host], [two.host])
    await one.send(two, 'lost')
    await two.send(one, 'lost')
    await one.reach(three, 'a')
    await two.reach(three, 'b')
    await heal()
    await one.reach(two, 'c')
    await two.reach(one, 'd')
    expect([...one.lines, ...two.lines]).not.toContain('got lost')
  })

  test('a host without its link hears nobody and is heard by nobody', async () => {
    const { hosts, probes } = await network(3)
    const [one, two, three] = probes as [Probe, Probe, Probe]
    await two.reach(one, 'before') // now both know where the other is, and what is sent is sent
    const heal = await hosts.unplug(one.host)
    await two.send(one, 'lost')
    await two.reach(three, 'elsewhere')
    await heal()
    await two.reach(one, 'after')
    expect(one.lines).not.toContain('got lost')
  })

  test('a host that was removed takes its faults along', async () => {
    const { hosts, probes } = await network(2)
    const [one, two] = probes as [Probe, Probe]
    const heals = [await hosts.lose(two.host, one.host), await hosts.unplug(one.host)]
    await hosts.remove(one.host)
    for (const heal of heals) await heal()
    expect(namespaces()).not.toContain(one.host.name)
  })

  test('what a runner left behind that has ended is removed', async () => {
    const { pid } = spawnSync('true')
    const name = `ag${pid}-1-left`
    execFileSync('ip', ['netns', 'add', name])
    await network(0)
    expect(namespaces()).not.toContain(name)
  })
})

function namespaces(): string[] {
  const text = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  return text.split('\n').map((line) => line.split(' ')[0]!)
}
