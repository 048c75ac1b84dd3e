/** What an independent reader of MessagePack makes of a value, to compare ours with. */

import { decode, decodeTimestampToTimeSpec, EXT_TIMESTAMP, ExtensionCodec } from '@msgpack/msgpack'
import { BIGINT_EXTENSION } from '../../../src/core/wire/value-scalar.ts'

const extensionCodec = new ExtensionCodec()
extensionCodec.register({
  type: BIGINT_EXTENSION,
  encode: () => null,
  decode: (data) => BigInt.asIntN(8 * data.length, BigInt(`0x${Buffer.from(data).toString('hex')}`)),
})

// Its own way rounds times before 1970 up, which would change their order.
extensionCodec.register({
  type: EXT_TIMESTAMP,
  encode: () => null,
  decode(data) {
    const { sec, nsec } = decodeTimestampToTimeSpec(data)
    return new Date(sec * 1000 + Math.floor(nsec / 1e6))
  },
})

export function oracleValue(bytes: Uint8Array): unknown {
  return decode(Uint8Array.from(bytes), { extensionCodec, useBigInt64: true })
}
