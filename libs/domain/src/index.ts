export { addressVerdict, NO_CIDRS, parseCidrs } from './address-policy.js';
export type { AddressVerdict, AllowList } from './address-policy.js';
export { manualClock, systemClock } from './clock.js';
export type { Clock, ManualClock } from './clock.js';
export { checkCustomHeaders } from './custom-headers.js';
export type { HeaderProblem, HeaderProblemCode } from './custom-headers.js';
export { deliveryBody, type BodyParts } from './delivery-body.js';
export { CANCEL_REASONS, decide, DELIVERY_PLACES, DELIVERY_STATUSES, TRIGGERS } from './delivery-state.js';
export type {
  AttemptOutcome,
  CancelReason,
  Decision,
  DeliveryPlace,
  DeliveryStatus,
  Trigger,
} from './delivery-state.js';
export { classifyError, classifyStatus, FAILURE_CLASSES, FAILURES, isFailureClass } from './failure.js';
export type { ChargeTo, FailureClass } from './failure.js';
export { fromPublicId, ID_PREFIXES, isUuid, newId, toPublicId, uuidFloor, uuidTimeMs } from './ids.js';
export type { IdPrefix } from './ids.js';
export { seededRandom, systemRandom } from './random.js';
export type { Random } from './random.js';
export { DEFAULT_SCHEDULE_SECONDS, nextRetryDelaySeconds } from './retry-policy.js';
export {
  EVENT_TYPE_LENGTH_MAX,
  isEventTypeName,
  isEventTypePattern,
  matchesAny,
} from './subscription-match.js';
export { checkEndpointUrl, literalAddressOf, URL_LENGTH_MAX } from './url-policy.js';
export type { UrlCheck, UrlProblemCode } from './url-policy.js';
