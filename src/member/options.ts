/**
 * The options of a member: one table that everything else is made from.
 *
 * A row yields the type, the check, the default, the flag (`--listen`), the name in the environment
 * (`ACTORGRID_LISTEN`), the key in a configuration file (`listen`) and the line of the help page, so none of them
 * can disagree with another. Precedence: flags, then environment, then file, then default. An unknown key is refused
 * with the nearest known one, wherever it stands; only in the environment are unknown names ignored, because
 * orchestrators put variables of their own there.
 */

import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { GridError } from '../core/base/errors.ts'
import { suggestion } from '../core/query/path.ts'

type Unit = 'ms' | 'bytes' | undefined

interface Row<T> {
  readonly kind: 'text' | 'integer' | 'list' | 'boolean'
  /** Checks a value of the right kind; texts from flags and the environment are converted first. */
  readonly schema: z.ZodType
  readonly default: T
  readonly unit: Unit
  readonly help: string
  /** Set by the parent process or by code only: no flag, no name in the environment, not in a file. */
  readonly internal: boolean
}

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const HEX = /^[0-9a-f]+$/
const ADDRESS = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/
const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const

const TABLE = {
  nats: list(['nats://127.0.0.1:4222'], 'addresses of the NATS servers, with JetStream'),
  cluster: name('actorgrid', 'name of the cluster; members and clients must say the same'),
  name: optional(word(), 'name of this member, for people to read [host name and process id]'),
  exclusiveName: flag(
    false,
    'no two processes ever run under this name at once (a StatefulSet, or a lock): starting proves the former one dead',
  ),
  listen: row('text', address(), '127.0.0.1:7400', 'address to listen at; port 0 takes any free one'),
  advertise: optional(address(), 'address that others reach this member at [what it listens at]'),
  zone: optional(word(), 'zone of this member; copies of a partition are put into different zones'),
  host: optional(word(), 'machine of this member; copies are put on different machines [host name]'),
  backups: integer(1, 0, 6, 'copies of every partition beside its owner; the founder’s value holds'),
  minInSync: integer(1, 1, 7, 'replicas that must hold a write before it counts; the founder’s value holds'),
  partitionCount: integer(271, 1, 4096, 'partitions of the cluster; the founder’s value holds for its life'),
  expectMembers: integer(1, 1, 1000, 'members to wait for before a new cluster is founded'),
  foundAfterMs: duration(
    5000,
    0,
    'how long a founder asks for an older cluster; 0 only where NATS is new too',
  ),
  modules: list([], 'modules with entry processors to load'),
  maxMemoryBytes: bytes(GIB, 16 * MIB, 'memory for entries, outside the V8 heap'),
  historyBytes: bytes(64 * MIB, 0, 'memory for the history that watchers resume from'),
  beaconMs: duration(250, 10, 'time between two beacons of an owner to its backups'),
  suspectMs: duration(1000, 20, 'silence after which an owner drops a backup from the in-sync set'),
  leaseMs: duration(2000, 40, 'how long an owner may serve reads after a backup was last heard'),
  graceMs: duration(3000, 60, 'silence of an owner after which a backup takes over; at least 1.5 × leaseMs'),
  rebalanceDelayMs: duration(1000, 0, 'wait after a change of the roster before partitions move'),
  silentRemoveMs: duration(15_000, 100, 'silence after which a member is struck off the roster'),
  maxTransfers: integer(4, 1, 64, 'copies of partitions that a member sends to others at the same time'),
  logLevel: row('text', z.enum(LOG_LEVELS), 'info', `how much to log: ${LOG_LEVELS.join(', ')}`),
  incarnation: internal(z.string().length(32).regex(HEX), 'id of this process start'),
  secretHash: internal(z.string().length(64).regex(HEX), 'SHA-256 of the secret that certifies its death'),
} satisfies Record<string, Row<unknown>>

export type MemberOptionName = keyof typeof TABLE
type ValueOf<R> = R extends Row<infer T> ? T : never

/** All options with their values. */
export type MemberSettings = { readonly [K in MemberOptionName]: ValueOf<(typeof TABLE)[K]> }

