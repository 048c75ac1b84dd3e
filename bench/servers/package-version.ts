/** The installed version of a package, for rows. Read from its folder: not every package lets its package.json be imported. */

import { readFileSync } from 'node:fs'

export function packageVersion(name: string): string {
  // From build/bench/bench/servers, where this file runs.
  const url = new URL(`../../../../node_modules/${name}/package.json`, import.meta.url)
  const content = JSON.parse(readFileSync(url, 'utf8')) as { version: string }
  return `${name} ${content.version}`
}
