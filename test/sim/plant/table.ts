/** All planted bugs, by name; a file of its own for each part of the protocol. */

import { acknowledgements } from './acknowledgement.ts'
import { additions } from './addition.ts'
import { anyReads } from './any-read.ts'
import { boots } from './boot.ts'
import { calls } from './call.ts'
import { compactions } from './compaction.ts'
import { expiries } from './expiry.ts'
import { filters } from './filter.ts'
import { handovers } from './handover.ts'
import { identities } from './identity.ts'
import { leases } from './lease.ts'
import { localReads } from './local-read.ts'
import { logMatching } from './log-matching.ts'
import { losses } from './loss.ts'
import { placements } from './placement.ts'
import type { Plant } from './plant.ts'
import { proposals } from './proposal.ts'
import { repetitions } from './repetition.ts'
import { sessions } from './session.ts'
import { snapshots } from './snapshot.ts'
import { transfers } from './transfer.ts'
import { trimmings } from './trimming.ts'
import { watches } from './watch.ts'

export const plants: Readonly<Record<string, Plant>> = {
  ...acknowledgements,
  ...leases,
  ...localReads,
  ...logMatching,
  ...repetitions,
  ...additions,
  ...handovers,
  ...proposals,
  ...identities,
  ...boots,
  ...transfers,
  ...watches,
  ...snapshots,
  ...trimmings,
  ...compactions,
  ...expiries,
  ...sessions,
  ...calls,
  ...filters,
  ...losses,
  ...placements,
  ...anyReads,
}