/** What may be given to `startMember`; everything has a default. Times are in milliseconds, at most an hour. */
export interface MemberOptions {
  /** Addresses of the NATS servers, with JetStream; at least one. Default `['nats://127.0.0.1:4222']`. */
  readonly nats?: readonly string[] | undefined
  /** Name of the cluster; members and clients must say the same. 1–64 of `A–Z a–z 0–9 - _`. Default `'actorgrid'`. */
  readonly cluster?: string | undefined
  /** Name of this member, for people to read. 1–128 characters without spaces. Default: host name and process id. */
  readonly name?: string | undefined
  /**
   * No two processes ever run under this name at once, as a StatefulSet or a lock guarantees: starting then proves the
   * former one dead. Where nothing guarantees it, two owners may serve the same data. Default false.
   */
  readonly exclusiveName?: boolean | undefined
  /** Address to listen at, `host:port`; port 0 takes any free one. Default `'127.0.0.1:7400'`: this machine only. */
  readonly listen?: string | undefined
  /** Address at which members and clients reach this member, `host:port`. Default: what it listens at. */
  readonly advertise?: string | undefined
  /** Zone of this member; copies of a partition are put into different zones. Default: none. */
  readonly zone?: string | undefined
  /** Machine of this member; copies of a partition are put on different machines. Default: host name. */
  readonly host?: string | undefined
  /** Copies of every partition beside its owner. 0–6, default 1. The founder's value holds for the cluster. */
  readonly backups?: number | undefined
  /**
   * Replicas, the owner included, that must hold a write before it counts; with fewer, writes wait. 1–7, at most
   * `backups + 1`, default 1. The founder's value holds for the cluster.
   */
  readonly minInSync?: number | undefined
  /** Partitions of the cluster. 1–4,096, default 271. The founder's value holds for the cluster's life. */
  readonly partitionCount?: number | undefined
  /** Members to wait for before a new cluster is founded. 1–1,000, default 1. */
  readonly expectMembers?: number | undefined
  /**
   * How long a founder asks for an older cluster before it begins a new one, in milliseconds. Default 5,000; 0 only where
   * NATS is new too, for a cluster whose log was lost would not be noticed.
   */
  readonly foundAfterMs?: number | undefined
  /** Modules with entry processors to load, as paths. Default: none. */
  readonly modules?: readonly string[] | undefined
  /** Memory for entries, outside the V8 heap, in bytes; past it writes get `STORE_FULL`. 16 MiB–1 TiB, default 1 GiB. */
  readonly maxMemoryBytes?: number | undefined
  /** Memory for the history that watchers resume from, in bytes. 0–1 TiB, default 64 MiB. */
  readonly historyBytes?: number | undefined
  /** Time between two beacons of an owner to its backups, in milliseconds. From 10, default 250. */
  readonly beaconMs?: number | undefined
  /**
   * Silence after which an owner drops a backup from the in-sync set, in milliseconds. From 20, at least
   * 2 × `beaconMs` and less than `graceMs`, default 1,000.
   */
  readonly suspectMs?: number | undefined
  /**
   * How long an owner may serve reads by itself after a backup was last heard, in milliseconds. From 40, at least
   * 2 × `beaconMs`, default 2,000.
   */
  readonly leaseMs?: number | undefined
  /** Silence of an owner after which a backup takes over, in milliseconds. At least 1.5 × `leaseMs`, default 3,000. */
  readonly graceMs?: number | undefined
  /** Wait after a change of the roster before partitions move, in milliseconds. From 0, default 1,000. */
  readonly rebalanceDelayMs?: number | undefined
  /**
   * Silence after which a member is struck off the roster, in milliseconds. From 100, at least `graceMs`, default 15,000.
   */
  readonly silentRemoveMs?: number | undefined
  /** Copies of partitions that this member, as owner, sends to others at the same time. 1–64, default 4. */
  readonly maxTransfers?: number | undefined
  /** How much to log, to standard error. Default `'info'`. */
  readonly logLevel?: MemberSettings['logLevel'] | undefined
  /** Id of this process start, 32 hex digits: set by the parent process. Default: random. */
  readonly incarnation?: string | undefined
  /** SHA-256 of the secret that certifies this member's death, in hex: set by the parent process. Default: none. */
  readonly secretHash?: string | undefined
}

