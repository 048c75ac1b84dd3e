/**
 * Jars of rivals that run on a JVM, by Maven, once, into a cache. Maven is told to refuse what does not match its
 * published checksum. Versions are pinned; nothing is looked up when the jars are there.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { outputOf } from './child.ts'

export interface Artifact {
  readonly group: string
  readonly name: string
  readonly version: string
}

/** From build/bench/bench/servers, where this file runs. */
const CACHE = fileURLToPath(new URL('../../../../node_modules/.cache/actorgrid-bench', import.meta.url))
const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1'
const TIMEOUT_MS = 240_000

/** A class path with the artifact and what it needs. @throws Error that says what to install, or what Maven said */
export function classPathOf(artifact: Artifact): string {
  outputOf('java', ['-version'], 'a JDK is needed (Debian: apt-get install default-jdk-headless)')
  const folder = join(CACHE, `${artifact.name}-${artifact.version}`)
  if (!existsSync(folder)) fetchInto(folder, artifact)
  return join(folder, '*')
}

function fetchInto(folder: string, artifact: Artifact): void {
  outputOf('mvn', ['--version'], 'Maven is needed to fetch it (Debian: apt-get install maven)')
  mkdirSync(CACHE, { recursive: true })
  const making = mkdtempSync(join(CACHE, 'making-'))
  try {
    writeFileSync(join(making, 'pom.xml'), pomOf(artifact))
    const args = ['-B', '-q', '--strict-checksums', `${PLUGIN}:copy-dependencies`, '-DoutputDirectory=jars']
    const options = { cwd: making, encoding: 'utf8', timeout: TIMEOUT_MS } as const
    const { status, signal, stdout, stderr } = spawnSync('mvn', [...args, '-DincludeScope=runtime'], options)
    if (status !== 0)
      throw new Error(
        `${artifact.name} cannot be fetched (mvn: ${signal ?? status}): ${(stdout + stderr).slice(-500)}`,
      )
    // All or nothing: half a folder would count as fetched for ever.
    renameSync(join(making, 'jars'), folder)
  } finally {
    rmSync(making, { recursive: true, force: true })
  }
}

function pomOf({ group, name, version }: Artifact): string {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId>
  <artifactId>bench</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>
  </dependencies>
</project>
`
}
