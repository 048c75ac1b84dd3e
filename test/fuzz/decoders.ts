/** Every decoder that bytes from outside reach, in the order in which they are fuzzed. */

import type { Decoder } from './decoder.ts'
import { clientDecoders } from './decoders/client.ts'
import { engineDecoders } from './decoders/engine.ts'
import { frameDecoders } from './decoders/frame.ts'
import { membershipDecoders } from './decoders/membership.ts'
import { messageDecoders } from './decoders/message.ts'
import { peerDecoders } from './decoders/peer.ts'
import { queryDecoders } from './decoders/query.ts'
import { routerDecoders } from './decoders/router.ts'
import { stateDecoders } from './decoders/state.ts'
import { valueDecoders } from './decoders/value.ts'

export const decoders: readonly Decoder[] = [
  ...frameDecoders,
  ...valueDecoders,
  ...messageDecoders,
  ...peerDecoders,
  ...membershipDecoders,
  ...stateDecoders,
  ...queryDecoders,
  ...clientDecoders,
  ...engineDecoders,
  ...routerDecoders,
]
