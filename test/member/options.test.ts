import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { checkOptions, optionRows, resolveOptions } from '../../src/member/options.ts'
import { removeTemporaryFolders, temporaryFolder } from '../support/temporary-folder.ts'

afterAll(removeTemporaryFolders)

function file(name: string, content: string): string {
  const path = join(temporaryFolder('options'), name)
  writeFileSync(path, content)
  return path
}

describe('precedence', () => {
  const yaml = file('member.yaml', 'cluster: from-file\nbackups: 2\nmaxTransfers: 7\nnats: [nats://a:1]\n')

  test('flags win over the environment, the environment over the file, the file over the default', () => {
    const settings = resolveOptions({
      flags: { cluster: 'from-flag' },
      environment: { ACTORGRID_CLUSTER: 'from-environment', ACTORGRID_BACKUPS: '3', PATH: '/bin' },
      file: yaml,
    })
    expect(settings.cluster).toBe('from-flag')
    expect(settings.backups).toBe(3)
    expect(settings.maxTransfers).toBe(7)
    expect(settings.nats).toEqual(['nats://a:1'])
    expect(settings.leaseMs).toBe(2000)
  })

  test('lists may be repeated or separated by commas', () => {
    const flags = { modules: ['./a.js', './b.js'], nats: 'nats://a:1, nats://b:2' }
    const settings = resolveOptions({ flags })
    expect(settings.modules).toEqual(['./a.js', './b.js'])
    expect(settings.nats).toEqual(['nats://a:1', 'nats://b:2'])
  })

  test('JSON files, empty files and values in code', () => {
    expect(resolveOptions({ file: file('m.json', '{"zone":"z1"}') }).zone).toBe('z1')
    expect(resolveOptions({ file: file('m.yaml', '') }).backups).toBe(1)
    expect(checkOptions({ backups: 0, name: undefined }).backups).toBe(0)
    expect(checkOptions({ incarnation: '0123456789abcdef0123456789abcdef' }).name).not.toBe('')
  })

  test('what orchestrators put into the environment does no harm', () => {
    expect(resolveOptions({ environment: { ACTORGRID_PORT: 'tcp://10.0.0.1:7400' } }).backups).toBe(1)
  })
})

describe('refusals name the option, the source and what would do', () => {
  const cases: readonly [string, () => unknown, RegExp][] = [
    [
      'typo in a file',
      () => resolveOptions({ file: file('x.yaml', 'bakcups: 2') }),
      /"bakcups".*x\.yaml.*backups/,
    ],
    ['typo in code', () => checkOptions({ lisen: 'x:1' } as object), /"lisen".*did you mean listen/],
    ['typo in case', () => checkOptions({ minInsync: 1 } as object), /did you mean minInSync/],
    [
      'not a number',
      () => resolveOptions({ flags: { backups: 'two' } }),
      /backups = "two" in the command line/,
    ],
    ['a fraction', () => checkOptions({ backups: 1.5 }), /backups = 1.5.*whole number from 0 to 6/],
    [
      'out of bounds',
      () => resolveOptions({ environment: { ACTORGRID_BACKUPS: '9' } }),
      /backups = 9 in the environment/,
    ],
    ['wrong kind', () => checkOptions({ cluster: 5 } as unknown as object), /cluster = 5/],
    ['a bad address', () => checkOptions({ listen: 'here' }), /listen = "here".*host:port/],
    ['a bad port', () => checkOptions({ listen: 'here:99999' }), /host:port/],
    ['a bad cluster name', () => checkOptions({ cluster: 'a.b' }), /cluster = "a\.b"/],
    [
      'grace too short',
      () => checkOptions({ leaseMs: 2000, graceMs: 2999 }),
      /graceMs \(2999\).*1\.5 × leaseMs/,
    ],
    ['minInSync too high', () => checkOptions({ backups: 1, minInSync: 3 }), /minInSync \(3\)/],
    [
      'no file',
      () => resolveOptions({ file: '/nowhere/member.yaml' }),
      /\/nowhere\/member\.yaml cannot be read/,
    ],
    ['broken YAML', () => resolveOptions({ file: file('b.yaml', 'a: [') }), /b\.yaml is no valid YAML/],
    ['a list as file', () => resolveOptions({ file: file('l.yaml', '- 1') }), /must hold a mapping/],
    [
      'internal option in a file',
      () => resolveOptions({ file: file('i.yaml', 'incarnation: x') }),
      /unknown option/,
    ],
    [
      'neither true nor false',
      () => resolveOptions({ flags: { exclusiveName: 'yes' } }),
      /exclusiveName = "yes" in the command line: must be true or false/,
    ],
    ['no server', () => checkOptions({ nats: [] }), /nats must name/],
  ]
  test.each(cases)('%s', (_name, run, message) => {
    expect(run).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) }),
    )
  })
})

test('a boolean is read from a text or given as one', () => {
  expect(checkOptions({}).exclusiveName).toBe(false)
  expect(checkOptions({ exclusiveName: true }).exclusiveName).toBe(true)
  expect(resolveOptions({ environment: { ACTORGRID_EXCLUSIVE_NAME: 'true' } }).exclusiveName).toBe(true)
  expect(resolveOptions({ flags: { exclusiveName: 'false' } }).exclusiveName).toBe(false)
})

test('flags and names in the environment follow from the option names', () => {
  const row = optionRows.find((candidate) => candidate.name === 'maxMemoryBytes')!
  expect(row).toMatchObject({
    flag: '--max-memory-bytes',
    environment: 'ACTORGRID_MAX_MEMORY_BYTES',
    placeholder: '<bytes>',
    default: String(1024 ** 3),
  })
  expect(optionRows.some((candidate) => candidate.name === 'incarnation')).toBe(false)
})

test('what an editor shows of an option names its default, as the table has it', () => {
  const source = readFileSync(new URL('../../src/member/options.ts', import.meta.url), 'utf8')
  const text = /^export interface MemberOptions \{\n([\s\S]*?)^\}/m.exec(source)![1]!
  const fields = text.matchAll(/ {2}\/\*\*([\s\S]*?)\*\/\n {2}readonly (\w+)\?:/g)
  const docs = new Map([...fields].map(([, doc = '', name = '']) => [name, doc.replace(/\s*\n\s*\* /g, ' ')]))
  const mebibytes = 1024 ** 2
  for (const { name, default: value, placeholder } of optionRows) {
    const bytes = Number(value)
    const shown =
      placeholder !== '<bytes>'
        ? value.replace(/^\d+$/, (digits) => Number(digits).toLocaleString('en-US'))
        : bytes < 1024 * mebibytes
          ? `${bytes / mebibytes} MiB`
          : `${bytes / (1024 * mebibytes)} GiB`
    const wanted = value === '' || name === 'modules' ? /Default: / : new RegExp(`[Dd]efault \\W*${shown}\\b`)
    expect(docs.get(name), name).toMatch(wanted)
  }
})

test.each([
  ['beaconMs', 10],
  ['suspectMs', 20],
  ['leaseMs', 40],
  ['silentRemoveMs', 100],
] as const)('%s is refused below the bound that its comment names', (name, least) => {
  expect(() => checkOptions({ [name]: least - 1 })).toThrow(`from ${least} to 3600000`)
})
