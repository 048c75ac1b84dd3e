/**
 * Versions as programs hold them: the place `(era, seq)` of the record that made the value, as opaque text.
 */

import { GridError } from '../core/base/errors.ts'
import type { Version } from '../core/wire/processor.ts'

const FORM = /^(\d{1,5})\.(\d{1,15})$/

export function formatVersion(era: number, seq: number): Version {
  return `${era}.${seq}` as Version
}

/** @throws GridError `BAD_TOKEN` */
export function parseVersion(version: unknown): { readonly era: number; readonly seq: number } {
  const parts = typeof version === 'string' ? FORM.exec(version) : null
  const era = Number(parts?.[1] ?? -1)
  const seq = Number(parts?.[2] ?? -1)
  if (parts === null || era > 0xffff || seq > 0xffff_ffff_ffff)
    throw new GridError('BAD_TOKEN', `${JSON.stringify(version)} is not the version of an entry`)
  return { era, seq }
}
