export { AccessTokens, type TokenWanted } from './keys/access-tokens.js';
export { ApiKeys, refuseBoundToKeys, type KeyWanted } from './keys/api-keys.js';
export { auditOfKey, auditOfToken } from './keys/audit-keys.js';
export { ensureAdminKey } from './keys/ensure-admin-key.js';
export { hashKey, makeKeyText, readKeyText, type CredentialKind, type KeyText } from './keys/key-text.js';
export { EndpointSecrets, type Rotation } from './endpoints/endpoint-secrets.js';
export { EndpointStates, statusOf, type EndpointStatus, type Missed } from './endpoints/endpoint-states.js';
export {
  Endpoints,
  type EndpointChange,
  type EndpointReference,
  type NewEndpointWanted,
} from './endpoints/endpoints.js';
export { checkRetryPolicy } from './endpoints/checks.js';
export { certificatesIn, type CertificateFacts } from './endpoints/certificates.js';
export { MASK, maskHeaders } from './endpoints/headers.js';
export { EventTypes, type EventTypeChange, type NewEventType } from './event-types/event-types.js';
export { Ids } from './ids.js';
export { Subscribers, type NewSubscriber, type SubscriberChange } from './subscribers/subscribers.js';
