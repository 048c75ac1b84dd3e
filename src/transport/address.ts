/**
 * Addresses as people write them: `host:port`, an IPv6 host in brackets.
 */

import { GridError } from '../core/base/errors.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]+)):(\d{1,5})$/

/** @throws GridError `BAD_OPTION` */
export function parseAddress(text: string): Address {
  const match = ADDRESS.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    throw new GridError(
      'BAD_OPTION',
      `${JSON.stringify(text)} is no address; write host:port, or [host]:port for IPv6`,
    )
  return { host: match[1] ?? match[2]!, port }
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
