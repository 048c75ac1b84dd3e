import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { startNatsServer } from '../../src/control/nats-server.ts'
import { build, launch, start } from '../support/cli.ts'
import { Trace } from '../support/trace.ts'

beforeAll(build, 300_000)

const example = (name: string): string =>
  fileURLToPath(new URL(`../../build/examples/${name}.js`, import.meta.url))

test('quickstart: a member killed and another joined among real flights, every number equal', async () => {
  const { code, stdout, stderr } = await launch(example('quickstart'), []).finished
  expect(`${stdout}${code === 0 ? '' : stderr}`).toMatch(/^all equal$/m)
  expect(stdout).toMatch(/^cluster +nats-server and 3 member processes/m)
  expect(code).toBe(0)
}, 240_000)

test('quickstart, embedded: the same with all members in one process', async () => {
  const { code, stdout, stderr } = await launch(example('quickstart'), ['--embedded']).finished
  expect(`${stdout}${code === 0 ? '' : stderr}`).toMatch(/^all equal$/m)
  expect(code).toBe(0)
}, 240_000)

test('embedded', async () => {
  expect(await launch(example('embedded'), []).finished).toMatchObject({
    code: 0,
    stdout: '72.96000000000001\n',
  })
}, 60_000)

test('quickstart: a signal closes the cluster and leaves nothing behind', async () => {
  const trace = new Trace()
  const quickstart = launch(example('quickstart'), [], trace.env)
  await quickstart.line(/^cluster /)
  quickstart.process.kill('SIGTERM')
  expect(await quickstart.finished).toMatchObject({ code: 143, stderr: expect.not.stringMatching(/Error/) })
  expect(trace.left()).toEqual([])
}, 120_000)

test('quickstart: run by npm, it ends when the shell does that npm has put between', async () => {
  const trace = new Trace()
  const script = `"${process.execPath}" "${example('quickstart')}"; exit $?`
  const shell = spawn('sh', ['-c', script], {
    env: { ...process.env, ...trace.env, npm_lifecycle_event: 'quickstart' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  for await (const chunk of shell.stdout) if (String(chunk).includes('cluster ')) shell.kill('SIGTERM')
  // Its output has ended, so whoever wrote to it has.
  expect(trace.left()).toEqual([])
}, 120_000)

test('quickstart: what fails beside the stream ends it, and the cluster is closed', async () => {
  const trace = new Trace()
  const quickstart = launch(example('quickstart'), [], trace.env)
  const killed = new Promise<void>((resolve) => {
    quickstart.process.stderr!.on('data', (text) => String(text).includes('has been killed') && resolve())
  })
  await Promise.race([killed, quickstart.finished])
  process.kill(trace.natsPid, 'SIGKILL') // now nobody takes over, or at least nobody can join
  const { code, stderr } = await quickstart.finished
  expect(stderr).toMatch(/^(GridError: |Error: member-4 )/m)
  expect(code).toBe(1)
  expect(trace.left()).toEqual([])
}, 240_000)

test('tour, as README.md has it: on the cluster of `actorgrid dev`', async () => {
  const dev = start('dev', '--modules', example('smooth'))
  await dev.line(/^stop /)
  const url = /nats:\S+/.exec(await dev.line(/^nats /))![0]
  // Where 4222 was free the tour needs nothing; else what dev says.
  const env = url.endsWith(':4222') ? {} : { ACTORGRID_NATS: url }
  const { code, stderr } = await launch(example('tour'), [], env).finished
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  dev.process.kill('SIGINT')
  await dev.finished
}, 120_000)

test('tour, on a member that has loaded its processor', async () => {
  const nats = await startNatsServer({ storeDir: mkdtempSync(join(tmpdir(), 'actorgrid-tour-')) })
  const at = [
    '--nats',
    nats.url,
    '--listen',
    '127.0.0.1:0',
    '--modules',
    example('smooth'),
    '--backups',
    '0',
    '--found-after-ms',
    '0',
  ]
  const member = start('start', '--json', ...at)
  await member.line(/^\{/)
  const { code, stdout, stderr } = await launch(example('tour'), [], { ACTORGRID_NATS: nats.url }).finished
  expect(`${stderr}${stdout}`).toMatch(
    /^71\.2\n74(\.\d+)?\ns-2 93\.5\ns-1 74\S*\nsnapshot\nPROCESSOR_FAILED no\n$/,
  )
  expect(code).toBe(0)
  member.process.kill('SIGTERM')
  expect((await member.finished).code).toBe(0)
  await nats.stop()
}, 60_000)
