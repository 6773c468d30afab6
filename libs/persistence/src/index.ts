export { acceptRepository, type NewDelivery, type NewEvent, type SubscriberForAccept } from './accept.repository.js';
export { createDataSource, TIMEOUTS } from './data-source.js';
export { isConnectionFailure, isDataError, violatedUnique } from './database-errors.js';
export { Database, Tx } from './database.js';
export * from './entities/index.js';
export {
  idempotencyRepository,
  type ClaimResult,
  type IdempotencyClaim,
  type StoredAnswer,
} from './idempotency.repository.js';
export { migrate, revertLastMigration } from './migrate.js';
export { PumpRepository, type DeliveryForAttempt, type EndpointForAttempt } from './pump.repository.js';
export {
  recordRepository,
  type AttemptRecord,
  type LaneChange,
  type OutcomeRecord,
  type RecordedOutcome,
} from './record.repository.js';
