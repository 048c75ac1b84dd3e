/**
 * The house rules that a compiler does not know: which folder may import which, no cycles (types included), a core
 * without clock, chance, timers or process, files that can be read in one sitting, and an error table that is
 * documented. One table below says it all; a new folder needs a row.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { errorTable } from '../src/core/base/errors.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SRC = join(ROOT, 'src')

/** What the files of a folder may import beside their own folder: folders of ours and packages of others. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'core/base': [],
  'core/wire': ['core/base'],
  'core/ring': ['core/base'],
  'core/membership': ['core/base', 'core/wire', 'core/ring'],
  'core/store': ['core/base', 'core/wire'],
  'core/query': ['core/base', 'core/wire'],
  // A partition's configuration is an item of the log: its type comes from there.
  'core/replication': ['core/base', 'core/wire', 'core/store', 'core/membership'],
  'core/partition': [
    'core/base',
    'core/wire',
    'core/ring',
    'core/store',
    'core/query',
    'core/replication',
    'core/membership',
  ],
  'core/engine': ['core/*'],
  transport: ['core/base', 'core/wire', 'node:*'],
  control: ['core/base', 'core/wire', 'node:*', '@nats-io/*'],
  client: [
    'core/base',
    'core/wire',
    'core/ring',
    'core/query',
    'transport',
    'control',
    'lru-cache',
    'node:*',
  ],
  member: ['core/*', 'transport', 'control', 'node:*', 'pino', 'yaml', 'zod'],
  console: ['core/base', 'member', 'node:*'],
  cli: ['core/base', 'client', 'member', 'console', 'transport', 'control', 'node:*', 'commander', 'pino'],
  'index.ts': ['core/*', 'client', 'member', 'transport', 'control'],
  'testing.ts': ['core/*', 'client', 'member', 'transport', 'control', 'node:*'],
}

/** Files over 450 lines, each with the reason why it is better whole. */
const LONG_FILES: Readonly<Record<string, string>> = {
  'core/store/log-store.ts': 'the one door of a store; its parts have files of their own',
  'core/wire/message.ts': 'one fixed layout a message, read side by side with its counterpart',
}

/** Globals that the core must not touch; time and chance come in as arguments. */
const IMPURE_GLOBALS = [
  'performance',
  'process',
  'crypto',
  'fetch',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'globalThis',
]
const IMPURE_MEMBERS = ['Date.now', 'Math.random']

interface Source {
  readonly path: string
  readonly folder: string
  readonly lines: number
  readonly imports: readonly string[]
  readonly impure: readonly string[]
}

function folderOf(path: string): string {
  const parts = path.split('/')
  if (parts.length === 1) return parts[0]!
  return parts[0] === 'core' ? parts.slice(0, 2).join('/') : parts[0]!
}

function read(path: string): Source {
  const text = readFileSync(join(SRC, path), 'utf8')
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports: string[] = []
  const impure: string[] = []
  const addImport = (node: ts.Node | undefined): void => {
    if (node !== undefined && ts.isStringLiteralLike(node)) imports.push(node.text)
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) addImport(node.moduleSpecifier)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      addImport(node.arguments[0])
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) addImport(node.argument.literal)
    const at = `line ${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
    if (ts.isPropertyAccessExpression(node)) {
      const name = `${node.expression.getText()}.${node.name.text}`
      if (IMPURE_MEMBERS.includes(name) || IMPURE_GLOBALS.includes(node.expression.getText()))
        impure.push(`${name}, ${at}`)
    }
    if (ts.isCallExpression(node) && IMPURE_GLOBALS.includes(node.expression.getText()))
      impure.push(`${node.expression.getText()}(), ${at}`)
    if (
      ts.isNewExpression(node) &&
      node.expression.getText() === 'Date' &&
      (node.arguments?.length ?? 0) === 0
    )
      impure.push(`new Date(), ${at}`)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return { path, folder: folderOf(path), lines: text.split('\n').length - 1, imports, impure }
}

/** The file under src that a relative import means. */
function target(from: string, specifier: string): string {
  return normalize(join(dirname(from), specifier))
}

const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map(read)
const byPath = new Map(sources.map((source) => [source.path, source]))

function allowed(source: Source, specifier: string): boolean {
  const rules = MAY_IMPORT[source.folder] ?? []
  const wanted = specifier.startsWith('.') ? folderOf(target(source.path, specifier)) : specifier
  if (wanted === source.folder) return true
  return rules.some((rule) => (rule.endsWith('*') ? wanted.startsWith(rule.slice(0, -1)) : wanted === rule))
}

describe('imports', () => {
  test('every folder has a row in the table', () => {
    expect(sources.filter((source) => MAY_IMPORT[source.folder] === undefined).map((s) => s.path)).toEqual([])
  })

  test('point the way of the table, types included', () => {
    const wrong = sources.flatMap((source) =>
      source.imports.filter((name) => !allowed(source, name)).map((name) => `${source.path} → ${name}`),
    )
    expect(wrong).toEqual([])
  })

  test('end in .ts and exist', () => {
    const missing = sources.flatMap((source) =>
      source.imports
        .filter((name) => name.startsWith('.') && !byPath.has(target(source.path, name)))
        .map((name) => `${source.path} → ${name}`),
    )
    expect(missing).toEqual([])
  })

  test('make no cycle, types included', () => {
    expect(findCycle()).toBeUndefined()
  })
})

/** The first cycle of imports, as a path through files; Tarjan would name them all, one is enough to mend. */
function findCycle(): string | undefined {
  const done = new Set<string>()
  const trail: string[] = []
  const walk = (path: string): string | undefined => {
    if (done.has(path)) return undefined
    const start = trail.indexOf(path)
    if (start >= 0) return [...trail.slice(start), path].join(' → ')
    trail.push(path)
    for (const name of byPath.get(path)?.imports ?? []) {
      if (!name.startsWith('.')) continue
      const cycle = walk(target(path, name))
      if (cycle !== undefined) return cycle
    }
    trail.pop()
    done.add(path)
    return undefined
  }
  for (const { path } of sources) {
    const cycle = walk(path)
    if (cycle !== undefined) return cycle
  }
  return undefined
}

test('the core has no clock, chance, timer, process or network', () => {
  const core = sources.filter((source) => source.path.startsWith('core/'))
  expect(core.length).toBeGreaterThan(5)
  expect(core.flatMap((s) => s.impure.map((what) => `${s.path}: ${what}`))).toEqual([])
})

test('files can be read in one sitting: over 450 lines only with a reason', () => {
  const long = sources.filter((source) => source.lines > 450).map((source) => source.path)
  expect(long.filter((path) => LONG_FILES[path] === undefined)).toEqual([])
  expect(Object.keys(LONG_FILES).filter((path) => !long.includes(path))).toEqual([])
})

test('every error code has a line in ARCHITECTURE.md', () => {
  const path = join(ROOT, 'ARCHITECTURE.md')
  expect(existsSync(path)).toBe(true)
  const text = readFileSync(path, 'utf8')
  expect(Object.keys(errorTable).filter((code) => !text.includes(`\`${code}\``))).toEqual([])
})
