export {
  addressVerdict,
  dialProblem,
  isAddress,
  isWithin,
  parseCidrs,
  parseNat64Prefix,
  PUBLIC_ONLY,
} from './address-policy.js';
export type { AddressPolicy, AddressVerdict, CidrList } from './address-policy.js';
export { manualClock, systemClock } from './clock.js';
export type { Clock, ManualClock } from './clock.js';
export { checkCustomHeaders, sendableHeaders } from './custom-headers.js';
export type { HeaderProblem, HeaderProblemCode } from './custom-headers.js';
export { deliveryBody, type BodyParts } from './delivery-body.js';
export {
  CANCEL_REASONS,
  decide,
  DELIVERY_PLACES,
  DELIVERY_STATUSES,
  FAILED_REASONS,
  ticketPriority,
  TRIGGERS,
} from './delivery-state.js';
export type {
  AttemptOutcome,
  CancelReason,
  Decision,
  DeliveryHistory,
  DeliveryPlace,
  DeliveryStatus,
  GaveUp,
  ReceiverDirective,
  Trigger,
} from './delivery-state.js';
export { classifyError, classifyStatus, FAILURE_CLASSES, FAILURES, isFailureClass } from './failure.js';
export type { ChargeTo, FailureAction, FailureClass } from './failure.js';
export { isLocalhost, parseHostList } from './host-names.js';
export type { HostList } from './host-names.js';
export { fromPublicId, ID_PREFIXES, isUuid, newId, toPublicId, uuidFloor, uuidTimeMs } from './ids.js';
export type { IdPrefix } from './ids.js';
export {
  dueForProbe,
  effectiveRateFactor,
  halfOpen,
  INITIAL_WINDOW,
  initialLane,
  observe,
  OPEN_MAX_MS,
  probeLost,
  probeSoon,
  reset,
  WINDOW_MAX,
} from './lane.js';
export type {
  CircuitReason,
  LanePolicy,
  LaneSample,
  LaneSignal,
  LaneState,
  LaneStep,
  LaneTransition,
  WarningPercent,
} from './lane.js';
export {
  addLatency,
  emptyLatencies,
  LATENCY_BOUNDS_MS,
  LATENCY_CLASSES,
  latencyQuantileMs,
  sumLatencies,
} from './latency-histogram.js';
export { seededRandom, systemRandom } from './random.js';
export type { Random } from './random.js';
export {
  RATE_ALGORITHMS,
  RATE_HORIZON_MAX_MS,
  RATE_LIMIT_MAX,
  RATE_PER_MAX_SECONDS,
  rateLimitProblems,
  takeSlots,
  windowForRate,
} from './rate.js';
export type { RateAlgorithm, RateLimit, RateState, TakenSlots } from './rate.js';
export { parseRetryAfter, RETRY_AFTER_MAX_SECONDS } from './retry-after.js';
export {
  AGE_MAX_SECONDS,
  AGE_MIN_SECONDS,
  ATTEMPTS_MAX,
  completeRetryPolicy,
  DEFAULT_RETRY_POLICY,
  DELAY_MAX_SECONDS,
  DELAYS_MAX,
  FACTOR_MAX,
  JITTERS,
  nextTry,
  nominalDelaySeconds,
  previewTries,
  RETRY_POLICY_TYPES,
  retryDelaySeconds,
  retryPolicyProblems,
  TIMEOUT_MAX_SECONDS,
} from './retry-policy.js';
export type {
  FieldProblem,
  Jitter,
  NextTry,
  PreviewedTry,
  RetryPolicy,
  RetryPolicyInput,
  RetryPolicyType,
  TriesSoFar,
} from './retry-policy.js';
export {
  EVENT_TYPE_LENGTH_MAX,
  isEventTypeName,
  isEventTypePattern,
  matchesAny,
} from './subscription-match.js';
export { checkEndpointUrl, literalAddressOf, URL_LENGTH_MAX } from './url-policy.js';
export type { UrlCheck, UrlPolicy, UrlProblemCode } from './url-policy.js';
export { AUDIT_CHANGED, AUDIT_SET, auditChange } from './audit-change.js';
export type { AuditChange, AuditSnapshot } from './audit-change.js';
export {
  AUTH_SECRETS,
  PEM_LENGTH_MAX,
  receiverAuthProblems,
  SIGNATURE_HEADERS_MAX,
  signatureHeadersProblems,
} from './receiver-auth.js';
export type { OAuth2Auth, ReceiverAuth, SignatureHeader, TlsIdentity } from './receiver-auth.js';
