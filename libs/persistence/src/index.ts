export { ApiKeysRepository, type KnownKey, type ListedKey, type NewKey } from './api-keys.repository.js';
export { auditRepository, type AuditRecord } from './audit.repository.js';
export { acceptRepository, type NewDelivery, type NewEvent, type SubscriberForAccept } from './accept.repository.js';
export { createDataSource, TIMEOUTS } from './data-source.js';
export { isConnectionFailure, isDataError, violatedUnique } from './database-errors.js';
export { Database, Tx } from './database.js';
export { checkDurability, checkServerVersion } from './durability.js';
export {
  endpointSecretsRepository,
  endpointsRepository,
  type EndpointChanges,
  type EndpointRow,
  type LiveSecret,
  type NewEndpoint,
} from './endpoints.repository.js';
export * from './entities/index.js';
export { eventTypesRepository, type EventTypeRow, type VersionChange } from './event-types.repository.js';
export {
  idempotencyRepository,
  type ClaimResult,
  type IdempotencyClaim,
  type StoredAnswer,
} from './idempotency.repository.js';
export { lanesRepository } from './lanes.repository.js';
export { partitionsRepository } from './partitions.repository.js';
export { migrate, revertLastMigration } from './migrate.js';
export { PumpRepository, type DeliveryForAttempt, type EndpointForAttempt } from './pump.repository.js';
export {
  recordRepository,
  type AttemptRecord,
  type LaneChange,
  type OutcomeRecord,
  type RecordedOutcome,
} from './record.repository.js';
export { subscribersRepository, type PageOfRows, type Reads } from './subscribers.repository.js';
