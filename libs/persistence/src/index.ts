export { ApiKeysRepository, type KnownKey, type ListedKey, type NewKey } from './api-keys.repository.js';
export { arrayOf } from './array-of.js';
export { given } from './given.js';
export {
  accessTokensRepository,
  type KnownToken,
  type ListedToken,
  type NewToken,
} from './access-tokens.repository.js';
export {
  auditRepository,
  type AuditActor,
  type AuditFilter,
  type AuditRecord,
  type AuditRow,
} from './audit.repository.js';
export {
  acceptRepository,
  type KnownEvent,
  type NewDelivery,
  type EndpointForMatch,
  type NewEvent,
  type SubscriberForAccept,
} from './accept.repository.js';
export { cancelRepository, type DeliveryToCancel } from './cancel.repository.js';
export { createDataSource, sessionOptions, TIMEOUTS } from './data-source.js';
export {
  isConnectionFailure,
  isDataError,
  isLockConflict,
  isStatementTimeout,
  violatedUnique,
} from './database-errors.js';
export { Database, Tx } from './database.js';
export { Vault } from './vault.js';
export { dataKeysRepository, refuseWrongKeks, sealPlainRepository } from './data-keys.repository.js';
export { DatabaseClock } from './database-clock.js';
export { checkDurability, checkServerVersion } from './durability.js';
export {
  endpointSecretsRepository,
  endpointsRepository,
  type EndpointChanges,
  type EndpointRow,
  type LiveSecret,
  type MissedRow,
  type NewEndpoint,
  type Proof,
} from './endpoints.repository.js';
export * from './entities/index.js';
export { eventTypesRepository, type EventTypeRow, type VersionChange } from './event-types.repository.js';
export { factsOfDelivery, type ExplainRow } from './explain.queries.js';
export { Generations } from './generations.js';
export {
  blockedKeys,
  laneHealth,
  laneTransitions,
  type BlockedKeyRow,
  type LaneHealthRow,
  type LaneTransitionRow,
} from './health.queries.js';
export {
  idempotencyRepository,
  type ClaimResult,
  type IdempotencyClaim,
  type StoredAnswer,
} from './idempotency.repository.js';
export { lanesRepository, type ExpiredDelivery } from './lanes.repository.js';
export { laneStateRepository, type LockedLane, type NewLaneTransition } from './lane-state.repository.js';
export { noticesRepository, type NewNotice, type PendingNotice } from './notices.repository.js';
export {
  orderingRepository,
  type OrderingKey,
  type OrderingKeyChange,
  type PickedKey,
} from './ordering.repository.js';
export { requestLimitsRepository, type TakenWindow } from './request-limits.repository.js';
export { rateRepository } from './rate.repository.js';
export { PARTITION_DAYS_AHEAD, partitionsRepository } from './partitions.repository.js';
export { migrate, revertLastMigration } from './migrate.js';
export { NO_RESPONSE, sealResponse, type KeptResponse } from './sealed-payloads.js';
export {
  NO_CREDENTIALS,
  type Credentials,
  type ShownCredentials,
  type SignatureKind,
} from './credentials.js';
export { publicKeysRepository, type PublicKeyRow } from './public-keys.repository.js';
export { PumpRepository, type DeliveryForAttempt, type EndpointForAttempt } from './pump.repository.js';
export {
  BACKLOG_AGE_SECONDS,
  recordRepository,
  type AttemptRecord,
  type DueBecause,
  type HeldDelivery,
  type LaneChange,
  type LaneRoom,
  type RoomToPromote,
  type OutcomeRecord,
  type RecordedOutcome,
} from './record.repository.js';
export { rehearseAccepting, rehearseDelivering, type Rehearsal } from './rehearsal.js';
export { asSystem, inScopes } from './row-scope.js';
export { refusedRole } from './roles.js';
export { pendingMigrations } from './schema-state.js';
export {
  STATS_BUCKET_SECONDS,
  statsRepository,
  type EndpointStats,
  type StatsSum,
} from './stats.repository.js';
export { subscribersRepository, type PageOfRows, type Reads } from './subscribers.repository.js';
export {
  countDeliveriesOfEvents,
  findEvent,
  listEvents,
  type DeliveryCounts,
  type EventFilter,
  type EventStatusRow,
} from './event-status.queries.js';
export {
  replaysRepository,
  type ReplayFilter,
  type ReplayRow,
  type ReplayState,
} from './replays.repository.js';
export { resendRepository, type LockedDelivery, type ResendMove } from './resend.repository.js';
export {
  deliveriesOfEvent,
  findClaimed,
  findDelivery,
  findSubscriberByExternalId,
  listDeliveries,
  LOOKED_AT_MAX,
  type DeliveryFilter,
  type DeliveryStatusRow,
  type Looked,
  type PageRequest,
  type Reader,
} from './status.queries.js';
export {
  attemptsOfDelivery,
  contentsOfDelivery,
  type AttemptRow,
  type DeliveryContents,
} from './timeline.queries.js';
export { openDatabase, StartError, type OpenOptions } from './open-database.js';
export {
  beginSnapshot,
  CURRENT_STATEMENTS,
  HISTORY_STATEMENTS,
  runGuarded,
  serverNow,
  storedDays,
  type DoctorStatement,
  type Finding,
  type HistorySpan,
} from './doctor.queries.js';
