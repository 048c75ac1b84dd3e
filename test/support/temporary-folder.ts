/** Folders under the system's temporary folder for one test file, removed when its tests are over. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders: string[] = []

export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `actorgrid-${name}-`))
  folders.push(folder)
  return folder
}

/** For `afterAll`, once nothing writes there any more. */
export function removeTemporaryFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}
