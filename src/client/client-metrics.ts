/** What a client counts, from its start. */
export interface ClientMetrics {
  calls: number
  /** Of these, reads that a member in this process answered without a link. */
  localReads: number
  /** Attempts that were refused and are made again. */
  retries: number
  timeouts: number
  /** Replies to calls that had been given up, or were answered twice. */
  lateReplies: number
  /** Replies older than what had been seen before their call was made. Must stay 0. */
  staleReplies: number
  connectionsLost: number
  /** Reads with `read: 'any'` that a backup has answered, and that one has left to the owner. */
  backupReads: number
  backupRefusals: number
}

export function zeroMetrics(): ClientMetrics {
  return {
    calls: 0,
    localReads: 0,
    retries: 0,
    timeouts: 0,
    lateReplies: 0,
    staleReplies: 0,
    connectionsLost: 0,
    backupReads: 0,
    backupRefusals: 0,
  }
}
