import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { type NatsServer, startNatsServer } from '../../src/control/nats-server.ts'
import { actorgrid, build, isAlive, type Running, start, startWith } from '../support/cli.ts'
import { removeTemporaryFolders, temporaryFolder } from '../support/temporary-folder.ts'
import { Trace } from '../support/trace.ts'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

beforeAll(build, 300_000)

afterAll(removeTemporaryFolders)

describe('wrong use', () => {
  test('an unknown flag names the nearest one', async () => {
    const { code, stderr } = await actorgrid('start', '--lisen', '127.0.0.1:0')
    expect(code).toBe(2)
    expect(stderr).toContain('--listen')
  })

  test('an unknown key in a configuration file names the nearest one', async () => {
    const file = join(temporaryFolder('cli'), 'member.yaml')
    writeFileSync(file, 'lisen: 127.0.0.1:0\n')
    const { code, stderr } = await actorgrid('start', '--config', file)
    expect(code).toBe(2)
    expect(stderr).toMatch(/BAD_OPTION.*"lisen".*member\.yaml.*listen/)
  })

  test('a value out of bounds', async () => {
    const { code, stderr } = await actorgrid('start', '--backups', '99')
    expect(code).toBe(2)
    expect(stderr).toMatch(/backups = 99 in the command line.*0 to 6/)
  })

  test('an unknown command, and a value that is no JSON', async () => {
    expect((await actorgrid('strat')).code).toBe(2)
    const { code, stderr } = await actorgrid('map', 'put', 'm', 'k', 'plain')
    expect(code).toBe(2)
    expect(stderr).toMatch(/no JSON: plain/)
  })

  test('the help page of start has every option with its name in the environment', async () => {
    const { code, stdout } = await actorgrid('start', '--help')
    expect(code).toBe(0)
    expect(stdout.replace(/\s+/g, ' ')).toMatch(/--grace-ms <ms>.*\[3000\] \(ACTORGRID_GRACE_MS\)/)
    expect(stdout).not.toContain('incarnation')
  })
})

test('a NATS server that cannot be reached is named', async () => {
  const nats = 'nats://127.0.0.1:9'
  const { code, stderr } = await actorgrid('start', '--nats', nats, '--listen', '127.0.0.1:0')
  expect(code).toBe(1)
  expect(stderr).toMatch(/CONTROL_UNAVAILABLE.*127\.0\.0\.1:9/)
}, 60_000)

/** Something that listens on a loopback port: the one given, or any. */
async function occupy(port = 0): Promise<{ server: Server; port: number }> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve)
  })
  return { server, port: (server.address() as { port: number }).port }
}

