import { describe, expect, test } from 'vitest'
import { checkOptions, type MemberSettings } from '../../src/member/options.ts'
import { type Death, type Ready, runMemberProcess } from '../../src/member/parent.ts'
import { hashSecret } from '../../src/member/secret.ts'

interface Run {
  readonly ended: Promise<number>
  readonly ready: Promise<Ready & MemberSettings>
  readonly deaths: Death[]
  readonly notes: string[]
  /** Delivers a signal to the parent alone, as the kernel would. */
  signal(name: 'SIGTERM' | 'SIGINT'): void
}

function start(name: string, certify?: () => Promise<void>): Run {
  const before = new Set(process.listeners('SIGTERM'))
  const deaths: Death[] = []
  const notes: string[] = []
  let ended: Promise<number> | undefined
  const ready = new Promise<Ready & MemberSettings>((resolve) => {
    ended = runMemberProcess({
      settings: checkOptions({ name, cluster: 'c', nats: ['nats://n:1'] }),
      entry: new URL('../support/fake-member.mjs', import.meta.url),
      certify: async (death) => {
        deaths.push(death)
        await certify?.()
      },
      onReady: (said) => resolve(said as Ready & MemberSettings),
      onNote: (text) => notes.push(text),
    })
  })
  const listener = process.listeners('SIGTERM').find((candidate) => !before.has(candidate))!
  return { ended: ended!, ready, deaths, notes, signal: (signal) => listener(signal) }
}

describe('the parent of a member process', () => {
  test('a signal asks to leave; after that no certificate is needed', async () => {
    const run = start('good')
    await run.ready
    run.signal('SIGTERM')
    expect(await run.ended).toBe(0)
    expect(run.deaths).toEqual([])
  })

  test('reveals the secret of a killed member once it has ended', async () => {
    const run = start('good')
    const { pid, id, secretHash } = await run.ready
    process.kill(pid, 'SIGKILL')
    expect(await run.ended).toBe(137)
    expect(run.deaths).toMatchObject([{ nats: ['nats://n:1'], cluster: 'c', incarnation: id }])
    expect(hashSecret(run.deaths[0]!.secret)).toBe(secretHash)
    expect(() => process.kill(pid, 0)).toThrow()
  })

  test('passes on the exit code of a member that crashed', async () => {
    const run = start('crashing')
    expect(await run.ended).toBe(7)
    expect(run.deaths.length).toBe(1)
  })

  test('reveals the secret of a member that died before it was ready: it may have been in the roster', async () => {
    const run = start('stillborn')
    expect(await run.ended).toBe(9)
    expect(run.deaths.length).toBe(1)
  })

  test('a second signal kills', async () => {
    const run = start('deaf')
    await run.ready
    run.signal('SIGINT')
    run.signal('SIGINT')
    expect(await run.ended).toBe(137)
    expect(run.deaths.length).toBe(1)
  })

  test('a start that fails is reported as what it is', async () => {
    const run = start('failing')
    await expect(run.ended).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: 'PORT_IN_USE: it is taken',
    })
    expect(run.deaths).toEqual([])
  })

  test('a certificate that cannot be published does not keep the parent from ending', async () => {
    const run = start('crashing', () => Promise.reject(new Error('no NATS')))
    expect(await run.ended).toBe(7)
    expect(run.notes.at(-1)).toMatch(/no death certificate: no NATS/)
  })

  test('each start has an incarnation of its own', async () => {
    const runs = [start('crashing'), start('crashing')]
    const [a, b] = await Promise.all(runs.map((run) => run.ready))
    expect(a!.id).toMatch(/^[0-9a-f]{32}$/)
    expect(a!.id).not.toBe(b!.id)
    await Promise.all(runs.map((run) => run.ended))
  })
})
