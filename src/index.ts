/**
 * actorgrid for programs: connect to a cluster, run a member of one in this process, or define what runs next to its
 * data.
 */

export { type Outcome, PartialError } from './client/bulk.ts'
export type { ClientMetrics } from './client/client-metrics.ts'
export { connect } from './client/connect.ts'
export type { Grid, Partition } from './client/grid.ts'
export type { GridEvent, RosterMember } from './client/grid-event.ts'
export type { GridMap, InvokeAllOptions, ResultOf } from './client/grid-map.ts'
export type { NearCacheStats } from './client/near-cache.ts'
export type { Entry } from './client/operation.ts'
export type {
  CallOptions,
  ConnectOptions,
  EvictionOptions,
  GetOptions,
  MapOptions,
  NearCacheOptions,
  PutOptions,
  ReadOptions,
  RemoveOptions,
  ReplaceOptions,
} from './client/options.ts'
export type { Query, Selected } from './client/query.ts'
export type { ScanOptions } from './client/scan.ts'
export type { Watch, WatchOptions } from './client/watch.ts'
export type { Change, GoneChange, PartitionChange, RemoveCause, ValueChange } from './client/watch-change.ts'
export { type Applied, type ErrorCode, GridError } from './core/base/errors.ts'
export type { Limits } from './core/base/limits.ts'
export type { Filter } from './core/query/filter.ts'
export { type DeepPath, path } from './core/query/path.ts'
export type { Select } from './core/query/project.ts'
export type { OrderBy } from './core/query/sort.ts'
export type { Update } from './core/query/update.ts'
export type { Key } from './core/wire/key.ts'
export {
  defineProcessor,
  type EntryView,
  type Processor,
  type SetOptions,
  type Version,
} from './core/wire/processor.ts'
export type { StorableValue } from './core/wire/value.ts'
export { type Member, type MemberStatus, type PartitionStatus, startMember } from './member/member.ts'
export type { MemberOptions } from './member/options.ts'
