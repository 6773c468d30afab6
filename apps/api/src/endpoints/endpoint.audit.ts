import { auditChange, toPublicId, type AuditChange } from '@app/domain';
import { endpointsRepository, type EndpointRow, type LiveSecret, type Tx } from '@app/persistence';

/** What of an endpoint the audit log may show. A field that is not here is masked: add it only when it can hold no secret. */
const HARMLESS = [
  'url',
  'description',
  'eventTypes',
  'metadata',
  'signatures',
  'timeoutMs',
  'retryPolicy',
  'rateLimit',
  'retryBudgetPercent',
  'ordered',
  'orderedFailure',
  'onFailureEndpoint',
  'disableAfterSeconds',
  'disableAttemptsMin',
  'disabledAt',
  'disabledReason',
  'pausedAt',
];

export function auditOfEndpoint(before: EndpointRow | null, after: EndpointRow | null): AuditChange {
  return auditChange(before && snapshot(before), after && snapshot(after), HARMLESS);
}

/** With the values of its headers, which are compared and never shown: whether one is another now is worth a line. */
export async function withHeaders(tx: Tx, endpoint: EndpointRow): Promise<EndpointRow> {
  return { ...endpoint, headers: await endpointsRepository.openHeaders(tx, endpoint) };
}

function snapshot(endpoint: EndpointRow): object {
  const { id: _, subscriberId: _1, createdAt: _2, updatedAt: _3, onFailureEndpointId, ...fields } = endpoint;
  return { ...fields, onFailureEndpoint: onFailureEndpointId && toPublicId('ep', onFailureEndpointId) };
}

/** How many secrets sign and until when; never what they are. */
export function auditOfSecrets(before: LiveSecret[], after: LiveSecret[]): AuditChange {
  return auditChange({ live: ends(before) }, { live: ends(after) }, ['live']);
}

function ends(secrets: LiveSecret[]): object[] {
  return secrets.map(({ kind, createdAt, expiresAt }) => ({ kind, createdAt, expiresAt }));
}