describe('members', () => {
  let nats: NatsServer
  let cluster = 0
  const args = (...more: string[]): string[] => ['--nats', nats.url, '--cluster', `cli-${cluster}`, ...more]

  beforeAll(async () => {
    nats = await startNatsServer({ storeDir: temporaryFolder('cli') })
  })

  afterAll(async () => {
    await nats.stop()
  })

  const startMember = (name: string, ...more: string[]): Running =>
    start(
      'start',
      '--json',
      ...args('--name', name, '--listen', '127.0.0.1:0', '--found-after-ms', '0', ...more),
    )

  const ready = async (running: Running): Promise<{ pid: number; address: string; name: string }> =>
    JSON.parse(await running.line(/^\{/))

  test('a port in use is named', async () => {
    cluster++
    const { server, port } = await occupy()
    const { code, stderr } = await actorgrid('start', ...args('--listen', `127.0.0.1:${port}`))
    server.close()
    expect(code).toBe(1)
    expect(stderr).toMatch(new RegExp(`PORT_IN_USE.*${port}`))
  })

  test('SIGTERM hands everything over, no call fails meanwhile, and the exit code is 0', async () => {
    cluster++
    const running = ['a', 'b'].map((name) => startMember(name, '--expect-members', '2', '--backups', '0'))
    const [a, b] = await Promise.all(running.map(ready))
    expect(a!.pid).not.toBe(running[0]!.process.pid)
    const grid = await connect({ nats: nats.url, cluster: `cli-${cluster}` })
    const map = grid.map<number, number>('m')
    let puts = 0
    let left = false
    const writer = async (): Promise<void> => {
      while (!left) {
        const key = puts++
        await map.put(key, key)
      }
    }
    const writers = Promise.all(Array.from({ length: 8 }, writer))
    running[0]!.process.kill('SIGTERM')
    expect((await running[0]!.finished).code).toBe(0)
    left = true
    await writers
    expect(puts).toBeGreaterThan(8)
    expect(await map.size()).toBe(puts)
    await grid.close()
    running[1]!.process.kill('SIGTERM')
    expect((await running[1]!.finished).code).toBe(0)
    for (const started of [a!, b!]) expect(isAlive(started.pid)).toBe(false)
  }, 90_000)

  test('a killed member is certified dead by its parent, which passes the signal on as its exit code', async () => {
    cluster++
    const running = ['a', 'b'].map((name) =>
      startMember(name, '--expect-members', '2', '--silent-remove-ms', '600000'),
    )
    const [a] = await Promise.all(running.map(ready))
    await actorgrid('map', 'put', 'm', 'k', '1', ...args())
    process.kill(a!.pid, 'SIGKILL')
    const { code, stderr } = await running[0]!.finished
    expect(code).toBe(137)
    expect(stderr).toMatch(/death certificate is published/)
    expect(await actorgrid('map', 'get', 'm', 'k', ...args())).toMatchObject({ code: 0, stdout: '1\n' })
    running[1]!.process.kill('SIGTERM')
    await running[1]!.finished
  }, 90_000)
})

describe('dev', () => {
  test('runs a cluster that the other commands can use, and leaves nothing behind', async () => {
    const trace = new Trace()
    const dev = startWith(trace.env, 'dev', '--members', '2', '--backups', '1', '--cluster', 'devtest')
    const url = /nats:\/\/\S+/.exec(await dev.line(/^nats /))![0]
    const at = ['--nats', url, '--cluster', 'devtest']

    expect(await actorgrid('map', 'put', 'things', 'k', '{"n":1}', ...at)).toMatchObject({ code: 0 })
    expect(await actorgrid('map', 'put', 'things', '7', '{"n":2}', ...at)).toMatchObject({ code: 0 })
    expect((await actorgrid('map', 'get', 'things', 'k', ...at)).stdout).toBe('{"n":1}\n')
    expect(await actorgrid('map', 'get', 'things', 'nothing', ...at)).toMatchObject({ code: 1, stdout: '' })
    const query = await actorgrid('map', 'query', 'things', '{"n":{"$gt":1}}', ...at)
    expect(JSON.parse(query.stdout)).toEqual({ key: 7, value: { n: 2 } })
    const typo = await actorgrid('map', 'query', 'things', '{"n":{"$gtt":1}}', ...at)
    expect(typo.code).toBe(2)
    expect(typo.stderr).toMatch(/BAD_FILTER.*\$gt/)

    const watch = start('map', 'watch', 'things', '--initial', '--tokens', ...at)
    const shown = JSON.parse(await watch.line(/snapshot/))
    expect(shown).toMatchObject({ type: 'snapshot', partition: expect.any(Number) })
    expect((await actorgrid('map', 'remove', 'things', 'k', ...at)).stdout).toBe('true\n')
    const removed = JSON.parse(await watch.line(/"remove"/))
    expect(removed).toMatchObject({ type: 'remove', key: 'k', partition: expect.any(Number) })
    watch.process.kill('SIGINT')
    expect((await watch.finished).code).toBe(0)

    await actorgrid('map', 'put', 'things', 'later', '1', ...at)
    const resumed = start('map', 'watch', 'things', '--resume', removed.token, ...at)
    const later = await resumed.line(/./)
    expect(JSON.parse(later)).toMatchObject({ type: 'put', key: 'later', value: 1 })
    expect(later).not.toContain('token')
    resumed.process.kill('SIGINT')
    expect((await resumed.finished).code).toBe(0)

    // A reader that has gone away is no failure.
    const unread = start('map', 'watch', 'things', '--initial', ...at)
    await unread.line(/snapshot/)
    unread.process.stdout!.destroy()
    for (let n = 0; unread.process.exitCode === null && n < 200; n++)
      await actorgrid('map', 'put', 'things', 'k', String(n), ...at)
    expect(await unread.finished).toMatchObject({ code: 0, stderr: '' })

    const members = (await actorgrid('members', '--json', ...at)).stdout
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l))
    expect(members.map((member) => member.name).sort()).toEqual(['dev-1', 'dev-2'])
    const partitions = (await actorgrid('partitions', '--json', ...at)).stdout.trim().split('\n')
    expect(partitions.length).toBe(271)
    expect((await actorgrid('members', ...at)).stdout).toMatch(/^NAME +ADDRESS/)

    const lines = await Promise.all([dev.line(/^dev-1 /), dev.line(/^dev-2 /)])
    const pids = lines.map((line) => Number(line.split(/ +/).at(-1)))
    expect(pids.every(isAlive)).toBe(true)
    dev.process.kill('SIGINT')
    expect((await dev.finished).code).toBe(130)
    expect(pids.some(isAlive)).toBe(false)
    expect(trace.left()).toEqual([])
  }, 120_000)

  test('listens where it is told to, else at 4222 if that is free, and says what to export', async () => {
    const { server, port } = await occupy()
    const taken = await actorgrid('dev', '--members', '1', '--port', String(port))
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringMatching(/PORT_IN_USE/) })
    server.close()
    await once(server, 'close')
    const there = start('dev', '--members', '1', '--backups', '0', '--port', String(port), '--cluster', 'own')
    expect(await there.line(/^export ACTORGRID_NATS/)).toBe(`export ACTORGRID_NATS=nats://127.0.0.1:${port}`)
    expect(await there.line(/^export ACTORGRID_CLUSTER/)).toBe('export ACTORGRID_CLUSTER=own')
    there.process.kill('SIGTERM')
    expect((await there.finished).code).toBe(143)

    const usual = await occupy(4222).catch(() => undefined) // else something else has it, which will do
    const elsewhere = start('dev', '--members', '1', '--backups', '0')
    expect(await elsewhere.line(/^export ACTORGRID_NATS/)).not.toMatch(/:4222$/)
    elsewhere.process.kill('SIGTERM')
    expect((await elsewhere.finished).code).toBe(143)
    usual?.server.close()
  }, 120_000)

  test.each([
    ['SIGHUP', 129],
    ['SIGTERM', 143],
  ] as const)(
    'leaves nothing behind when %s goes to its whole group',
    async (signal, code) => {
      const trace = new Trace()
      // `detached` makes it the leader of a group, as a terminal's shell does.
      const dev = spawn(process.execPath, [MAIN, 'dev', '--members', '2'], {
        detached: true,
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, ...trace.env },
      })
      let said = ''
      for await (const chunk of dev.stdout) {
        said += chunk
        if (/^stop /m.test(said)) break
      }
      const pids = [...said.matchAll(/^dev-\d .* (\d+)$/gm)].map(([, pid]) => Number(pid))
      expect(pids.length).toBe(2)
      const exit = once(dev, 'exit')
      process.kill(-dev.pid!, signal)
      expect(await exit).toEqual([code, null])
      expect(pids.filter(isAlive)).toEqual([])
      expect(trace.left()).toEqual([])
    },
    120_000,
  )

  test('without a nats-server it makes no folder', async () => {
    const trace = new Trace()
    const env = { ...trace.env, NATS_SERVER_BIN: '/nowhere/nats-server' }
    const { code, stderr } = await startWith(env, 'dev').finished
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/CONTROL_UNAVAILABLE/) })
    expect(trace.left()).toEqual([])
  })
})

test('Ctrl-C ends a watch that is still connecting, at once', async () => {
  const { server, port } = await occupy() // takes connections and never answers
  const connected = once(server, 'connection')
  const watch = start('map', 'watch', 'things', '--member', `127.0.0.1:${port}`)
  await connected
  watch.process.kill('SIGINT')
  const exit = await once(watch.process, 'exit')
  expect(exit).toEqual([null, 'SIGINT'])
  server.close()
})
