/**
 * Fields of decoded values, checked one by one: whoever reads an item or a checkpoint gets the type that it asks
 * for or `MALFORMED`, with the field's name. Texts and counts have bounds, for they stay in memory.
 */

import { GridError } from '../base/errors.ts'
import type { EvictionConfig, MapConfig, MemberInfo } from './config.ts'
import { isCount, isId } from './config.ts'

export type Fields = { readonly [name: string]: unknown }

export function fieldsOf(value: unknown): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw new GridError('MALFORMED', 'not an object')
}

export function text(fields: Fields, name: string, lengthMax: number, lengthMin = 0): string {
  const value = fields[name]
  if (typeof value === 'string' && value.length >= lengthMin && value.length <= lengthMax) return value
  throw malformed(name)
}

export function id(fields: Fields, name: string): string {
  const value = fields[name]
  if (isId(value)) return value
  throw malformed(name)
}

export function count(fields: Fields, name: string, max: number, min = 0): number {
  const value = fields[name]
  if (isCount(value, max) && value >= min) return value
  throw malformed(name)
}

export function oneOf<T extends string>(fields: Fields, name: string, known: readonly T[]): T {
  const value = known.find((one) => one === fields[name])
  if (value !== undefined) return value
  throw malformed(name)
}

export function list(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name]
  if (Array.isArray(value)) return value
  throw malformed(name)
}

export function binary(fields: Fields, name: string): Uint8Array {
  const value = fields[name]
  if (value instanceof Uint8Array) return value
  throw malformed(name)
}

/** The field where there is one. */
export function maybe<T>(
  fields: Fields,
  name: string,
  read: (fields: Fields, name: string) => T,
): T | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : read(fields, name)
}

export function readMember(value: unknown): MemberInfo {
  const fields = fieldsOf(value)
  return {
    id: id(fields, 'id'),
    name: text(fields, 'name', 255),
    address: text(fields, 'address', 300),
    zone: text(fields, 'zone', 255),
    host: text(fields, 'host', 255),
    version: text(fields, 'version', 64),
    state: oneOf(fields, 'state', ['joining', 'active', 'leaving']),
    secretHash: text(fields, 'secretHash', 128),
  }
}

export function writeMember(info: MemberInfo): unknown {
  const { id, name, address, zone, host, version, state, secretHash } = info
  return { id, name, address, zone, host, version, state, secretHash }
}

export function readMapConfig(value: unknown): MapConfig {
  const fields = fieldsOf(value)
  const config = {
    ttlMs: maybe(fields, 'ttlMs', positive),
    maxIdleMs: maybe(fields, 'maxIdleMs', positive),
    eviction: maybe(fields, 'eviction', (f, name) => readEviction(f[name])),
  }
  return withoutUndefined(config)
}

export function writeMapConfig(config: MapConfig): unknown {
  const { ttlMs, maxIdleMs, eviction } = config
  return withoutUndefined({ ttlMs, maxIdleMs, eviction: eviction && withoutUndefined({ ...eviction }) })
}

function readEviction(value: unknown): EvictionConfig {
  const fields = fieldsOf(value)
  return withoutUndefined({
    policy: oneOf(fields, 'policy', ['lru', 'lfu']),
    maxEntries: maybe(fields, 'maxEntries', positive),
    maxBytes: maybe(fields, 'maxBytes', positive),
  })
}

function positive(fields: Fields, name: string): number {
  return count(fields, name, Number.MAX_SAFE_INTEGER, 1)
}

/** Undefined has no stored form, and two views of the same log must be equal. */
function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
}

function malformed(name: string): GridError {
  return new GridError('MALFORMED', `the field ${name} is missing or out of bounds`)
}