type OptionsOfTable = { readonly [K in MemberOptionName]?: MemberSettings[K] | undefined }
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Compiles only while the interface says what the table says. */
true satisfies Same<MemberOptions, OptionsOfTable>

/** A row of the table, as flags and help pages need it. */
export interface OptionRow {
  readonly name: MemberOptionName
  /** `--listen` */
  readonly flag: string
  /** What stands after the flag. */
  readonly placeholder: string
  /** `ACTORGRID_LISTEN` */
  readonly environment: string
  readonly default: string
  readonly help: string
  readonly list: boolean
}

const NAMES = Object.keys(TABLE) as MemberOptionName[]
const PUBLIC = NAMES.filter((name) => !TABLE[name].internal)

/** The public options in the order of the table. */
export const optionRows: readonly OptionRow[] = PUBLIC.map((name) => {
  const { kind, unit, help, default: value } = TABLE[name] as Row<unknown>
  return {
    name,
    flag: `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
    placeholder: `<${kind === 'integer' ? (unit ?? 'number') : kind}>`,
    environment: environmentName(name),
    default: value === undefined ? '' : String(value),
    help,
    list: kind === 'list',
  }
})

/** Where options come from; what comes first in this list wins. */
export interface OptionSources {
  /** Values given in code, of their own types. */
  readonly given?: object | undefined
  /** Flags by option name, as texts. */
  readonly flags?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined
  /** Usually `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Path of a YAML or JSON file. */
  readonly file?: string | undefined
}

/**
 * The settings that the sources yield together, checked and with defaults filled in.
 *
 * @throws GridError `BAD_OPTION`: it names the option, the source and, for an unknown key, the nearest known one.
 */
export function resolveOptions(sources: OptionSources): MemberSettings {
  const merged: Record<string, unknown> = {}
  for (const name of NAMES) merged[name] = (TABLE[name] as Row<unknown>).default
  if (sources.file !== undefined)
    add(merged, readOptionFile(sources.file), `configuration file ${sources.file}`)
  if (sources.environment !== undefined) add(merged, fromEnvironment(sources.environment), 'the environment')
  if (sources.flags !== undefined) add(merged, fromTexts(sources.flags), 'the command line')
  if (sources.given !== undefined) add(merged, sources.given, 'the options', NAMES)
  merged.name ??= `${hostname()}-${process.pid}`
  merged.host ??= hostname()
  const settings = merged as unknown as MemberSettings
  checkTogether(settings)
  return settings
}

/** Settings of a member that is started in code. @throws GridError `BAD_OPTION` */
export function checkOptions(options: MemberOptions): MemberSettings {
  return resolveOptions({ given: options })
}

function add(
  target: Record<string, unknown>,
  source: object,
  where: string,
  known: readonly MemberOptionName[] = PUBLIC,
): void {
  for (const [key, value] of Object.entries(source)) {
    if (value === undefined) continue
    const name = known.find((candidate) => candidate === key)
    if (name === undefined)
      throw new GridError('BAD_OPTION', `unknown option "${key}" in ${where}: ${suggestion(key, PUBLIC)}`)
    const result = (TABLE[name] as Row<unknown>).schema.safeParse(value)
    if (!result.success) throw bad(name, where, value, result.error.issues[0]!.message)
    target[name] = result.data
  }
}

function bad(name: string, where: string, value: unknown, problem: string): GridError {
  const text = problem.replace(/^Invalid input: /, '')
  return new GridError('BAD_OPTION', `${name} = ${JSON.stringify(value)} in ${where}: ${text}`)
}

/** What one option alone cannot say. */
function checkTogether(s: MemberSettings): void {
  const rules: readonly (readonly [boolean, string])[] = [
    [s.graceMs >= 1.5 * s.leaseMs, `graceMs (${s.graceMs}) must be at least 1.5 × leaseMs (${s.leaseMs})`],
    [
      s.suspectMs >= 2 * s.beaconMs,
      `suspectMs (${s.suspectMs}) must be at least 2 × beaconMs (${s.beaconMs})`,
    ],
    [s.leaseMs >= 2 * s.beaconMs, `leaseMs (${s.leaseMs}) must be at least 2 × beaconMs (${s.beaconMs})`],
    [s.suspectMs < s.graceMs, `suspectMs (${s.suspectMs}) must be less than graceMs (${s.graceMs})`],
    [
      s.silentRemoveMs >= s.graceMs,
      `silentRemoveMs (${s.silentRemoveMs}) must be at least graceMs (${s.graceMs})`,
    ],
    [
      s.minInSync <= s.backups + 1,
      `minInSync (${s.minInSync}) cannot be more than backups + 1 (${s.backups + 1})`,
    ],
    [s.nats.length > 0, 'nats must name at least one server'],
  ]
  for (const [holds, text] of rules) if (!holds) throw new GridError('BAD_OPTION', text)
}

function readOptionFile(path: string): object {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new GridError('BAD_OPTION', `configuration file ${path} cannot be read`, { cause })
  }
  let content: unknown
  try {
    content = parseYaml(text) // JSON is YAML
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new GridError('BAD_OPTION', `configuration file ${path} is no valid YAML or JSON: ${reason}`, {
      cause,
    })
  }
  if (content === null || content === undefined) return {}
  if (typeof content !== 'object' || Array.isArray(content))
    throw new GridError('BAD_OPTION', `configuration file ${path} must hold a mapping of options to values`)
  return content
}

function fromEnvironment(environment: Readonly<Record<string, string | undefined>>): object {
  const texts: Record<string, string> = {}
  for (const name of PUBLIC) {
    const text = environment[environmentName(name)]
    if (text !== undefined && text !== '') texts[name] = text
  }
  return fromTexts(texts)
}

/** Texts turned into the kinds of their options; what does not convert stays a text, for the check to refuse. */
function fromTexts(texts: Readonly<Record<string, string | readonly string[] | undefined>>): object {
  const result: Record<string, unknown> = {}
  for (const [key, text] of Object.entries(texts)) {
    const kind = PUBLIC.some((name) => name === key) ? TABLE[key as MemberOptionName].kind : 'text'
    if (text === undefined) continue
    if (kind === 'list') result[key] = [text].flat().flatMap((part) => part.split(',').map((s) => s.trim()))
    else if (kind === 'integer' && /^\d+$/.test(String(text))) result[key] = Number(text)
    else if (kind === 'boolean' && (text === 'true' || text === 'false')) result[key] = text === 'true'
    else result[key] = text
  }
  return result
}

function environmentName(name: string): string {
  return `ACTORGRID_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`
}

function row<T>(kind: Row<T>['kind'], schema: z.ZodType<T>, value: T, help: string, unit?: Unit): Row<T> {
  return { kind, schema, default: value, unit, help, internal: false }
}

function optional(schema: z.ZodType<string>, help: string): Row<string | undefined> {
  return row<string | undefined>('text', schema.optional(), undefined, help)
}

function internal(schema: z.ZodType<string>, help: string): Row<string | undefined> {
  return { ...optional(schema, help), internal: true }
}

function list(value: readonly string[], help: string): Row<readonly string[]> {
  return row<readonly string[]>('list', z.array(z.string().min(1)).readonly(), value, help)
}

function flag(value: boolean, help: string): Row<boolean> {
  return row('boolean', z.boolean('must be true or false'), value, help)
}

function integer(value: number, min: number, max: number, help: string, unit?: Unit): Row<number> {
  const bounds = `must be a whole number from ${min} to ${max}`
  const schema = z.number(bounds).int(bounds).min(min, bounds).max(max, bounds)
  return row('integer', schema, value, help, unit)
}

function duration(value: number, min: number, help: string): Row<number> {
  return integer(value, min, 3_600_000, help, 'ms')
}

function bytes(value: number, min: number, help: string): Row<number> {
  return integer(value, min, 1024 * GIB, help, 'bytes')
}

function name(value: string, help: string): Row<string> {
  const form = 'must be 1 to 64 letters, digits, "-" or "_"' // it becomes a part of NATS subjects
  return row('text', z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, form), value, help)
}

function word(): z.ZodType<string> {
  return z.string().regex(/^[^\s\p{C}]{1,128}$/u, 'must be 1 to 128 characters without spaces')
}

function address(): z.ZodType<string> {
  const valid = (text: string): boolean => Number(ADDRESS.exec(text)?.[2] ?? 65_536) <= 65_535
  return z.string().refine(valid, 'must be host:port')
}
